"""Tables 9 and 10: the training data, counted from the files."""

from __future__ import annotations

from typing import Any

from dynfocus.datasets.registry import load_records
from dynfocus.datasets.statistics import sources, statistics
from dynfocus.datasets.subset import subset
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`sets`: set -> samples by (modality, dataset, task) and totals; `gaps`: set -> why it cannot be counted."""
    sets: dict[str, Any] = {}
    gaps: dict[str, str] = {}
    for name in jobs.item(item).datasets:
        try:
            every = load_records(name, jobs.layout.data / name)
        except UserError as error:
            gaps[name] = str(error)
            continue
        records = subset(name, every, jobs.config.max_samples.get(name))
        counts = [[*source, samples] for source, samples in sorted(sources(name, records).items())]
        sets[name] = {"sources": counts, "total": statistics(records)["total"]}
    return {"sets": sets, "gaps": gaps}
