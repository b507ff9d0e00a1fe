"""Tables of the report: the paper's number, ours, interval, difference and verdict in every cell.

A `Table` is plain data (it is stored as JSON by the notebook that makes it and read by the report),
built here from the claims register and the results; `export.py` and `page.py` write it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from dynfocus.paper.register import Cell, cells_of
from dynfocus.reporting.names import benchmark_name, in_words, judge_name
from dynfocus.reporting.numbers import plain, signed
from dynfocus.reporting.results import Gap, Measured, Results, part_text
from dynfocus.reporting.verdicts import Verdict, judge_value

DECIMALS = {"percent": 1, "score": 2, "score10": 2, "hours": 2, "s": 2, "ms": 2, "gflops": 2}
"""Digits after the point of our values where the paper prints none."""
LOWER_IS_BETTER = frozenset({"hours", "s", "ms", "gflops"})
RANKED = LOWER_IS_BETTER - {"gflops"} | {"percent", "score", "score10"}

NUMBER = re.compile(r"(?:[<+−-]?[\d.,]+(?: ?(?:%|MB|s|h|min|\d\d))*|–)")
"""A cell of text that stands for a number, with its unit or without."""
MOST_UNREAD = 0.1
"""Share of replies without an option from which a table says so beside the score."""


class Comparison(BaseModel):
    """One cell. `gap` says why ours is not there; `record` is the score file, relative to the root.

    `measure` says what was measured on what: ranks are taken among cells of the same.
    """

    model_config = ConfigDict(frozen=True)

    paper: float | None = None
    paper_text: str = ""
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "percent"
    measure: str = ""
    decimals: int = 1
    verdict: str = Verdict.NOT_ATTEMPTED.value
    gap: str = ""
    note: str = ""
    record: str = ""
    questions: int = 0
    seeds: int = 0
    coverage: str = ""
    cell_id: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's; None at another scale, where it says nothing."""
        if self.ours is None or self.paper is None or self.verdict == Verdict.OTHER_SCALE:
            return None
        return self.ours - self.paper

    def number(self, value: float | None) -> str:
        """A value with the cell's digits; empty for None."""
        return "" if value is None else plain(value, self.decimals)

    @property
    def interval(self) -> str:
        """`[low, high]`, empty when there is none."""
        return "" if self.low is None or self.high is None else f"[{self.number(self.low)}, {self.number(self.high)}]"

    @property
    def signed_difference(self) -> str:
        """The difference with its sign, empty when there is none."""
        return "" if self.difference is None else signed(self.difference, self.decimals)


class Row(BaseModel):
    """Labels of a row and its cells, one per column."""

    labels: list[str]
    cells: list[Comparison | str]

    def number(self, index: int) -> Comparison:
        """The cell of a column of numbers."""
        cell = self.cells[index]
        assert isinstance(cell, Comparison), "the column holds numbers"
        return cell


