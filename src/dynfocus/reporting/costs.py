"""What the workflow cost: wall time, memory and CPU per rule, from Snakemake's benchmark files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dynfocus.errors import UserError
from dynfocus.files import read_csv
from dynfocus.reporting.tables import Table, plain_table

REPAIR = "delete it: the next run of that job writes it again"


@dataclass(frozen=True)
class JobCost:
    """One job: seconds of wall time, peak resident memory in MB, seconds of CPU time; None where not measured."""

    rule: str
    seconds: float
    memory: float | None
    cpu: float | None


def read_costs(folder: Path) -> list[JobCost]:
    """Every `{rule}/...tsv`, or `{rule}.tsv`, in the folder of times; no folder gives no rows."""
    costs = []
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        for line, row in read_csv(path, ["s"], "\t", REPAIR):
            seconds = number(row["s"])
            if seconds is None:
                raise UserError(f"{path}, line {line}: `{row['s']}` is no number of seconds; {REPAIR}")
            costs.append(JobCost(rule, seconds, number(row.get("max_rss")), number(row.get("cpu_time"))))
    return costs


def number(text: str | None) -> float | None:
    """A field of a benchmark file; Snakemake writes `-` or `NA` for what it could not measure."""
    try:
        return float(text or "")
    except ValueError:
        return None


def clock(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def costs_table(costs: Iterable[JobCost]) -> Table:
    """Jobs, wall and CPU time, share of the work, longest job and peak memory, per rule, the dearest first."""
    by_rule: dict[str, list[JobCost]] = {}
    for cost in costs:
        by_rule.setdefault(cost.rule, []).append(cost)
    total = sum(cost.seconds for jobs in by_rule.values() for cost in jobs)
    rows = []
    for rule, jobs in sorted(by_rule.items(), key=lambda entry: -sum(cost.seconds for cost in entry[1])):
        spent = sum(cost.seconds for cost in jobs)
        computed = [cost.cpu for cost in jobs if cost.cpu is not None]
        memory = max((cost.memory for cost in jobs if cost.memory is not None), default=None)
        cells = (
            str(len(jobs)),
            clock(spent),
            clock(sum(computed)) if computed else "–",
            f"{100 * spent / total:.0f} %" if total else "–",
            clock(max(cost.seconds for cost in jobs)),
            "–" if memory is None else f"{memory:.0f} MB",
        )
        rows.append(((rule,), cells))
    notes = [
        f"All jobs of this folder together, of every seed: {clock(total)}; jobs that ran side by side count in full."
        if rows
        else "No job of the workflow ran in this folder: what it shows was pulled."
    ]
    columns = ("Jobs", "Wall time", "CPU time", "Share", "Longest job", "Peak memory")
    return plain_table("costs", "Wall time of every rule", ("Rule",), columns, rows, notes=notes)
