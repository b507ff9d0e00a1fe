"""`results/report.html`: everything that was made, on one page that opens offline.

The page is put together from what the notebooks saved (`results/tables/{item}.json` and the
figures), the scores, the claims register, Snakemake's benchmark files and the manifests. What is
not there shows as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from dynfocus import __version__
from dynfocus.config.schema import Config
from dynfocus.evaluation.evidence import STORED, Evidence
from dynfocus.files import write_json, write_text
from dynfocus.paper import lint
from dynfocus.paper.register import OWN_CHECK, load_cells, load_deviations
from dynfocus.reporting.claims import Outcome, count_verdicts, evidence_of, judge_claims
from dynfocus.reporting.costs import costs_table, read_costs
from dynfocus.reporting.headline import headline, headline_table
from dynfocus.reporting.judge_agreement import agreement_table
from dynfocus.reporting.lineage import anchor, lineage, score_files, shown
from dynfocus.reporting.page import figures_html, page, table_html
from dynfocus.reporting.power import power_table
from dynfocus.reporting.results import Measured, Results
from dynfocus.reporting.session import SavedItem, Session
from dynfocus.reporting.tables import Table, coverage_table
from dynfocus.reporting.verdicts import scale_obstacle
from dynfocus.steps.table import judged_twice


@dataclass(frozen=True)
class Section:
    """One report item on the page; `body` is empty when its notebook has not run; `records`: score files shown."""

    name: str
    title: str
    body: Markup
    files: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


def render(config: Config, root: Path, out: Path) -> None:
    """Write the report of a profile to `out`."""
    session = Session(config, root)
    results = session.results()
    obstacle = scale_obstacle(config)
    items = selected_items(session)
    made = [
        *(session.layout.notebook(name, "ipynb") for name in items),
        session.layout.claims,
        *(second for _, second in verdicts_of_both_judges(session)),
    ]
    evidence = evidence_of(session.jobs, STORED)
    outcomes = judge_claims(evidence)
    of_paper = [outcome for outcome in outcomes if outcome.source != OWN_CHECK]
    findings = lint.run()
    html = page(
        "report.html.j2",
        title="DynFocus: the paper's numbers beside ours",
        version=__version__,
        config=config,
        obstacle=obstacle,
        record_link=record_link,
        headline=table_html(headline_table(config, root), record_link),
        sections=[section(session, name) for name in items],
        cells=len(load_cells()),
        outcomes=of_paper,
        own_checks=[outcome for outcome in outcomes if outcome.source == OWN_CHECK],
        verdicts=count_verdicts(of_paper),
        forest=forest_html(outcomes),
        power=table_html(power_table(evidence), record_link),
        evidence=describe(evidence),
        evidence_notes=evidence.notes,
        claims_record=record_link(shown(session.layout.claims, root)) if session.layout.claims.exists() else "",
        findings=[finding for finding in findings if finding.outcome != "ok"],
        checks=[finding for finding in findings if finding.outcome == "ok"],
        deviations=load_deviations(),
        agreement=agreement_html(session),
        coverage=table_html(all_coverage(session, results), record_link),
        costs=table_html(costs_table(read_costs(root)), record_link),
        records=lineage([*score_files(root), *(path for path in made if path.exists())], root),
    )
    write_metrics(results, out.with_name("metrics.json"))
    write_text(out, html)


def write_metrics(results: Results, out: Path) -> None:
    """Run -> benchmark -> metric, averaged over the seeds, as `dvc metrics` reads it."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for run, _, name in sorted(results.records):
        metrics = next(record for key, record in results.records.items() if (key[0], key[2]) == (run, name))["metrics"]
        found = {metric: results.get(run, name, metric) for metric in metrics}
        numbers = {metric: round(one.value, 4) for metric, one in found.items() if isinstance(one, Measured)}
        values.setdefault(run, {})[name] = numbers
    write_json(out, values)


def record_link(record: str) -> str:
    """The place on the page where the provenance of a score file is."""
    return f"#{anchor(record)}"


