"""Two finished roots, artefact by artefact: equal byte by byte, equal but for a named reason, or different.

Same seed, same machine, same versions: data, features, loss curves, weights, answers, scores and
tables must be equal. What may differ is listed here with its reason, and only that is set aside.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError

PARTS = ("data", "backbones", "features", "checkpoints", "results")
CLOCK_COLUMNS = frozenset({"seconds", "tokens_per_second", "peak_memory_gib"})
CLOCK_FIELDS = frozenset({"argv", "commit", "finished", "wall_seconds"})
NOTEBOOK_CLOCK = frozenset({"papermill", "execution", "ExecuteTime"})


@dataclass(frozen=True)
class Difference:
    """A file that is not equal in both roots; `reason` is None where nothing explains it."""

    name: str
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """The number of files that are equal byte by byte, and the others."""

    equal: int
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> list[Difference]:
        return [difference for difference in self.differences if difference.reason is None]


@dataclass(frozen=True)
class Allowed:
    """Files that may differ: `essence` is what must still be equal in them; None: nothing."""

    pattern: str
    reason: str
    essence: Callable[[bytes], Any] | None = None


def essence_of_manifest(content: bytes) -> Any:
    """A manifest without time, commit and command line."""
    return {key: value for key, value in json.loads(content).items() if key not in CLOCK_FIELDS}


def essence_of_log(content: bytes) -> Any:
    """Loss, learning rate and token counts of every step."""
    rows = csv.DictReader(io.StringIO(content.decode()))
    return [{key: value for key, value in row.items() if key not in CLOCK_COLUMNS} for row in rows]


def essence_of_state(content: bytes) -> Any:
    """The trainer's state without times."""
    state = json.loads(content)
    state["log_history"] = [
        {key: value for key, value in entry.items() if not _is_clock(key)} for entry in state["log_history"]
    ]
    return state


def essence_of_notebook(content: bytes) -> Any:
    """Cells and outputs of a notebook without execution times and names of cells."""
    notebook = json.loads(content)
    for part in [notebook, *notebook["cells"]]:
        part["metadata"] = {key: value for key, value in part["metadata"].items() if key not in NOTEBOOK_CLOCK}
    for cell in notebook["cells"]:
        cell.pop("id", None)
    return notebook


def essence_of_page(content: bytes) -> Any:
    """A page without wall times, times of day and hashes of manifests."""
    text = content.decode()
    for pattern in (
        r"\d{4}-\d\d-\d\dT[\d:.+]+",
        r'"wall_seconds": [\d.]+',
        r"[\d.]+ s\b",
        r'"commit": "[^"]*"|code [0-9a-f]{10}',
    ):
        text = re.sub(pattern, "", text)
    return text


EXCEPTIONS = (
    Allowed("*manifest.json", "says when and from which commit it was made, and how long it took", essence_of_manifest),
    Allowed("*/tensorboard/*", "named by time and machine; log.csv holds the same curve"),
    Allowed("checkpoints/*/log.csv", "holds wall times, speed and memory", essence_of_log),
    Allowed("checkpoints/*/trainer_state.json", "holds wall times, speed and memory", essence_of_state),
    Allowed("results/*/table_[24]*", "shows measured hours and latencies"),
    Allowed("results/notebooks/*.ipynb", "papermill records times of day", essence_of_notebook),
    Allowed("results/report.html", "shows wall times and times of day from the manifests", essence_of_page),
)  # fmt: skip


def compare_roots(first: Path, second: Path) -> Comparison:
    """Compare every file of the artefacts below two roots. Raises UserError for a folder that holds none."""
    held = {root: set(_names(root)) for root in (first, second)}
    for root in held:
        if not held[root]:
            raise UserError(f"{root}: holds no artefacts; name the root of a finished run")
    names = sorted(held[first] | held[second])
    found = [_difference(name, first / name, second / name) for name in names]
    differences = tuple(difference for difference in found if difference is not None)
    return Comparison(len(names) - len(differences), differences)


def report(comparison: Comparison) -> Iterator[str]:
    """The outcome for people, the unexplained last."""
    yield f"{comparison.equal} files are equal byte by byte"
    reasons: dict[str, list[str]] = {}
    for difference in comparison.differences:
        if difference.reason is not None:
            reasons.setdefault(difference.reason, []).append(difference.name)
    for reason, names in reasons.items():
        yield f"{len(names)} files are equal but for a reason ({reason}), such as {names[0]}"
    for difference in comparison.unexplained:
        yield f"differs: {difference.name}"
    yield f"{len(comparison.unexplained)} files differ without a reason"


def _difference(name: str, first: Path, second: Path) -> Difference | None:
    allowed = next((entry for entry in EXCEPTIONS if fnmatch(name, entry.pattern)), None)
    if allowed is not None and allowed.essence is None:
        return Difference(name, allowed.reason)
    if not (first.is_file() and second.is_file()):
        return Difference(f"{name} (only in one)", None)
    one, other = first.read_bytes(), second.read_bytes()
    if one == other:
        return None
    if allowed is not None and allowed.essence is not None and allowed.essence(one) == allowed.essence(other):
        return Difference(name, allowed.reason)
    return Difference(name, None)


def _names(root: Path) -> Iterable[str]:
    for part in PARTS:
        for file in (root / part).rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                yield file.relative_to(root).as_posix()


def _is_clock(key: str) -> bool:
    return key in CLOCK_COLUMNS or key.endswith(("_runtime", "_per_second"))
