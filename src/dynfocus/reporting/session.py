"""What a notebook opens: the configuration, the results and the place where its outputs go.

    session = open_session(profile="mini")
    table = session.paper_table("table_5", "Clustering algorithms")
    session.save("table_5", tables=[table])

Everything that a notebook saves is stored twice: for people (CSV, Markdown, LaTeX, PDF, SVG, PNG)
and as `{root}/results/tables/{item}.json`, from which the report is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from dynfocus.config import load_config, load_experiments
from dynfocus.config.experiments import Experiments
from dynfocus.config.schema import Config
from dynfocus.datasets.registry import training_set
from dynfocus.errors import UserError
from dynfocus.files import read_json, write_text
from dynfocus.machine.startup import prepare_process
from dynfocus.reporting import tables
from dynfocus.reporting.export import write_tables
from dynfocus.reporting.names import in_words
from dynfocus.reporting.results import Results
from dynfocus.reporting.tables import Scale, Table
from dynfocus.reporting.verdicts import judge_obstacle, scale_obstacle
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.layout import Layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SavedFigure(BaseModel):
    """A figure of an item: `stem` is its file name without suffix in results/figures."""

    stem: str
    caption: str


class SavedItem(BaseModel):
    """What a notebook made, as the report reads it."""

    item: str
    title: str
    profile: str
    tables: list[Table] = []
    figures: list[SavedFigure] = []
    notes: list[str] = []


@dataclass(frozen=True)
class Shown:
    """What `save` stored, drawn in the notebook: the figures and notes (the tables have cells of their own)."""

    item: SavedItem
    results: Path

    def _repr_html_(self) -> str:
        from dynfocus.reporting.page import figures_html

        return figures_html(self.item, self.results)


@dataclass(frozen=True)
class Session:
    """One profile's configuration and results."""

    config: Config
    root: Path
    seed: int | None = None

    @property
    def layout(self) -> Layout:
        """Paths below the root."""
        return Layout(self.root)

    @cached_property
    def experiments(self) -> Experiments:
        """Runs and report items."""
        stored = self.layout.experiments
        return load_experiments(stored if stored.exists() else Path(self.config.experiments), self.config)

    @property
    def titles(self) -> dict[str, str]:
        """Run -> its name in tables and figures."""
        return {name: run.title for name, run in self.experiments.runs.items()}

    @cached_property
    def jobs(self) -> Jobs:
        """What the workflow makes: resolved runs and where their checkpoints are."""
        return Jobs(self.config, self.experiments)

    def seeds(self, item: str = "") -> tuple[int, ...]:
        """The seed that was asked for; else those of the item, or of the profile."""
        if self.seed is not None:
            return (self.seed,)
        entry = self.experiments.items.get(item)
        return tuple(entry.seeds if entry is not None and entry.seeds else self.config.seeds)

    def results(self, item: str = "") -> Results:
        """Scores of the seeds that an item shows."""
        return Results(self.root, self.seeds(item), self.config.evaluation.judge.max_unjudged)

    @property
    def scale(self) -> Scale:
        """Whether values of this profile can be held against the paper's."""
        return Scale(self.config.profile, scale_obstacle(self.config), partial(judge_obstacle, self.config))

    def paper_table(self, item: str, title: str, table: str = "", **layout) -> Table:
        """The paper's table of an item (`table` where the register names it otherwise) joined to our results."""
        return tables.paper_table(table or item, title, self.results(item), self.scale, **layout)

    def measurement(self, item: str) -> dict[str, Any]:
        """What was measured for an item; only `gap`, the reason, where that is not here."""
        path = self.layout.measurement(item)
        if not path.is_file():
            return {"gap": f"nothing was measured for {item}; make it with: dynfocus measure-item --item {item}"}
        return read_json(path, dict, repair=f"measure it again: dynfocus measure-item --item {item}")

    def coverage(self, item: str) -> Table:
        """Coverage and failures of the runs and benchmarks of an item."""
        entry = self.experiments.items[item]
        return tables.coverage_table(item, self.results(item), entry.runs, entry.benchmarks)

    def save(
        self,
        item: str,
        title: str,
        tables: Iterable[Table] = (),
        figures: Mapping[str, tuple[Figure, str]] | None = None,
        notes: Iterable[str] = (),
    ) -> Shown:
        """Store an item's tables, figures (name -> figure and caption) and notes below `results/`."""
        replaced = substitution_notes(self.config)
        titles = self.titles
        named = [table.named(titles) for table in tables]
        tables = [table.model_copy(update={"notes": [*table.notes, *replaced]}) for table in named]
        write_tables(tables, self.layout.results / "tables", item)
        saved = []
        for name, (figure, caption) in (figures or {}).items():
            from dynfocus.reporting.figures import write_figure

            stamp = f"{self.config.profile} profile" if self.scale.obstacle else ""
            write_figure(figure, self.layout.results / "figures", f"{item}_{name}", stamp)
            saved.append(SavedFigure(stem=f"{item}_{name}", caption=in_words(caption, titles)))
        record = SavedItem(
            item=item, title=title, profile=self.config.profile, tables=tables, figures=saved, notes=list(notes)
        )
        path = self.layout.results / "tables" / f"{item}.json"
        write_text(path, record.model_dump_json(indent=1))
        return Shown(record, self.layout.results)


def substitution_notes(config: Config) -> list[str]:
    """What stands under every table: training sets of the paper that this profile replaces or leaves out."""
    return [
        f"Training set {training_set(name).title} "
        + (f"replaced by {' and '.join(training_set(other).title for other in others)}." if others else "left out.")
        for name, others in config.substitutes.items()
    ]


def open_session(profile: str = "mini", root: str = "", seed: int | None = None) -> Session:
    """A profile's session; `root` replaces the profile's folder, and a configuration stored there wins.

    Raises UserError when neither `{root}/work/config.yaml` nor `config/{profile}.yaml` is there.
    """
    prepare_process()
    file = Path("config") / f"{profile}.yaml"
    stored = Layout(Path(root)).config if root else None
    if stored is not None and stored.exists():
        file = stored
    if not file.exists():
        raise UserError(f"{file}: no such profile; start from the repository's folder, or give `root`")
    config = load_config([file], [f"root={root}"] if root else [])
    return Session(config, Path(config.root), seed)
