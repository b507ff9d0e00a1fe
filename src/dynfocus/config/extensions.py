"""Parts of the method that a name in the profile chooses, from this package or from outside it.

    network: {clustering: weighted_kmeans}                  one of this package
    network: {selection: my_rules.py:Spread}                a class or function in a file, relative to where one runs
    network: {selection: spread}                            an entry point of an installed package, in the group
                                                            `dynfocus.selection`

The table below is the one place where this package's own are listed; `docs/new_variant.md` shows one from outside.
Light: nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from dynfocus.config.nearest import nearest
from dynfocus.errors import UserError

BUILT_IN: dict[str, dict[str, str]] = {
    "clustering": {
        "dpc_knn": "dynfocus.network.clustering:density_peaks",
        "kmeans": "dynfocus.network.clustering:plain_kmeans",
        "weighted_kmeans": "dynfocus.network.clustering:weighted_kmeans",
    },
    "selection": {
        "learned": "dynfocus.network.dpe:ScoreNetwork",
    },
}
"""Kind, which is also the setting of `network` that names it → name → module:object."""


def installed(kind: str) -> list[EntryPoint]:
    """What installed packages bring of a kind: the entry points of the group `dynfocus.{kind}`."""
    return list(_points(f"dynfocus.{kind}", tuple(sys.path)))


@cache
def _points(group: str, search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Asking once for a path spares every check of a profile's names the reading of some 300 files."""
    return tuple(entry_points(group=group))


def names(kind: str) -> list[str]:
    """All names of a kind: this package's, then those of installed packages."""
    return [*BUILT_IN[kind], *(point.name for point in installed(kind) if point.name not in BUILT_IN[kind])]


def module_of(kind: str, name: str) -> str | None:
    """The module of an installed package that a name comes from; None for this package's own and for a file's."""
    if name in BUILT_IN.get(kind, ()):
        return None
    return next((point.module for point in installed(kind) if point.name == name), None)


def in_file(name: str) -> tuple[Path, str] | None:
    """The file and the object of a name like `rules.py:Spread`; None for a name that is in no file."""
    path, separator, thing = name.rpartition(":")
    return (Path(path), thing) if separator and path.endswith(".py") and thing.isidentifier() else None


def check(kind: str, name: str) -> str:
    """The name, if there is something behind it; nothing of it is run. Raises ValueError, for the settings' schema."""
    place = in_file(name)
    if place is not None:
        if not place[0].is_file():
            raise ValueError(f"there is no file {place[0]}")
    elif name not in (known := names(kind)):
        raise ValueError(f"no {kind} is named '{name}'; {nearest(name, known)}, or name one in a file, file.py:Name")
    return name


def find(kind: str, name: str) -> Any:
    """The class or function behind a name. Raises UserError where there is none."""
    place = in_file(name)
    return _load(kind, name) if place is None else _load_file(kind, *place, place[0].resolve())


@cache
def _load(kind: str, name: str) -> Any:
    if name in BUILT_IN[kind]:
        module, _, thing = BUILT_IN[kind][name].partition(":")
        return getattr(importlib.import_module(module), thing)
    try:
        check(kind, name)
        return next(point for point in installed(kind) if point.name == name).load()
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"network.{kind}: {error}") from error


@cache
def _load_file(kind: str, path: Path, thing: str, place: Path) -> Any:
    """The object `thing` of a file; `place` is where the file lies, should the working directory change."""
    spec = importlib.util.spec_from_file_location(f"dynfocus_extension_{place.stem}", place)
    if spec is None or spec.loader is None or not place.is_file():
        raise UserError(f"network.{kind}: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, thing)
    except Exception as error:
        raise UserError(f"network.{kind}: {path}:{thing} cannot be used: {type(error).__name__}: {error}") from error
