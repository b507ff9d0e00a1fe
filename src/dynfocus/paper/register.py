"""The claims register: what the paper prints, as typed rows.

`data/cells.csv`       every cell of every table of the appendix, the numbers of its text, and the
                       main-paper values (labelled as read through a published summary)
`data/claims.csv`      the directions that the text claims ("DPC-KNN beats K-means")
`data/margins.csv`     how small a difference counts as none, stated before any outcome
`data/deviations.yaml` where the sources disagree, and the choice made

A cell joins to a result by run, benchmark, metric and group; a cell without a run is somebody
else's number or a fact of the text. Rows are validated on loading, so a typing error in the
register stops the report instead of printing a wrong comparison.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dynfocus.errors import UserError

NUMERIC_UNITS = (
    "percent", "score", "score10", "hours", "gflops", "ms", "s", "pixels", "fps", "tokens", "count", "rate", "ratio",
)  # fmt: skip
Unit = Literal[
    "percent", "score", "score10", "hours", "gflops", "ms", "s", "pixels", "fps", "tokens", "count", "rate", "ratio",
    "text", "missing",
]  # fmt: skip


class Entry(BaseModel):
    """A row of the register."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str


Row = TypeVar("Row", bound=Entry)


class Cell(Entry):
    """One printed cell; `value` keeps the paper's own digits, and is empty where `unit` is `missing`."""

    table: str
    row: str
    column: str
    value: str
    unit: Unit
    metric: str
    benchmark: str
    group: str
    run: str
    source: str
    note: str

    @model_validator(mode="after")
    def _value_fits_unit(self) -> Cell:
        if self.unit == "missing" and self.value:
            raise ValueError(f"{self.id}: a missing cell carries the value {self.value!r}")
        if self.unit != "missing" and not self.value:
            raise ValueError(f"{self.id}: no value; give the unit `missing` to a cell that the paper leaves empty")
        if self.unit in NUMERIC_UNITS:
            float(self.value)
        if self.group and self.group.count("=") != 1:
            raise ValueError(f"{self.id}: group {self.group!r} is not `grouping=label`")
        return self

    @property
    def number(self) -> float | None:
        """The printed number, None for text and missing cells."""
        return float(self.value) if self.unit in NUMERIC_UNITS else None

    @property
    def decimals(self) -> int:
        """Digits that the paper prints after the point."""
        return len(self.value.partition(".")[2]) if self.number is not None else 0


OWN_CHECK = "a check of ours"
"""Source of a direction that the paper does not state, but that its claims rest on."""


class Claim(Entry):
    """One direction of the text, or one that the others rest on (`source` is `OWN_CHECK`).

    `pair`: run `better` has the higher metric than run `worse`; `run:metric` names another metric.
    `optimum_larger`, `optimum_smaller`: over the runs of sweep `better`, the best setting on the
    first group of `group` (`first>second`) is larger, or smaller, than on the second.
    """

    statement: str
    source: str
    kind: Literal["pair", "optimum_larger", "optimum_smaller"]
    benchmark: str
    metric: str
    group: str
    better: str
    worse: str
    note: str

    @model_validator(mode="after")
    def _sides_are_named(self) -> Claim:
        if self.kind == "pair" and not (self.better and self.worse):
            raise ValueError(f"{self.id}: a pair names a better and a worse run")
        if self.kind != "pair" and self.group.count(">") != 1:
            raise ValueError(f"{self.id}: an optimum compares two groups, `first>second`")
        return self

    def runs(self, known: Iterable[str]) -> list[str]:
        """The runs among `known` that it compares: two, or all of a sweep (`prototypes_5`, `prototypes_15`, ...)."""
        if self.kind == "pair":
            sides = [side.partition(":")[0] for side in (self.better, self.worse)]
            return [run for run in sides if run in known]
        return [run for run in known if re.fullmatch(rf"{self.better}_\d+", run)]


class Margin(Entry):
    """Below which difference two runs count as equal; `id` is `benchmark metric`, or a sweep for its best setting."""

    margin: float
    unit: str
    reason: str


class Deviation(Entry):
    """One disagreement between the sources; `setting` is the config key that settles it, if any."""

    point: str
    values: dict[str, str | int | float]
    choice: str | float | int
    setting: str


def read(name: str) -> str:
    """Text of a file of the register."""
    return (files(__package__) / "data" / name).read_text(encoding="utf-8")


def parse(rows: list[dict], kind: type[Row], name: str) -> tuple[Row, ...]:
    """Validate rows and the uniqueness of their ids; UserError names the file and the row."""
    parsed: dict[str, Row] = {}
    for row in rows:
        try:
            entry = kind.model_validate(row)
        except ValidationError as error:
            raise UserError(f"{name}, row {row.get('id')!r}: {error.errors()[0]['msg']}") from error
        if entry.id in parsed:
            raise UserError(f"{name}: the id {entry.id!r} occurs twice; give each row its own")
        parsed[entry.id] = entry
    return tuple(parsed.values())


@cache
def load_cells() -> tuple[Cell, ...]:
    """Every printed cell."""
    return parse(list(csv.DictReader(read("cells.csv").splitlines())), Cell, "cells.csv")


@cache
def load_claims() -> tuple[Claim, ...]:
    """Every direction claim."""
    return parse(list(csv.DictReader(read("claims.csv").splitlines())), Claim, "claims.csv")


@cache
def load_margins() -> dict[str, Margin]:
    """Every margin, by its id."""
    return {one.id: one for one in parse(list(csv.DictReader(read("margins.csv").splitlines())), Margin, "margins.csv")}


def margin_of(claim: Claim) -> float:
    """The margin of a claim. Raises UserError where none is stated."""
    name = f"{claim.benchmark} {claim.metric}" if claim.kind == "pair" else claim.better
    if name not in load_margins():
        raise UserError(f"margins.csv: no margin for {name!r}, which {claim.id} is tested on; add a row")
    return load_margins()[name].margin


@cache
def load_deviations() -> tuple[Deviation, ...]:
    """Every disagreement of the sources."""
    return parse(yaml.safe_load(read("deviations.yaml")), Deviation, "deviations.yaml")


def cells_of(table: str) -> tuple[Cell, ...]:
    """The cells of one table, in print order."""
    return tuple(cell for cell in load_cells() if cell.table == table)


def value_of(cell_id: str) -> float:
    """The number of one cell."""
    number = next(cell.number for cell in load_cells() if cell.id == cell_id)
    if number is None:
        raise ValueError(f"{cell_id} is not a number")
    return number


def deviations_page() -> str:
    """`docs/deviations.md`, generated from the register."""
    lines = [
        "# Where the sources disagree",
        "",
        "Generated from `src/dynfocus/paper/data/deviations.yaml`. A: the paper's appendix; M: the main paper,",
        "through a published summary; R: the behaviour of the released code.",
        "",
        "| point | values | choice | setting |",
        "| --- | --- | --- | --- |",
    ]
    for item in load_deviations():
        values = "; ".join(f"{source}: {value}" for source, value in item.values.items())
        setting = f"`{item.setting}`" if item.setting else ""
        lines.append(f"| {item.point} | {values} | {item.choice} | {setting} |")
    return "\n".join(lines) + "\n"
