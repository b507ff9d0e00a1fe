"""A copy of the workflow whose jobs only touch their outputs, and Snakemake runs in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

PROFILE = {
    "profile": "dummy",
    "root": "out",
    "seeds": [0],
    "items": ["main", "other"],
    "runs": ["all"],
    "benchmarks": ["all"],
}
EXPERIMENTS = {
    "runs": {
        "dynfocus": {"title": "DynFocus"},
        "kmeans": {"title": "K-means", "network": {"clustering": "kmeans"}},
        "lazy": {"title": "Lazy", "instruction": {"learning_rate": 3e-4}},
        "blind": {"title": "Blind", "network": {"encoder": "blind"}},
    },
    "items": {
        "main": {
            "title": "Main",
            "notebook": "main.ipynb",
            "runs": ["dynfocus", "lazy", "blind"],
            "benchmarks": ["msvd_qa"],
        },
        "other": {"title": "Other", "notebook": "other.ipynb", "runs": ["dynfocus", "kmeans"], "benchmarks": ["mlvu"]},
    },
}


@dataclass(frozen=True)
class Project:
    """A folder with the workflow and a small configuration of its own."""

    folder: Path

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake here with the project's default profile."""
        environment = {**os.environ, "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, *arguments: str) -> None:
        """Make everything; the test fails with Snakemake's output where that fails."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def planned(self, *arguments: str) -> list[str]:
        """The jobs a dry run lists, by what they would make, sorted."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(re.findall(r"^Job \d+: (.*)$", done.stdout + done.stderr, flags=re.M))

    def edit(self, file: str, change) -> None:
        """Rewrite a YAML file with `change` applied to its values."""
        path = self.folder / file
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values))


@pytest.fixture(scope="session")
def built(tmp_path_factory, repository) -> Path:
    """A project whose every artefact is made, by dummy commands."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(repository / "workflow", folder / "workflow")
    shutil.copytree(repository / "config", folder / "config")
    shutil.copy(repository / "environment.yml", folder)
    for rules in (folder / "workflow" / "rules").glob("*.smk"):
        dummy = re.sub(r'"dynfocus ', '"touch {output:q} && : ', rules.read_text())
        rules.write_text(dummy)
    (folder / "workflow" / "Snakefile").write_text(
        (folder / "workflow" / "Snakefile").read_text().replace("    print_summary()", "    pass")
    )
    (folder / "notebooks").mkdir()
    for item in EXPERIMENTS["items"].values():
        (folder / "notebooks" / item["notebook"]).write_text("{}")
    (folder / "config" / "experiments.yaml").write_text(yaml.safe_dump(EXPERIMENTS))
    (folder / "config" / "dummy.yaml").write_text(yaml.safe_dump({"extends": "mini.yaml", **PROFILE}))
    profile = folder / "workflow" / "profiles" / "default" / "config.yaml"
    profile.write_text(profile.read_text().replace("config/mini.yaml", "config/dummy.yaml"))
    Project(folder).build()
    return folder


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A private copy of the finished project, file times kept."""
    folder = tmp_path / "project"
    shutil.copytree(built, folder, symlinks=True)
    return Project(folder)