class Table(BaseModel):
    """A table: `heads` name the label columns, `columns` the others."""

    id: str
    title: str
    heads: list[str]
    columns: list[str]
    rows: list[Row]
    caption: str = ""
    notes: list[str] = []

    def _repr_html_(self) -> str:
        """The table in a notebook; cells link to the score files beside the notebook."""
        from dynfocus.reporting.page import table_html

        return table_html(self, link=lambda record: f"../{record.removeprefix('results/')}")

    def is_text(self, column: int) -> bool:
        """Whether a column holds words only (it is then aligned to the left)."""
        cells = [row.cells[column] for row in self.rows]
        return all(isinstance(cell, str) for cell in cells) and not all(NUMBER.fullmatch(str(cell)) for cell in cells)

    def ranks(self, column: int) -> dict[int, str]:
        """Row -> its rank in a column beside the paper's, over the rows that have both numbers of the same measure.

        Empty where values compare.
        """
        both: dict[str, dict[int, Comparison]] = {}
        for place, row in enumerate(self.rows):
            cell = row.cells[column]
            if (
                isinstance(cell, Comparison)
                and cell.verdict == Verdict.OTHER_SCALE
                and cell.unit in RANKED
                and None not in (cell.ours, cell.paper)
            ):
                both.setdefault(cell.measure, {})[place] = cell
        ranks = {}
        for cells in (found for found in both.values() if len(found) > 1):
            for place, cell in cells.items():
                ours, paper = (
                    rank_of(getattr(cell, whose), [getattr(one, whose) for one in cells.values()], cell.unit)
                    for whose in ("ours", "paper")
                )
                ranks[place] = f"rank {ours} of these {len(cells)}, paper {paper}"
        return ranks

    def all_ranks(self) -> list[dict[int, str]]:
        """The ranks of every column."""
        return [self.ranks(column) for column in range(len(self.columns))]

    def named(self, titles: Mapping[str, str]) -> Table:
        """The table with the names of runs and benchmarks in the place of their identifiers."""

        def label(text: str) -> str:
            return titles[text] if text in titles else in_words(text, titles)

        return self.model_copy(
            update={
                "title": in_words(self.title, titles),
                "columns": [label(column) for column in self.columns],
                "rows": [row.model_copy(update={"labels": [label(text) for text in row.labels]}) for row in self.rows],
                "caption": in_words(self.caption, titles),
                "notes": [in_words(note, titles) for note in self.notes],
            }
        )

    def comparisons(self) -> list[Comparison]:
        """All cells that hold numbers."""
        return [cell for row in self.rows for cell in row.cells if isinstance(cell, Comparison)]


def rank_of(value: float, values: Iterable[float], unit: str) -> int:
    """The place of a value among all, 1 for the best; equals share a place."""
    return 1 + sum(other < value if unit in LOWER_IS_BETTER else other > value for other in values)


def with_equal_digits(rows: Sequence[Row]) -> list[Row]:
    """Rows whose columns have one number of digits after the point each, the largest of their cells of a unit."""
    most: dict[tuple[int, str], int] = {}
    for row in rows:
        for column, cell in enumerate(row.cells):
            if isinstance(cell, Comparison) and cell.ours is not None:
                most[column, cell.unit] = max(cell.decimals, most.get((column, cell.unit), 0))

    def even(column: int, cell: Comparison | str) -> Comparison | str:
        if not isinstance(cell, Comparison) or (column, cell.unit) not in most:
            return cell
        return cell.model_copy(update={"decimals": most[column, cell.unit]})

    return [
        row.model_copy(update={"cells": [even(column, cell) for column, cell in enumerate(row.cells)]}) for row in rows
    ]


@dataclass(frozen=True)
class Scale:
    """Whether values can be held against the paper's: why not, for the profile and per benchmark."""

    profile: str
    obstacle: str = ""
    benchmark_obstacle: Callable[[str], str] = lambda benchmark: ""

    def against(self, benchmark: str) -> str:
        """The obstacle that applies to a benchmark; empty when there is none."""
        return self.obstacle or self.benchmark_obstacle(benchmark)


def compare_cell(cell: Cell, results: Results, scale: Scale) -> Comparison | str:
    """One printed cell beside our result; text cells stay text."""
    if cell.unit == "text":
        return cell.value
    scored = cell.run and cell.benchmark and cell.metric not in ("latency", "llm_size")
    ours = results.get(cell.run, cell.benchmark, cell.metric, cell.group) if scored else None
    return compare_value(cell, ours, scale)


