"""The commands that the documentation shows are executed, at smoke size, page by page.

In a copy of the repository the smoke profile takes the place of the mini profile, which makes
everything once; each page then starts from its own copy of that finished run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documents import Block, Document

from dynfocus.config.load import merge

PAGES = sorted(
    page.name
    for page in (Path(__file__).parents[2] / "docs").glob("*.md")
    if any(block.executed for block in Document.parse(page, page.read_text(encoding="utf-8")).blocks)
)
COPIED = ("config", "notebooks", "src", "workflow", "benchmarks", "docs")
SMOKE = {"extends": "smoke.yaml", "profile": "mini", "root": "."}


def shell(folder: Path, script: str) -> None:
    """Run a script in a copy of the repository, with this environment's programs and the copy's sources."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "src"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}"


@pytest.fixture(scope="module")
def finished(repository, files, tmp_path_factory) -> Path:
    """A copy of the repository in which the default profile, at smoke size, is made."""
    folder = tmp_path_factory.mktemp("repository")
    for file in files:
        if len(file.parts) == 1 or file.parts[0] in COPIED:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / file, folder / file)
    config = folder / "config"
    (config / "mini.yaml").rename(config / "mini_at_full_size.yaml")
    smoke = config / "smoke.yaml"
    smoke.write_text(smoke.read_text().replace("extends: mini.yaml", "extends: mini_at_full_size.yaml"))
    (config / "mini.yaml").write_text(yaml.safe_dump(SMOKE))
    shell(folder, "snakemake --quiet rules")
    return folder


def perform(folder: Path, block: Block) -> None:
    """Do what a block of a page says: write a file, merge into one, apply a patch, or run its commands."""
    if target := block.option("file"):
        (folder / target).write_text(block.body, encoding="utf-8")
    elif target := block.option("merge"):
        values = merge(yaml.safe_load((folder / target).read_text()), yaml.safe_load(block.body))
        (folder / target).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    elif block.language == "diff" and "apply" in block.words:
        apply_patch(folder, block.body)
    elif block.executed:
        shell(folder, block.body)


def apply_patch(folder: Path, patch: str) -> None:
    """Apply a patch below a folder; the test fails where its context is gone."""
    done = subprocess.run(
        ["git", "apply", "-C1", "-"],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        input=patch,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{patch}"


def test_every_patch_of_the_documentation_applies(repository, documents, tmp_path):
    for document in documents:
        if not any(block.language == "diff" for block in document.blocks):
            continue
        folder = tmp_path / document.file.stem
        shutil.copytree(repository / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for block in document.blocks:
            if block.language == "diff" and "apply" in block.words:
                apply_patch(folder, block.body)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_run(finished, tmp_path, repository, page):
    folder = tmp_path / "repository"
    shutil.copytree(finished, folder, symlinks=True)
    for block in Document.parse(Path("docs", page), (repository / "docs" / page).read_text(encoding="utf-8")).blocks:
        perform(folder, block)
