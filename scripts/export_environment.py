"""Write requirements.lock and environment.yml from the working environment and pyproject.toml.

    .venv/bin/python scripts/export_environment.py

`requirements.lock` pins every installed package. `environment.yml` is its conda form: the direct
dependencies of pyproject.toml, with the versions of the lock.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by scripts/export_environment.py (make lock).\n"


def locked_versions(lock: str) -> dict[str, str]:
    """Canonical name -> version of the lines `name==version` of a lock file."""
    pairs = (line.split("==") for line in lock.splitlines() if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def direct_requirements(pyproject: str) -> list[Requirement]:
    """The dependencies that pyproject.toml names itself, extras included."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for group in (project["dependencies"], *extras) for text in group]


def environment_yml(pyproject: str, lock: str) -> str:
    """The text of environment.yml."""
    versions = locked_versions(lock)
    names = sorted(canonicalize_name(requirement.name) for requirement in direct_requirements(pyproject))
    pins = "".join(f"      - {name}=={versions[name]}\n" for name in names)
    return (
        f"{HEADER}name: dynfocus\nchannels:\n  - conda-forge\n  - nodefaults\n"
        f"dependencies:\n  - python=3.11\n  - pip\n  - pip:\n{pins}"
    )


def main() -> None:
    """Write both files at the root of the repository."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--all", "--exclude-editable"]
    frozen = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    pins = sorted(
        (line for line in frozen.splitlines() if "==" in line and not line.startswith("pip==")), key=str.lower
    )
    lock = HEADER + "\n".join(pins) + "\n"
    (ROOT / "requirements.lock").write_text(lock, encoding="utf-8")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment_yml(pyproject, lock), encoding="utf-8")


if __name__ == "__main__":
    main()
