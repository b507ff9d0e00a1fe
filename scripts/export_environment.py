"""Write every file that fixes the environment from pyproject.toml, the one place where dependencies are named.

    .venv/bin/python scripts/export_environment.py            (make lock)
    .venv/bin/python scripts/export_environment.py --check    print what is out of date, exit 1

`requirements.lock` pins what pyproject.toml needs, directly or through others, at the versions
installed here; a package that happens to be installed is not pinned. All other files follow from
pyproject.toml and the lock: the CPU variant, the conda forms, and the container recipes.
Adding a dependency: name it in pyproject.toml, install it, run `make lock`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from string import Template

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path("containers/templates")
LOCK = Path("requirements.lock")
REPAIR = "make lock"
APART = ("qlora",)
"""Extras that are installed by who wants them: no lock holds them."""
HEADER = "# Written by scripts/export_environment.py (make lock).\n"
CPU_HEADER = (
    HEADER + "# The CPU builds of torch and torchvision come from PyTorch's own index, not from the default one:\n"
    "# set PIP_EXTRA_INDEX_URL to the CPU address of PyTorch's installation page before pip reads this file.\n"
)
CUDA_PACKAGES = ("cuda-", "nvidia-", "triton")
BUILT_FOR_CPU = ("torch", "torchvision")


def project_of(pyproject: str) -> dict:
    """The `project` table."""
    return tomllib.loads(pyproject)["project"]


def direct_requirements(pyproject: str, apart: Iterable[str] = APART) -> list[Requirement]:
    """What pyproject.toml names itself: what builds the package included, and extras but those `apart`."""
    project, build = project_of(pyproject), tomllib.loads(pyproject)["build-system"]["requires"]
    extras = (group for name, group in project["optional-dependencies"].items() if name not in apart)
    groups = (build, project["dependencies"], *extras)
    return [Requirement(text) for group in groups for text in group]


def python_version(pyproject: str) -> str:
    """The oldest Python that the project allows, `3.11`."""
    bounds = Requirement(f"python {project_of(pyproject)['requires-python']}").specifier
    return str(min(Version(bound.version) for bound in bounds if bound.operator == ">="))


@cache
def installed_requirements(name: str) -> list[Requirement] | None:
    """What an installed distribution requires, extras included; None where it is not installed."""
    try:
        return [Requirement(text) for text in distribution(name).requires or []]
    except PackageNotFoundError:
        return None


def closure(requirements: Iterable[Requirement], markers: Mapping[str, str] | None = None) -> set[str]:
    """Canonical names of all distributions that `requirements` need, directly or through others.

    Args:
        requirements: where to start.
        markers: values of the environment markers, e.g. another `python_version`; this machine's by default.

    Raises:
        SystemExit: a needed distribution is not installed.
    """
    environment = {**default_environment(), **(markers or {})}
    extras: dict[str, set[str]] = {}
    waiting = list(requirements)
    while waiting:
        needed = waiting.pop()
        name, wanted = canonicalize_name(needed.name), {"", *needed.extras}
        if wanted <= extras.get(name, set()):
            continue
        extras.setdefault(name, set()).update(wanted)
        found = installed_requirements(name)
        if found is None:
            raise SystemExit(f"{needed} is not installed; run `pip install '{needed}'`, then `{REPAIR}`")
        for requirement in found:
            if requirement.marker is None or any(
                requirement.marker.evaluate({**environment, "extra": extra}) for extra in extras[name]
            ):
                waiting.append(requirement)
    return set(extras)


def locked_versions(lock: str) -> dict[str, str]:
    """Canonical name -> version of the lines `name==version` of a lock file."""
    pairs = (line.split("==") for line in lock.splitlines() if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def lock_text(header: str, versions: Mapping[str, str]) -> str:
    """A lock file, one pin a line, sorted by name."""
    return header + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def needed_versions(pyproject: str) -> dict[str, str]:
    """Canonical name -> installed version of everything that pyproject.toml needs.

    One lock serves every Python, so the needs are those of the oldest, whichever runs here: it has most.
    """
    oldest = python_version(pyproject)
    markers = {"python_version": oldest, "python_full_version": f"{oldest}.0"}
    return {name: distribution(name).version for name in closure(direct_requirements(pyproject), markers)}


def cpu_versions(lock: str) -> dict[str, str]:
    """The pins of the CPU variant: CPU builds of torch, no CUDA libraries."""
    kept = {name: version for name, version in locked_versions(lock).items() if not name.startswith(CUDA_PACKAGES)}
    return kept | {name: f"{kept[name]}+cpu" for name in BUILT_FOR_CPU}


def environment_yml(header: str, name: str, python: str, versions: Mapping[str, str]) -> str:
    """A conda environment with the pins of a lock file."""
    pins = "".join(f"      - {package}=={version}\n" for package, version in sorted(versions.items()))
    return (
        f"{header}name: {name}\nchannels:\n  - conda-forge\n  - nodefaults\n"
        f"dependencies:\n  - python={python}\n  - pip\n  - pip:\n{pins}"
    )


def derived_files(root: Path) -> dict[Path, str]:
    """Path -> text of every file that follows from pyproject.toml, requirements.lock and the templates below `root`."""
    pyproject, lock = ((root / name).read_text(encoding="utf-8") for name in ("pyproject.toml", LOCK))
    python, versions = python_version(pyproject), locked_versions(lock)
    values = {"header": HEADER.strip(), "python": python, "version": project_of(pyproject)["version"]}
    recipes = {
        Path("containers") / template.stem: Template(template.read_text(encoding="utf-8")).substitute(values)
        for template in sorted((root / TEMPLATES).glob("*.template"))
    }
    return {
        Path("requirements-cpu.lock"): lock_text(CPU_HEADER, cpu_versions(lock)),
        Path("environment.yml"): environment_yml(HEADER, "dynfocus", python, versions),
        Path("environment-cpu.yml"): environment_yml(CPU_HEADER, "dynfocus-cpu", python, cpu_versions(lock)),
        **recipes,
    }


def outdated(root: Path) -> list[Path]:
    """The derived files below `root` whose text is not what pyproject.toml, the lock and the templates say."""
    return [
        file
        for file, text in derived_files(root).items()
        if not (root / file).is_file() or (root / file).read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Write all files at the root of the repository, or say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = needed_versions(pyproject)
    if versions["torch"].endswith("+cpu"):
        sys.exit("this environment holds the CPU variant, which follows from the CUDA one; run it in that one")
    lock = lock_text(HEADER, versions)
    if parser.parse_args().check:
        stale = [LOCK] if (ROOT / LOCK).read_text(encoding="utf-8") != lock else []
        stale += outdated(ROOT)
        sys.exit(f"out of date: {', '.join(map(str, stale))}; run `{REPAIR}`" if stale else 0)
    (ROOT / LOCK).write_text(lock, encoding="utf-8")
    for file, text in derived_files(ROOT).items():
        (ROOT / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