def compare_value(cell: Cell, ours: Measured | Gap | None, scale: Scale) -> Comparison:
    """A printed cell beside a result that was found, is missing, or was never ours to make (None)."""
    fixed = {
        "paper": cell.number,
        "paper_text": cell.value or "–",
        "unit": cell.unit,
        "measure": f"{cell.benchmark}/{cell.metric}",
        "decimals": cell.decimals or DECIMALS.get(cell.unit, 1 if cell.unit == "missing" else 0),
        "note": cell.note,
        "cell_id": cell.id,
        "verdict": judge_value(cell.number, ours, scale.against(cell.benchmark)).value,
    }
    if isinstance(ours, Measured):
        return Comparison(**fixed, **measured_fields(ours))
    return Comparison(**fixed, gap="" if ours is None else f"{ours.state}: {ours.reason}")


def measured_fields(ours: Measured) -> dict:
    """The fields of a cell that come from a result."""
    answered = f"{ours.answered} of {ours.total}" if ours.total else ""
    return {
        "ours": ours.value,
        "low": ours.low,
        "high": ours.high,
        "record": ours.files[0],
        "questions": ours.questions,
        "seeds": len(ours.seeds),
        "coverage": "; ".join(text for text in (answered, ours.part) if text),
    }


def own_cell(ours: Measured | Gap, unit: str = "percent") -> Comparison:
    """A cell for which the paper prints nothing."""
    decimals = DECIMALS.get(unit, 1)
    if isinstance(ours, Gap):
        return Comparison(unit=unit, decimals=decimals, gap=f"{ours.state}: {ours.reason}")
    verdict = Verdict.NOT_ATTEMPTED.value
    return Comparison(unit=unit, decimals=decimals, verdict=verdict, **measured_fields(ours))


def paper_table(
    table: str,
    title: str,
    results: Results,
    scale: Scale,
    heads: Sequence[str] = ("Model",),
    caption: str = "",
    cells: Iterable[Cell] | None = None,
    floor: tuple[str, str] | None = None,
) -> Table:
    """A table of the paper in its own layout, every cell joined to our results.

    A row label holds one part per head, split at ` | `; a column that a row does not have stays empty. `floor` is a
    (label, run) that the paper does not have, a last row of ours to read the others against.
    """
    chosen = tuple(cells) if cells is not None else cells_of(table)
    columns = list(dict.fromkeys(cell.column for cell in chosen))
    rows = []
    for label in dict.fromkeys(cell.row for cell in chosen):
        by_column = {cell.column: compare_cell(cell, results, scale) for cell in chosen if cell.row == label}
        rows.append(Row(labels=label.split(" | "), cells=[by_column.get(column, "") for column in columns]))
    if floor is not None:
        label, run = floor
        asked = {cell.column: cell for cell in sorted(chosen, key=lambda cell: cell.unit != "missing")}
        found = [
            own_cell(results.get(run, asked[name].benchmark, asked[name].metric, asked[name].group), asked[name].unit)
            for name in columns
        ]
        rows.append(Row(labels=[label], cells=found))
    even = with_equal_digits(rows)
    built = Table(id=table, title=title, heads=list(heads), columns=columns, rows=even, caption=caption)
    pairs = [(cell.run, cell.benchmark) for cell in chosen]
    notes = [*table_notes(built, chosen, scale), *unread_notes(results, pairs), *part_notes(results, pairs)]
    return built.model_copy(update={"notes": notes})


