"""Score records of the runs, read from `{root}/results/scores/{run}/seed-{seed}.json`.

A record that is not there is a gap with a reason, never an exception: tables print the gap. Seeds
are averaged; the interval of the mean joins two sources of error, the questions (the bootstrap
interval of each seed, clustered by video: the questions are the same for all seeds, so it does not
shrink with them) and the training (Student's t over the seeds).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scipy import stats

from dynfocus.errors import UserError
from dynfocus.files import read_json
from dynfocus.steps.layout import Layout


@dataclass(frozen=True)
class Gap:
    """A number that is not there, and why: `missing` (no file, no record) or `withheld` (too many unjudged)."""

    state: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """A metric of a run, averaged over seeds, with its 95 % interval."""

    value: float
    low: float
    high: float
    questions: int
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    files: tuple[str, ...]
    judge: str | None = None
    answered: int = 0
    total: int = 0
    notes: tuple[str, ...] = field(default=())
    part: str = ""
    """What of the benchmark was asked, and how, where that is not the whole set in its usual form."""


def split_group(group: str) -> tuple[str, str] | None:
    """`duration=long` as (grouping, label); None for the whole benchmark."""
    if not group:
        return None
    grouping, _, label = group.partition("=")
    return grouping, label


def metric_of(record: Mapping, metric: str, group: str) -> Mapping | None:
    """The metric's entry in a score record, of the whole benchmark or of one group."""
    where = split_group(group)
    metrics = record["metrics"] if where is None else record.get("groups", {}).get(where[0], {}).get(where[1], {})
    entry = metrics.get(metric)
    return entry if isinstance(entry, Mapping) else None


def withheld(record: Mapping, max_unjudged: float) -> bool:
    """More answers of a judged benchmark lack a judgement than the configuration allows."""
    unjudged = record.get("failures", {}).get("unjudged", 0)
    total = record.get("coverage", {}).get("total", 0)
    return bool(total) and unjudged / total > max_unjudged


def part_text(record: Mapping) -> str:
    """What of a benchmark a record stands for where it is not the whole set in its usual form; empty otherwise."""
    sample = record.get("sample")
    parts = [f"a sample of {sample['asked']} of {sample['of']:,} (seed {sample['seed']})"] if sample else []
    return ", ".join([*parts, *["with subtitles"] * bool(record.get("subtitles"))])


def join_seeds(values: Iterable[float], halves: Iterable[float]) -> tuple[float, float]:
    """Mean over seeds and half-width of its 95 % interval (module docstring)."""
    values, halves = list(values), list(halves)
    mean = math.fsum(values) / len(values)
    questions = math.fsum(halves) / len(halves)
    if len(values) == 1:
        return mean, questions
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    training = float(stats.t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    return mean, math.hypot(questions, training)


@dataclass(frozen=True)
class Results:
    """The results below one root, for a set of seeds."""

    root: Path
    seeds: tuple[int, ...]
    max_unjudged: float = 0.001

    @cached_property
    def records(self) -> dict[tuple[str, int, str], dict]:
        """Every record found, by (run, seed, benchmark)."""
        found: dict[tuple[str, int, str], dict] = {}
        for seed in self.seeds:
            for path in sorted(self.root.glob(str(Layout(Path()).scores("*", seed)))):
                for record in read_records(path):
                    found[(path.parent.name, seed, record["benchmark"])] = record
        return found

    @property
    def files(self) -> list[Path]:
        """The score files that records were found in."""
        return sorted({Layout(self.root).scores(run, seed) for run, seed, _ in self.records})

    def runs(self) -> tuple[str, ...]:
        """Runs with at least one score file."""
        return tuple(sorted({run for run, _, _ in self.records}))

    def get(self, run: str, benchmark: str, metric: str, group: str = "") -> Measured | Gap:
        """A metric averaged over the seeds that have it; a Gap when none has."""
        found, reasons = [], []
        for seed in self.seeds:
            record = self.records.get((run, seed, benchmark))
            entry = metric_of(record, metric, group) if record is not None else None
            if record is None:
                reasons.append(Gap("missing", f"no scores of {benchmark} for {run}, seed {seed}"))
            elif entry is None or entry.get("value") is None:
                reasons.append(self.explain(record, f"{metric} {group}".strip()))
            elif self.is_withheld(record):
                reasons.append(self.explain(record, metric))
            else:
                found.append((seed, record, entry))
        if not found:
            return reasons[0] if reasons else Gap("missing", "no seed was asked for")
        return self.average(run, found, reasons)

    def average(self, run: str, found: list[tuple[int, dict, Mapping]], reasons: list[Gap]) -> Measured:
        """Mean and interval of the seeds found; the seeds that lack the metric become notes."""
        values = tuple(float(entry["value"]) for _, _, entry in found)
        halves = [interval_half(entry) for _, _, entry in found]
        mean, half = join_seeds(values, halves)
        if len(found) == 1:
            entry = found[0][2]
            low, high = entry.get("low"), entry.get("high")
            interval = (values[0] if low is None else float(low), values[0] if high is None else float(high))
        else:
            interval = (mean - half, mean + half)
        coverage = [record.get("coverage", {}) for _, record, _ in found]
        return Measured(
            value=mean,
            low=interval[0],
            high=interval[1],
            questions=int(found[0][2].get("n", 0)),
            seeds=tuple(seed for seed, _, _ in found),
            values=values,
            files=tuple(str(Layout(Path()).scores(run, seed)) for seed, _, _ in found),
            judge=found[0][1].get("judge"),
            answered=sum(part.get("answered", 0) for part in coverage),
            total=sum(part.get("total", 0) for part in coverage),
            notes=tuple(gap.reason for gap in reasons),
            part=part_text(found[0][1]),
        )

    def is_withheld(self, record: Mapping) -> bool:
        """Whether the record must not be shown."""
        return withheld(record, self.max_unjudged)

    def explain(self, record: Mapping, metric: str) -> Gap:
        """Why a record does not give the metric."""
        if self.is_withheld(record):
            failures, coverage = record["failures"], record["coverage"]
            return Gap("withheld", f"{failures['unjudged']} of {coverage['total']} answers unjudged")
        return Gap("missing", f"{record['benchmark']} of {record['run']}, seed {record['seed']} has no {metric}")

    def labels(self, run: str, benchmark: str, grouping: str) -> tuple[str, ...]:
        """Labels of a grouping, over the seeds found."""
        labels: dict[str, None] = {}
        for seed in self.seeds:
            record = self.records.get((run, seed, benchmark), {})
            labels.update(dict.fromkeys(record.get("groups", {}).get(grouping, {})))
        return tuple(labels)


def interval_half(entry: Mapping) -> float:
    """Half-width of an entry's interval, 0 where it has none."""
    low, high = entry.get("low"), entry.get("high")
    return 0.0 if low is None or high is None else (float(high) - float(low)) / 2


def read_records(path: Path) -> list[dict]:
    """The score records of a file; UserError names a file that cannot be read."""
    records = read_json(path, list, "delete it and score the run again")
    if not all(isinstance(record, dict) and "benchmark" in record for record in records):
        raise UserError(f"{path}: not a list of score records; delete it and score the run again")
    return records
