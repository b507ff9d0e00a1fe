"""A finished run without models: every step of a small configuration left a few bytes and a true manifest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dynfocus.config.load import load_config
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.perform import recording
from dynfocus.steps.step import Step
from dynfocus.steps.table import ExecuteNotebook, RenderReport, ScoreAnswers, needed

SELECTION = ("runs=[dynfocus, blind]", "benchmarks=[msvd_qa]", "items=[table_7]")
REPORT = RenderReport()


def jobs_here(*overrides: str) -> Jobs:
    """The jobs of the configuration in the current folder."""
    return Jobs.load(load_config([Path("config/mini.yaml")], [*SELECTION, "published=['*']", *overrides]))


def make(jobs: Jobs, step: Step, text: str = "") -> None:
    """Do a step: content that names it, and a manifest."""
    content = "[]\n" if isinstance(step, ScoreAnswers) else f"{step} {text}\n"
    path = step.path(jobs)
    with recording(jobs, step):
        file = path if path.suffix else path / "content.txt"
        for target in (file, *step.also(jobs)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)


def finish_run(jobs: Jobs) -> None:
    """Do every step of a configuration."""
    for step in needed(jobs, [REPORT]):
        if isinstance(step, ExecuteNotebook):
            tables = jobs.layout.results / "tables"
            tables.mkdir(parents=True, exist_ok=True)
            (tables / f"{step.item}.csv").write_text("run,accuracy\ndynfocus,50\n")
        make(jobs, step)
    jobs.write_resolved()


def dvc(*arguments: str) -> None:
    """Run DVC in the current folder."""
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)
