"""The profiles of the workflow: known rules, and options that Snakemake or the plugin has."""

from __future__ import annotations

import re

import pytest
import yaml

PROFILES = ["default", "gpus", "slurm", "kubernetes"]
PLUGINS = ("slurm-", "cluster-generic-")


@pytest.fixture(scope="module")
def rules(repository) -> set[str]:
    """Names of all rules."""
    texts = (file.read_text() for file in (repository / "workflow/rules").glob("*.smk"))
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.M)}


@pytest.fixture(params=PROFILES)
def profile(repository, request) -> dict:
    return yaml.safe_load((repository / "workflow/profiles" / request.param / "config.yaml").read_text())


def test_options_exist(profile):
    from snakemake.cli import get_argument_parser

    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert {key for key in profile if not key.startswith(PLUGINS)} <= known


def test_rules_exist(profile, rules):
    assert set(profile.get("set-resources", {})) <= rules
    groups = dict(entry.split("=") for entry in profile.get("groups", []))
    assert set(groups) <= rules
    assert {entry.split("=")[0] for entry in profile.get("group-components", [])} == set(groups.values())


def test_jobs_that_can_take_hours_are_tried_again(profile):
    assert profile.get("retries", 0) > 0 or "executor" not in profile