def part_notes(results: Results, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for every benchmark of which a sample alone was asked, or that was asked with subtitles."""
    texts = []
    for run, benchmark in dict.fromkeys(pairs):
        for seed in results.seeds:
            text = part_text(results.records.get((run, seed, benchmark), {}))
            texts += [f"{benchmark_name(benchmark)}: {text}."] * bool(text)
    return list(dict.fromkeys(texts))


def unread_notes(results: Results, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for every (run, benchmark) whose score says more of how replies are written than of what was seen."""
    notes = []
    for run, benchmark in dict.fromkeys(pairs):
        for seed in results.seeds:
            record = results.records.get((run, seed, benchmark), {})
            unread, total = record.get("failures", {}).get("unparsed", 0), record.get("coverage", {}).get("total", 0)
            if total and unread / total > MOST_UNREAD:
                notes.append(
                    f"{run} on {benchmark_name(benchmark)}, seed {seed}: {unread} of {total} replies name no option "
                    "and count as wrong; the score tells less of what the model saw."
                )
    return notes


def table_notes(table: Table, cells: Iterable[Cell], scale: Scale) -> list[str]:
    """What a reader must know to read the table: scale, judges, gaps, remarks on single cells."""
    measured = [cell for cell in table.comparisons() if cell.ours is not None]
    notes = []
    if measured and scale.obstacle:
        notes.append(f"{scale.profile.capitalize()} profile, {scale.obstacle}; so ranks stand beside the paper's.")
    elif measured:
        benchmarks = dict.fromkeys(cell.benchmark for cell in cells)
        notes += [f"{benchmark_name(name)}: {scale.against(name)}." for name in benchmarks if scale.against(name)]
    if any(cell.paper is not None and cell.ours is None and not cell.gap for cell in table.comparisons()):
        notes.append("A number alone is the paper's; no run of ours stands for it.")
    gaps = sum(bool(cell.gap) for cell in table.comparisons())
    if gaps:
        notes.append(f"Numbers of ours that are missing or withheld: {gaps}; point at a cell for the reason.")
    remarks = dict.fromkeys((cell.row.split(" | ")[0], cell.note) for cell in cells if cell.note)
    by_note: dict[str, list[str]] = {}
    for row, note in remarks:
        by_note.setdefault(note, []).append(row)
    for note, rows in by_note.items():
        names = list(dict.fromkeys(rows))
        about = f"{', '.join(names)}: " if len(names) <= 2 else "Paper: "
        notes.append(f"{about}{note}.")
    return notes


def plain_table(
    id: str,
    title: str,
    heads: Sequence[str],
    columns: Sequence[str],
    rows: Iterable[tuple[Sequence[str], Sequence[Comparison | str]]],
    caption: str = "",
    notes: Iterable[str] = (),
) -> Table:
    """A table that the paper does not lay out: statistics, settings, coverage, costs."""
    return Table(
        id=id,
        title=title,
        heads=list(heads),
        columns=list(columns),
        rows=[Row(labels=list(labels), cells=list(cells)) for labels, cells in rows],
        caption=caption,
        notes=list(notes),
    )


def coverage_table(id: str, results: Results, runs: Iterable[str], benchmarks: Iterable[str]) -> Table:
    """Answers, failures and bounds behind a table: a row per run and seed, a column per benchmark."""
    columns = list(dict.fromkeys(benchmarks))
    rows = []
    for run in dict.fromkeys(runs):
        for seed in results.seeds:
            records = [results.records.get((run, seed, benchmark)) for benchmark in columns]
            if any(records):
                rows.append(((run, str(seed)), [coverage_text(record) for record in records]))
    judges = {
        judge_name(record["judge"])
        for (_, _, name), record in results.records.items()
        if name in columns and record["judge"]
    }
    notes = [f"Open answers judged by: {', '.join(sorted(judges))}."] if judges else []
    return plain_table(f"{id}_coverage", "Coverage and failures", ("Run", "Seed"), columns, rows, notes=notes)


def coverage_text(record: Mapping | None) -> str:
    """`38 of 40 answered; 2 unjudged; accuracy 55.0 to 60.0`: answers, failures, bounds; a dash without a record."""
    if record is None:
        return "–"
    coverage, failures = record.get("coverage", {}), record.get("failures", {})
    parts = [f"{coverage.get('answered', '?')} of {coverage.get('total', '?')}"]
    parts += [part_text(record)] * bool(part_text(record))
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in failures.items() if count]
    worst, best = coverage.get("worst") or {}, coverage.get("best") or {}
    name = next((metric for metric in worst if metric in best and worst[metric] < best[metric]), None)
    if name is not None:
        parts.append(f"{name} between {worst[name]:.1f} and {best[name]:.1f}")
    return "; ".join(parts)
