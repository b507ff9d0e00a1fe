"""Projects with a finished run, published or not, and a clone of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from finished_run import dvc, finish_run, jobs_here

from dynfocus.artefacts.publish import publish


@pytest.fixture(scope="session")
def published_folder(tmp_path_factory, repository) -> Path:
    """A project with a finished run that is published to the folder `dvcstore`."""
    folder, before = tmp_path_factory.mktemp("artefacts"), Path.cwd()
    shutil.copytree(repository / "config", folder / "config")
    shutil.copytree(repository / "notebooks", folder / "notebooks")
    shutil.copy(repository / ".dvcignore", folder)
    os.chdir(folder)
    try:
        dvc("init", "--no-scm", "--quiet")
        dvc("remote", "add", "--default", "repository", "dvcstore")
        dvc("remote", "modify", "repository", "verify", "true")
        finish_run(jobs_here())
        publish(jobs_here())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def published(published_folder, tmp_path, monkeypatch) -> Path:
    """A private copy of the published project, entered."""
    folder = tmp_path / "project"
    shutil.copytree(published_folder, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cloned(published) -> Path:
    """The published project as a clone of it would be: without anything that git does not carry."""
    for name in ("packs", "data", "backbones", "features", "checkpoints", "results", "work", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(published / name, ignore_errors=True)
    return published
