"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dynfocus.config import Config, load_config
from dynfocus.steps import code
from dynfocus.steps.jobs import Jobs

REPOSITORY = Path(__file__).resolve().parent.parent

# One thread keeps toy models fast and their sums in one order; set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def mini_config() -> Config:
    """The default profile."""
    return load_config([REPOSITORY / "config" / "mini.yaml"])


@pytest.fixture(scope="session")
def paper_config() -> Config:
    """The paper's profile."""
    return load_config([REPOSITORY / "config" / "paper.yaml"])


@pytest.fixture
def finished(tmp_path, repository, monkeypatch) -> Jobs:
    """A finished run in an empty folder, nothing published."""
    from finished_run import finish_run, jobs_here

    for name in ("config", "notebooks"):
        shutil.copytree(repository / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    jobs = jobs_here()
    finish_run(jobs)
    return jobs


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A function that adds a line to a file of a copy of the package, and tells the steps to look there."""
    copy = tmp_path / "source" / code.PACKAGE
    shutil.copytree(code.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", copy)

    def forget() -> None:
        for remembered in (code.imports_of, code.module_hash, code._is_module):
            remembered.cache_clear()

    def edit(name: str, line: str) -> None:
        file = copy / name
        file.write_text(f"{file.read_text()}\n{line}\n")
        forget()

    yield edit
    forget()