def selected_items(session: Session) -> list[str]:
    """Items of the experiments that this profile builds, in order."""
    chosen = session.config.items
    return [name for name in session.experiments.items if "all" in chosen or name in chosen]


def section(session: Session, name: str) -> Section:
    """An item as its notebook saved it, or an empty section when it has not run."""
    folder = session.layout.results
    path = folder / "tables" / f"{name}.json"
    title = session.experiments.items[name].title
    if not path.exists():
        return Section(name, title, Markup())
    item = SavedItem.model_validate_json(path.read_text(encoding="utf-8"))
    notebook = session.layout.notebook(name, "ipynb")
    made = record_link(shown(notebook, session.root)) if notebook.exists() else ""
    parts = [item_table(table, made) for table in item.tables]
    body = Markup("\n").join([*parts, figures_html(item, folder, made)])
    files = [f"tables/{name}{suffix}" for suffix in (".csv", ".md", ".tex")]
    files += [f"figures/{figure.stem}{suffix}" for figure in item.figures for suffix in (".pdf", ".png")]
    files += [f"notebooks/{name}.html"]
    records = dict.fromkeys(cell.record for table in item.tables for cell in table.comparisons() if cell.record)
    return Section(name, title, body, tuple(file for file in files if (folder / file).exists()), tuple(records))


def item_table(table: Table, made: str) -> Markup:
    """A table of an item; coverage is folded away."""
    html = table_html(table, record_link, made)
    if not table.id.endswith("_coverage"):
        return html
    return Markup("<details><summary>Coverage and failures</summary>{}</details>").format(html)


def describe(evidence: Evidence) -> str:
    """Which trainings the claims are tested on, where they ran and when."""
    by_processor: dict[str, set[int]] = {}
    for one in evidence.series:
        by_processor.setdefault(one.processor, set()).add(one.seed)
    parts = [f"seeds {', '.join(map(str, sorted(seeds)))} on {name}" for name, seeds in sorted(by_processor.items())]
    days = sorted({one.finished for one in evidence.series})
    return f"Evidence: {'; '.join(parts)}; answered {days[0]} to {days[-1]}." if parts else "No evidence yet."


def forest_html(outcomes: list[Outcome]) -> Markup:
    """All tested claims as one figure, embedded; nothing where none was tested."""
    from dynfocus.reporting.figures import embedded_figure
    from dynfocus.reporting.forest import forest

    if not any(outcome.difference is not None for outcome in outcomes):
        return Markup()
    return Markup('<figure><img alt="Differences of all claims with their intervals" src="{}"></figure>').format(
        embedded_figure(forest(outcomes))
    )


def verdicts_of_both_judges(session: Session) -> list[tuple[Path, Path]]:
    """The files of both judges' verdicts on the same answers, those that are here."""
    pairs = [(first.path(session.jobs), second.path(session.jobs)) for first, second in judged_twice(session.jobs)]
    return [pair for pair in pairs if all(path.exists() for path in pair)]


def agreement_html(session: Session) -> Markup:
    """How far two judges agree, or the line that says why that is not known."""
    wanted, files = judged_twice(session.jobs), verdicts_of_both_judges(session)
    table = agreement_table(files)
    if table.rows:
        lacking = [f"{len(wanted) - len(files)} more were not marked by both judges."] * (len(files) < len(wanted))
        return table_html(table.model_copy(update={"notes": [*table.notes, *lacking]}), record_link)
    if not wanted:
        gap = "No second judge is set, so how far another one would move the judged scores is not known here. Name one "
        gap += "in evaluation.second_judge, or `repeat: 1` of the same (docs/benchmarks/judge.md)."
    elif not files:
        gap = "Not made: no answers were marked by both judges; make the rest with: dynfocus judge-again --run RUN"
    else:
        gap = "No benchmark of this report has a judge."
    return Markup('<p class="missing">{}</p>').format(gap)


def all_coverage(session: Session, results: Results) -> Table:
    """Coverage of every record found."""
    benchmarks = sorted({benchmark for _, _, benchmark in results.records})
    return coverage_table("all", results, results.runs(), benchmarks)


__all__ = ["headline", "render"]
