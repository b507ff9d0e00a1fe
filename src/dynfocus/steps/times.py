"""How long jobs took in this folder, from Snakemake's records."""

from __future__ import annotations

import csv
from pathlib import Path

from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step


def time_file(jobs: Jobs, step: Step) -> Path:
    """Where the rule of a step lets Snakemake record its time and memory."""
    return jobs.layout.times / (f"{step.rule()}/{step.name}".rstrip("/") + ".tsv")


def recorded_seconds(jobs: Jobs, step: Step) -> float | None:
    """Wall seconds of the newest run of a job; None where it never ran here."""
    file = time_file(jobs, step)
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as stream:
        seconds = [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return seconds[-1] if seconds else None
