"""Ask, for a Python that is not here, whether everything in the lock can be installed with it.

    python scripts/check_wheels.py 3.14        exit status 1 where a package has no wheel for it

A wheel for every Python 3, one for the stable interface, and a package that is built from its source serve without a
question. pip is asked for the others, those with a wheel for each Python; it downloads them (about 1 GB) and installs
nothing. `Requires-Python` of all of them is a unit test.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def pins(lock: str) -> list[tuple[str, str]]:
    """(name, version) of every line of the lock."""
    return re.findall(r"^([\w.-]+)==([^\s;]+)", lock, flags=re.M)


def for_one_python(name: str) -> bool:
    """Whether the installed wheel of a package serves one Python alone, by its tags."""
    tags = re.findall(r"^Tag: (\w+)-(\w+)-", distribution(name).read_text("WHEEL") or "", flags=re.M)
    return bool(tags) and all(interface not in ("none", "abi3") for _, interface in tags)


def without_wheel(python: str, packages: list[tuple[str, str]]) -> Iterator[str]:
    """The packages of which pip finds no wheel for a Python, each with pip's reason."""
    with tempfile.TemporaryDirectory() as folder:
        for name, version in packages:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--python-version", python, "--dest", folder, f"{name}=={version}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                yield f"{name}=={version}: {done.stderr.strip().splitlines()[-1]}"
            for file in Path(folder).iterdir():
                file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="such as 3.14")
    python = parser.parse_args().python
    locked = pins(LOCK.read_text(encoding="utf-8"))
    asked = [pin for pin in locked if for_one_python(pin[0])]
    missing = list(without_wheel(python, asked))
    print(
        *missing,
        f"{len(asked) - len(missing)} of {len(asked)} wheels found for Python {python}, "
        f"{len(locked) - len(asked)} packages need none of their own",
        sep="\n",
    )
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
