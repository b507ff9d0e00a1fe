"""How every question came out for every run and seed: what the claims are tested on, kept small so that it adds up.

`docs/claims/{profile}/` holds two kinds of Parquet files, each one `pandas.read_parquet` away:

    {benchmark}-{questions}.parquet               its samples: id, film, groups
    {settings}-seed-{seed}-{processor}.parquet    run, benchmark, metric, and the value of each sample

A run that was scored anywhere adds its seeds: another file, or more rows in one. A row carries the
settings of its run, the questions it answered and the content of the model that answered, so that what
was made under other settings or on other questions is never mixed in, and one model never counts twice.
The same seed on another processor is another model, and so a further seed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from dynfocus.errors import UserError
from dynfocus.machine.faults import remedy_for

RESTORE = "restore it from the repository"
STORED = Path("docs") / "claims"
"""Evidence that travels with the repository, one folder a profile."""
Key = tuple[int, str]
"""A training: its seed and the processor that it ran on."""
Unit = tuple[str, str, str]
"""Run, benchmark and metric."""


@dataclass(frozen=True)
class Questions:
    """The samples of one version of a benchmark, in a fixed order: ids, films, and labels such as `duration=long`."""

    benchmark: str
    ids: tuple[str, ...]
    films: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def with_label(self, label: str) -> NDArray[np.bool_]:
        """Which samples count under a label, all of them for the empty one."""
        return np.array([not label or label in labels for labels in self.labels])

    def parts(self, grouping: str) -> NDArray[np.bool_]:
        """(P, Q): which samples count under each label of a grouping."""
        names = sorted({label for labels in self.labels for label in labels if label.startswith(f"{grouping}=")})
        return np.array([self.with_label(name) for name in names])


@dataclass(frozen=True)
class Series:
    """The values of one run, seed, benchmark and metric, NaN where there is none, in the order of the questions."""

    run: str
    benchmark: str
    metric: str
    seed: int
    processor: str
    model: str
    settings: str
    questions: str
    finished: str
    commit: str
    values: NDArray[np.floating]

    @property
    def unit(self) -> Unit:
        return self.run, self.benchmark, self.metric

    @property
    def key(self) -> Key:
        return self.seed, self.processor


COLUMNS = tuple(field.name for field in fields(Series))


@dataclass(frozen=True)
class Evidence:
    """Series and the questions that they answer, by the questions' hash; `notes` say what was left out and why."""

    series: tuple[Series, ...] = ()
    questions: dict[str, Questions] | None = None
    notes: tuple[str, ...] = ()

    def of(self, run: str, name: str, metric: str) -> dict[Key, Series]:
        """The series of a unit, by training."""
        return {one.key: one for one in self.series if one.unit == (run, name, metric)}

    def asked(self, one: Series) -> Questions:
        """The questions that a series answers."""
        return (self.questions or {})[one.questions]

    def joined(self, other: Evidence) -> Evidence:
        """Both together; where both have a unit of one training, this one's."""
        mine = {(one.unit, one.key, one.settings, one.questions) for one in self.series}
        added = [one for one in other.series if (one.unit, one.key, one.settings, one.questions) not in mine]
        questions = {**(other.questions or {}), **(self.questions or {})}
        return Evidence((*self.series, *added), questions, (*self.notes, *other.notes))

    def fitting(self, wanted: Mapping[str, str]) -> Evidence:
        """What was made under the `wanted` settings of each run, by hash, on the newest questions of each benchmark."""
        fitting = [one for one in self.series if wanted.get(one.run) == one.settings]
        newest = {one.benchmark: one.questions for one in sorted(fitting, key=lambda one: one.finished)}
        chosen = tuple(one for one in fitting if newest[one.benchmark] == one.questions)
        left, notes = len(self.series) - len(chosen), self.notes
        if left:
            notes = (*notes, f"{left} of {len(self.series)} stored series are of other settings or questions: left out")
        return replace(self, series=chosen, notes=notes)


def carried_evidence(profile: str, stored: Path = STORED) -> list[Path]:
    """The files of the evidence that the repository carries for a profile."""
    return sorted((stored / profile).glob("*.parquet"))


def read_evidence(folder: Path) -> Evidence:
    """Everything stored in a folder; nothing where there is none. Raises UserError for a file that cannot be read."""
    series = tuple(one for path in sorted(folder.glob("*-seed-*.parquet")) for one in read_file(path))
    names = sorted({one.questions for one in series})
    return Evidence(series, {name: _read_questions(folder / f"{name}.parquet") for name in names})


def read_file(path: Path) -> tuple[Series, ...]:
    """The series of one file."""
    return tuple(_series(row, path) for row in _read(path, COLUMNS).to_dict("records"))


def _series(row: dict[Hashable, Any], path: Path) -> Series:
    words = {name: row[name] for name in COLUMNS if name not in ("seed", "values")}
    words["commit"] = words["commit"] if isinstance(words["commit"], str) else ""  # none outside a repository
    try:
        seed, values = int(row["seed"]), np.array(row["values"], float)
        if seed != row["seed"] or values.ndim != 1 or not all(isinstance(word, str) for word in words.values()):
            raise ValueError("a field of another type")
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: cannot be read as stored evidence ({error}); {RESTORE}") from error
    return Series(**words, seed=seed, values=values)


def _read_questions(path: Path) -> Questions:
    table = _read(path, ("id", "film", "labels"))
    name = path.stem.rpartition("-")[0]
    try:
        return Questions(name, tuple(table["id"]), tuple(table["film"]), tuple(tuple(one) for one in table["labels"]))
    except TypeError as error:
        raise UserError(f"{path}: cannot be read as stored evidence ({error}); {RESTORE}") from error


def _read(path: Path, columns: Iterable[str]) -> pandas.DataFrame:
    """The table of a file with exactly these columns."""
    try:
        table = pandas.read_parquet(path)
    except Exception as error:  # of a broken file, its libraries raise almost anything
        if remedy_for(error, reading=True):
            raise
        raise UserError(f"{path}: cannot be read as stored evidence ({error}); {RESTORE}") from error
    if set(table.columns) != set(columns):
        raise UserError(f"{path}: cannot be read as stored evidence (has other columns); {RESTORE}")
    return table
