"""Judge drift: the same answers marked by two judges, or by one judge twice.

A judged number belongs to its judge. How far another judge, another day or another snapshot moves it
is read from two verdict files on the same answers, item by item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks.short_answer import yes_no_values
from dynfocus.evaluation.questions import Verdict
from dynfocus.evaluation.records import read_verdicts
from dynfocus.reporting.tables import Table, plain_table

YES = "yes"
COLUMNS = ("both", "first alone", "second alone", "first", "second", "shift", "95 %", "same", "κ")


@dataclass
class Marks:
    """One kind of mark of two judges: the pairs and their items, how many only one of them marked, and who they are."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    first_alone: int = 0
    second_alone: int = 0
    judges: set[tuple[str, str]] = field(default_factory=set)

    def add(self, item: str, first: float | None, second: float | None) -> None:
        """Count an item; None: that judge gave no mark that can be read."""
        if first is not None and second is not None:
            self.pairs.append((first, second))
            self.items.append(item)
        self.first_alone += first is not None and second is None
        self.second_alone += second is not None and first is None


def agreement(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Chance-corrected agreement, 1 - Σ(a - b)² / E(a - b)², the expectation under independent marks.

    For two classes this is Cohen's κ (1960); for scores his κ with quadratic weights (1968). None
    where there is nothing to correct: no pairs, or one and the same mark throughout.
    """
    if not pairs:
        return None
    first, second = np.array(pairs, dtype=float).T
    expected = first.var() + second.var() + (first.mean() - second.mean()) ** 2
    return float(1 - np.mean((first - second) ** 2) / expected) if expected else None


def read_marks(files: Iterable[tuple[Path, Path]]) -> dict[tuple[str, str, str], Marks]:
    """Marks by benchmark, criterion and kind, pooled over pairs of verdict files of one run and seed each.

    Raises UserError where two files are not about the same items.
    """
    found: dict[tuple[str, str, str], Marks] = {}
    for paths in files:
        first, second = (
            {(name, *key): verdict for name, rows in read_verdicts(path).items() for key, verdict in rows.items()}
            for path in paths
        )
        if first.keys() != second.keys():
            raise UserError(
                f"{paths[0]} and {paths[1]}: {len(first.keys() ^ second.keys())} items are in one of them alone; "
                "judge the same answers twice"
            )
        for (name, _, criterion), verdict in first.items():
            other = second[name, verdict.item_id, criterion]
            left, right = values_of(verdict), values_of(other)
            for kind in sorted(left.keys() | right.keys()):
                marks = found.setdefault((name, criterion, kind), Marks())
                marks.add(verdict.item_id, left.get(kind), right.get(kind))
                marks.judges.add((verdict.judge, other.judge))
    return found


def values_of(verdict: Verdict) -> Mapping[str, float | None]:
    """The marks of a verdict as numbers: `yes` as 0 or 1, scores as they are; empty without a readable reply."""
    if verdict.marks is None:
        return {}
    scores = {kind: float(value) for kind, value in verdict.marks.items() if kind != "pred"}
    if "pred" in verdict.marks:
        return {YES: yes_no_values(verdict)["accuracy"], **scores}
    return scores


def agreement_table(files: Iterable[tuple[Path, Path]]) -> Table:
    """What each judge says on average, the shift from first to second with its interval, and their agreement.

    Answers are paired, over all pairs of files. Yes/no in per cent, scores as the judge gives them.
    """
    files = list(files)
    found = read_marks(files)
    judges = sorted({pair for marks in found.values() for pair in marks.judges})
    rows = [((name, criterion, kind), _cells(kind, marks)) for (name, criterion, kind), marks in sorted(found.items())]
    return plain_table(
        "judge_agreement",
        "Agreement of two judges on the same answers",
        ("benchmark", "criterion", "mark"),
        COLUMNS,
        rows,
        caption="κ: 1 is full agreement, 0 that of chance; for scores with quadratic weights. The intervals take the "
        "answers of several runs to a question together, but questions as independent, though several belong to one "
        "video, so they are on the narrow side.",
        notes=[
            *(f"First: {first}. Second: {second}." for first, second in judges),
            f"Answers of {len(files)} {'run' if len(files) == 1 else 'runs and seeds'}.",
        ],
    )


def _cells(kind: str, marks: Marks) -> list[str]:
    scale, digits = (100.0, 1) if kind == YES else (1.0, 2)
    counts = [str(len(marks.pairs)), str(marks.first_alone), str(marks.second_alone)]
    if not marks.pairs:
        return [*counts, *["–"] * 6]
    first, second = scale * np.array(marks.pairs, dtype=float).T
    shift, low, high = mean_interval(second - first, marks.items)
    kappa = agreement(marks.pairs)
    return [
        *counts,
        f"{first.mean():.{digits}f}",
        f"{second.mean():.{digits}f}",
        f"{shift:+.{digits}f}",
        f"[{low:+.{digits}f}, {high:+.{digits}f}]",
        f"{np.mean(first == second):.1%}",
        "–" if kappa is None else f"{kappa:.2f}",
    ]


def mean_interval(values: NDArray[np.floating], items: Sequence[str]) -> tuple[float, float, float]:
    """Mean, and Student's t interval of 95 % with the values of an item taken together; of one item none is known.

    The variance is that of the sums of residuals per item (Liang and Zeger 1986); with one value an item it is the
    usual one of a mean.
    """
    mean = float(values.mean())
    _, place = np.unique(items, return_inverse=True)
    residuals = np.bincount(place, values - mean)
    count = len(residuals)
    if count < 2:
        return mean, float("-inf"), float("inf")
    error = float(np.sqrt(count / (count - 1) * np.sum(residuals**2))) / len(values)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return mean, mean - half, mean + half
