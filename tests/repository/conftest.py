"""The files of the repository, as git knows them."""

from __future__ import annotations

import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from documents import Document


@pytest.fixture(scope="session")
def files(repository) -> list[Path]:
    """Tracked files and new ones that git does not ignore, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return sorted(Path(name) for name in set(listed.split("\0")) if name and (repository / name).is_file())


@pytest.fixture(scope="session")
def texts(repository, files) -> dict[Path, str]:
    """Path -> text of every file that is text."""
    found = {}
    for file in files:
        content = (repository / file).read_bytes()
        if b"\0" not in content[:4096]:
            found[file] = content.decode("utf-8")
    return found


@pytest.fixture(scope="session")
def documents(texts) -> list[Document]:
    """Every Markdown page, parsed."""
    return [Document.parse(file, text) for file, text in texts.items() if file.suffix == ".md"]


def script(repository: Path, name: str):
    """A file of scripts/ as a module."""
    spec = spec_from_file_location(name, repository / "scripts" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def export_environment(repository):
    """scripts/export_environment.py as a module."""
    return script(repository, "export_environment")


@pytest.fixture(scope="session")
def check_machine(repository):
    """scripts/check_machine.py as a module."""
    return script(repository, "check_machine")


@pytest.fixture(scope="session")
def site_pages(repository):
    """scripts/site_pages.py as a module."""
    return script(repository, "site_pages")


@pytest.fixture(scope="session")
def check_wheels(repository):
    """scripts/check_wheels.py as a module."""
    return script(repository, "check_wheels")


@pytest.fixture(scope="session")
def kinds_by_seed(repository):
    """scripts/kinds_by_seed.py as a module."""
    return script(repository, "kinds_by_seed")
