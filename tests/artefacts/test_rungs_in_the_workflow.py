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
    shutil.copytree(repository / "notebooks", cloned / "notebooks")
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
    ("rung", "pulled", "heavy"),
    [
        ("scratch", set(), set(HEAVY)),
        ("stage1", {"pull_data", "pull_backbone", "pull_alignment"}, set(HEAVY[2:])),
        ("checkpoints", {"pull_data", "pull_backbone", "pull_checkpoint"}, set(HEAVY[3:])),
        ("predictions", {"pull_data", "pull_answers"}, {"score_answers"}),
        ("scores", {"pull_scores"}, set()),
    ],
)
def test_each_rung_pulls_what_comes_before_it(planned, rung, pulled, heavy):
    rules = planned(f"start_from={rung}")
    assert not isinstance(rules, str), rules
    assert {rule for rule in rules if rule.startswith("pull_")} == pulled
    assert rules & set(HEAVY) == heavy


def test_edited_setting_stops_the_plan_with_both_values(planned):
    error = planned("start_from=checkpoints", "instruction={learning_rate: 0.005}")
    assert isinstance(error, str)
    assert "published with instruction.learning_rate = 0.001, wanted with 0.005" in error and "Traceback" not in error
