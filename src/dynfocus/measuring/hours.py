"""Table 2: the logs of both training stages, step by step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from dynfocus.steps.jobs import Jobs

COLUMNS = ("step", "loss", "seconds")


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`runs`: run -> stage -> the steps of its log; a run without a stage 1 lacks that."""
    seed, layout = jobs.item_seeds(item)[0], jobs.layout
    runs: dict[str, dict[str, Any]] = {}
    for run in jobs.item_runs(item):
        folders = {"instruction": layout.instruction(jobs.weights_run(run), seed)}
        if jobs.has_alignment(run):
            folders["alignment"] = layout.alignment(jobs.alignment_key(run, seed))
        runs[run] = {stage: read_log(folder) for stage, folder in folders.items()}
    return {"runs": runs}


def read_log(folder: Path) -> list[dict[str, float]]:
    """Steps of a stage from `log.csv`, the columns that the table and its figure show; empty fields are left out."""
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return [{key: float(row[key]) for key in COLUMNS if row.get(key)} for row in csv.DictReader(file)]
