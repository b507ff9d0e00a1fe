"""Snakemake's plan at each rung: what is pulled takes the place of what would be made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

SELECTION = ("runs=[dynfocus, blind]", "benchmarks=[msvd_qa]", "items=[table_7]")
HEAVY = ("prepare_clip", "train_alignment", "train_instruction", "answer_questions", "score_answers")


@pytest.fixture
def planned(cloned, repository):
    """A function that returns the rules of a dry run in a clone of the published project, or its error."""
    shutil.copytree(repository / "workflow", cloned / "workflow")
    shutil.copy(repository / "environment.yml", cloned)

    def plan(*settings: str) -> set[str] | str:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--config", *SELECTION, *settings],
            capture_output=True,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        stats = re.findall(r"^([a-z_]+) +\d+$", done.stdout + done.stderr, flags=re.M)
        return set(stats) if done.returncode == 0 else done.stderr

    return plan


@pytest.mark.parametrize(
    ("rung", "heavy"),
    [
        ("scratch", set(HEAVY)),
        ("stage1", set(HEAVY[2:])),
        ("checkpoints", set(HEAVY[3:])),
        ("predictions", {"score_answers"}),
        ("scores", set()),
    ],
)
def test_each_rung_pulls_in_one_job_what_comes_before_it(planned, rung, heavy):
    rules = planned(f"start_from={rung}")
    assert not isinstance(rules, str), rules
    assert ("pull" in rules) == (rung != "scratch")
    assert rules & set(HEAVY) == heavy


def test_an_edited_setting_is_made_anew(planned):
    rules = planned("start_from=checkpoints", "instruction={learning_rate: 0.005}")
    assert {"pull", "train_instruction"} <= rules and not rules & {"train_alignment", "prepare_clip"}


def test_never_train_stops_the_plan_with_one_line(planned):
    error = planned("start_from=checkpoints", "never_train=true", "instruction={learning_rate: 0.005}")
    assert isinstance(error, str)
    assert "published with instruction.learning_rate = 0.001, wanted with 0.005" in error and "Traceback" not in error
