"""Snakemake's own graph, edge by edge, is the one that plans, manifests and artefacts believe in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from finished_run import REPORT

from dynfocus.config.load import load_config
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import read_manifest
from dynfocus.steps.table import input_paths, needed
from dynfocus.steps.times import time_file

PARTS = ("workflow", "config", "notebooks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository) -> Path:
    """The workflow alone, where nothing is made, and without the messages that a dry run shows in place of files."""
    folder = tmp_path_factory.mktemp("edges")
    for part in PARTS:
        shutil.copytree(repository / part, folder / part)
    shutil.copy(repository / "environment.yml", folder)
    for rules in (folder / "workflow" / "rules").glob("*.smk"):
        rules.write_text(re.sub(r" +message:\n.*\n", "", rules.read_text()))
    return folder


def snakemake_edges(folder: Path, profile: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Output -> its rule and what the rule reads, as a dry run says."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", f"config/{profile}.yaml"],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    edges = {}
    for job in re.finditer(r"^rule (\w+):\n((?:    .*\n)+)", shown, flags=re.M):
        files = dict(re.findall(r"^    (input|output): (.*)$", job[2], flags=re.M))
        for path in files["output"].split(", ") if "output" in files else ():
            edges[path] = (job[1], frozenset(files.get("input", "").split(", ")) - {""})
    return edges


@pytest.mark.parametrize("profile", ["mini", "smoke", "paper"])
def test_every_edge_of_the_workflow_is_one_of_the_table_of_steps(folder, monkeypatch, profile):
    monkeypatch.chdir(folder)
    jobs = Jobs.load(load_config([Path(f"config/{profile}.yaml")]))
    ours = {}
    for step in needed(jobs, [REPORT]):
        made = [path for before in step.inputs(jobs) for path in before.outputs(jobs)]
        read = frozenset(map(str, [*step.files(jobs), *made]))
        ours |= {str(path): (step.rule(), read) for path in step.outputs(jobs)}
    assert snakemake_edges(folder, profile) == ours


def test_manifests_record_the_same_edges(finished):
    for step in needed(finished, [REPORT]):
        assert list(read_manifest(step.path(finished))["inputs"]) == list(
            dict.fromkeys(map(str, input_paths(finished, step)))
        ), step


def test_time_is_looked_for_where_rules_record_it(project):
    jobs = Jobs.load(load_config([project.folder / "config" / "dummy.yaml"], [
        f"root={project.folder / 'out'}", f"experiments={project.folder / 'config' / 'experiments.yaml'}",
    ]))  # fmt: skip
    absent = [step for step in needed(jobs, [REPORT]) if not time_file(jobs, step).is_file()]
    assert absent == []
