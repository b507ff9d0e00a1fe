"""Reading the recorded numbers in `data/*.csv`."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def rows(name: str, key: str) -> dict[str, dict[str, str]]:
    """The rows of `data/{name}.csv` by their column `key`."""
    text = files("dynfocus.planning").joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    return {row[key]: row for row in csv.DictReader(text.splitlines())}


def number(text: str) -> float | None:
    """A field as a number; None where it is empty."""
    return float(text) if text else None
