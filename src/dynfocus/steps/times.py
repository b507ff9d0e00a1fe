"""How long jobs took in this folder, from Snakemake's records."""

from __future__ import annotations

from pathlib import Path

from dynfocus.errors import UserError
from dynfocus.files import read_csv
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import read_manifest
from dynfocus.steps.step import Step


def time_file(jobs: Jobs, step: Step) -> Path:
    """Where the rule of a step lets Snakemake record its time and memory."""
    return jobs.layout.times / (f"{step.rule()}/{step.name}".rstrip("/") + ".tsv")


def recorded_seconds(jobs: Jobs, step: Step) -> float | None:
    """Wall seconds of the newest run of a job that did its work; None where it never ran here.

    A job that finds its work finished ends at once, and Snakemake records that too: the manifest knows better.
    """
    file = time_file(jobs, step)
    if not file.is_file():
        return None
    repair = "delete it: the next run of that job writes it again"
    line, row = read_csv(file, ["s"], "\t", repair)[-1]
    try:
        seconds = float(row["s"])
    except ValueError:
        raise UserError(f"{file}, line {line}: `{row['s']}` is no number of seconds; {repair}") from None
    try:
        return max(seconds, float(read_manifest(step.path(jobs)).get("wall_seconds", 0)))
    except UserError:
        return seconds
