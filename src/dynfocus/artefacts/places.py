"""Where published results lie: the outputs of the `.dvc` files below a root.

A person pulls a *group*, one `.dvc` file, and finds what it holds at its real path: folders that `from_pretrained`
loads, the report, tables, figures. Only what nobody opens by hand travels in a *pack*, one tar of a group: answers,
verdicts, and scores with their line per sample. Features are not published; they are the largest part and follow from
films and visual encoder.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from dynfocus.artefacts.packs import SUFFIX
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import manifest_path
from dynfocus.steps.step import Group, Step
from dynfocus.steps.table import AnswerQuestions, JudgeAgain, JudgeAnswers, MeasureItem, ScoreAnswers, TrainAlignment

GROUPS: tuple[Group, ...] = get_args(Group)
PACKS = {
    AnswerQuestions: "predictions",
    JudgeAnswers: "predictions",
    JudgeAgain: "predictions",
    ScoreAnswers: "scores",
}
REPORT = (
    "report.html",
    "metrics.json",
    "claims.json",
    "tables",
    "figures",
    "notebooks",
    "measurements",
    "coverage",
)
"""What a person opens, below results/."""


def pack_of(step: Step) -> Path | None:
    """The pack, below the root, that holds the result of a step; None where that lies at its own path."""
    name = PACKS.get(type(step))
    return Path("packs", f"{name}{SUFFIX}") if name else None


def out_of(jobs: Jobs, step: Step) -> Path:
    """The output of a `.dvc` file, relative to the root, that holds the result of a step."""
    path = step.path(jobs).relative_to(jobs.layout.root)
    return pack_of(step) or (path.parent if isinstance(step, MeasureItem) else path)


def members_of(jobs: Jobs, step: Step) -> list[Path]:
    """The files that hold the result of a packed step, its manifest last."""
    path = step.path(jobs)
    return [path, *step.also(jobs), manifest_path(path)]


def labels(jobs: Jobs, step: Step) -> list[str]:
    """The names by which `published` may choose a step; a stage-1 checkpoint goes by the runs that start from it."""
    if isinstance(step, TrainAlignment):
        return [f"stage1/{name}" for name in (step.key, *jobs.alignment_runs(step.key))]
    return [f"{step.group}/{step.name.replace('/', '-') or step.path(jobs).name}"]


def is_chosen(jobs: Jobs, names: list[str]) -> bool:
    """Whether `published` matches one of the names."""
    return any(fnmatch(name, pattern) for name in names for pattern in jobs.config.published)
