"""Table 2: the logs of both training stages, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.files import read_csv
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
    file = folder / "log.csv"
    steps = []
    for line, row in read_csv(file, ["step"], repair="train that stage again"):
        try:
            steps.append({key: float(row[key]) for key in COLUMNS if row.get(key)})
        except ValueError as error:
            raise UserError(f"{file}, line {line}: {error}; train that stage again") from None
    return steps
