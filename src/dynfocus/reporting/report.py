"""`results/report.html`: everything that was made, on one page that opens offline.

The page is put together from what the notebooks saved (`results/tables/{item}.json` and the
figures), the scores, the claims register, Snakemake's benchmark files and the manifests. What is
not there shows as a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dynfocus import __version__
from dynfocus.config.schema import Config
from dynfocus.evaluation.evidence import STORED, Evidence
from dynfocus.files import read_model, write_json, write_text
from dynfocus.paper import lint
from dynfocus.paper.register import OWN_CHECK, load_cells, load_deviations
from dynfocus.reporting.claims import count_verdicts, evidence_of, judge_claims
from dynfocus.reporting.cone_recall import ITEM as RECALL_ITEM
from dynfocus.reporting.cone_recall import recalls
from dynfocus.reporting.costs import costs_table, read_costs
from dynfocus.reporting.figures import embedded_figure, write_figure
from dynfocus.reporting.film import ITEM as FILM_ITEM
from dynfocus.reporting.film import film_of, replies_table
from dynfocus.reporting.forest import families, forest
from dynfocus.reporting.headline import headline, headline_table, main_runs
from dynfocus.reporting.judge_agreement import agreement_table
from dynfocus.reporting.lineage import anchor, lineage, shown
from dynfocus.reporting.names import in_words
from dynfocus.reporting.page import figures_html, page, table_html
from dynfocus.reporting.power import power_table
from dynfocus.reporting.results import Measured, Results
from dynfocus.reporting.session import SavedItem, Session
from dynfocus.reporting.summary import recall_sentence, recall_summary, seed_spread, verdict_sentence
from dynfocus.reporting.tables import Table, coverage_table
from dynfocus.reporting.verdicts import scale_obstacle
from dynfocus.steps.table import judged_twice

GROUPS = {
    "Scores": ("headline", "table_7", "long_video", "table_8"),
    "What each part is worth": ("rod_cone", "table_1", "table_5", "table_6", "prototypes"),
    "Inside": ("cone_recall", "figure_3", "figure_1", "redundancy"),
    "Cost": ("token_budget", "table_2", "table_3", "table_4"),
    "Data and settings": ("training_data", "table_11"),
}
"""Part of the page -> its items; all others stand under `OTHERS`."""
OTHERS = "Further"
MAIN_RUN = "dynfocus"
MAIN_SCORE = ("msvd_qa", "accuracy")
"""The run whose cones the first screen shows."""


@dataclass(frozen=True)
class Section:
    """One report item on the page; `body` is empty when its notebook has not run; `records`: score files shown."""

    name: str
    title: str
    body: Markup
    files: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


def render(config: Config, root: Path, out: Path) -> None:
    """Write the report of a profile to `out`, and the figure of all claims beside the other figures."""
    session = Session(config, root)
    results, titles = session.results(), session.titles
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
        title="The paper's claims, tables and figures beside ours",
        version=__version__,
        config=config,
        obstacle=scale_obstacle(config),
        record_link=record_link,
        verdict=verdict_sentence(of_paper),
        families=families(outcomes, titles),
        verdicts=count_verdicts(of_paper),
        outcomes=of_paper,
        headline=table_html(headline_table(config, root), record_link),
        spread=seed_spread(evidence.of(MAIN_RUN, *MAIN_SCORE), titles.get(MAIN_RUN, MAIN_RUN)),
        groups=grouped([section(session, name) for name in items]),
        cells=len(load_cells()),
        power=table_html(power_table(evidence), record_link),
        evidence=describe(evidence),
        evidence_notes=[in_words(note, titles) for note in evidence.notes],
        claims_record=record_link(shown(session.layout.claims, root)) if session.layout.claims.exists() else "",
        findings=[finding for finding in findings if finding.outcome != "ok"],
        checks=[finding for finding in findings if finding.outcome == "ok"],
        deviations=load_deviations(),
        agreement=agreement_html(session),
        coverage=table_html(all_coverage(session, results), record_link),
        costs=table_html(costs_table(read_costs(session.layout.times)), record_link),
        records=lineage([*results.files, *(path for path in made if path.exists())], root),
        **first_screen(session),
    )
    write_metrics(results, out.with_name("metrics.json"))
    if any(outcome.difference is not None for outcome in outcomes):
        stamp = f"{config.profile} profile" if scale_obstacle(config) else ""
        write_figure(forest(outcomes), session.layout.results / "figures", "claims", stamp)
    write_text(out, html)


def first_screen(session: Session) -> dict[str, Any]:
    """The film with its replies and the recall of the cones, as far as they were measured."""
    measured = session.measurement(FILM_ITEM)
    film = film_of(measured, session.titles) if "timeline" in measured else None
    replies = replies_table(session, main_runs(session))
    found = recalls(session.measurement(RECALL_ITEM))
    recall = recall_summary(found, MAIN_RUN)
    return {
        "film": film,
        "replies": replies,
        "replies_html": table_html(replies, record_link),
        "recall": embedded_figure(recall) if recall is not None else "",
        "recall_reading": recall_sentence(found, MAIN_RUN),
    }


def grouped(sections: Sequence[Section]) -> dict[str, list[Section]]:
    """Part of the page -> its sections, parts without any left out."""
    part_of = {item: part for part, items in GROUPS.items() for item in items}
    parts: dict[str, list[Section]] = {part: [] for part in (*GROUPS, OTHERS)}
    for one in sections:
        parts[part_of.get(one.name, OTHERS)].append(one)
    return {part: found for part, found in parts.items() if found}


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
    item = read_model(SavedItem, path, "run its notebook again")
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
    return coverage_table("all", results, results.runs(), benchmarks).named(session.titles)


__all__ = ["headline", "render"]
