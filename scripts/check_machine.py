"""Say in one line what this machine lacks for the environment, before anything is downloaded.

    python3 scripts/check_machine.py        exit status 1 where something is missing

Runs with any Python 3, so that one that cannot serve is told so: standard library alone, no new syntax.
"""

# ruff: noqa: UP031 -- an old Python must be able to parse this

import importlib.util
import os
import platform
import re
import shutil
import sys

PYPROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "pyproject.toml")
DISK_GIGABYTES = 9
MEMORY_GIGABYTES = 4
WITHOUT_WHEEL = (3, 14)
"""For this Python a package of the lock (immutables, of Snakemake) has no wheel: scripts/check_wheels.py."""


def allowed_versions(pyproject):
    """Oldest Python that may be used and the first that may not, as pyproject.toml has them."""
    bounds = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', pyproject)
    return (3, int(bounds.group(1))), (3, int(bounds.group(2)))


def missing(version, pyproject, folder):
    """What is missing, one phrase each with its remedy."""
    oldest, first_refused = allowed_versions(pyproject)
    if not oldest <= tuple(version) < first_refused:
        newest = "%d.%d" % (first_refused[0], first_refused[1] - 1)
        yield "Python %d.%d is here, %d.%d to %s can serve: make PYTHON=python%s, or install uv, which brings one" % (
            tuple(version) + oldest + (newest, newest)
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        yield "the venv module is missing: apt install python3-venv, or install uv"
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GIGABYTES:
        yield "%.1f GB of disk are free, %d are needed: free some, or use the CPU lock" % (free, DISK_GIGABYTES)
    for lack in (lacking_memory(), lacking_instructions(), lacking_compiler(tuple(version))):
        if lack:
            yield lack


def lacking_compiler(version):
    """A phrase where a package must be built from its source, and nothing here can."""
    if version != WITHOUT_WHEEL or shutil.which("cc") or shutil.which("gcc"):
        return ""
    needs = "Python %d.%d builds a package from source, and no C compiler is here: " % version
    return needs + "apt install gcc python3-dev, or take an older Python"


def lacking_memory():
    """A phrase where there is too little memory."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):
        return ""
    short = size < MEMORY_GIGABYTES
    return "%.1f GB of memory are here, %d are needed" % (size, MEMORY_GIGABYTES) if short else ""


def lacking_instructions():
    """A phrase where an x86 processor has no AVX2, which the wheels of torch and pyarrow use."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = file.read()
    except OSError:
        return ""
    old = platform.machine() == "x86_64" and "avx2" not in flags
    return "the processor has no AVX2, which torch and pyarrow are built for: take another machine" if old else ""


if __name__ == "__main__":
    with open(PYPROJECT) as file:
        found = list(missing(sys.version_info[:2], file.read(), "."))
    if found:
        sys.exit("cannot build the environment: " + "; ".join(found))
