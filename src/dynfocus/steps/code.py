"""Which code made an artefact: the modules that did the work and all that they import, read from the sources.

A module counts by what it says to Python: comments, layout and docstrings leave its hash as it is.

Rooms that decide where and when work is done, and not what comes out, are no part of it (`APART`): settings are in
the manifest by their values. A registry lists every reader and adapter; a step counts those of its own sets alone.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from dynfocus.config.names import BENCHMARKS, TRAINING_SETS

PACKAGE = "dynfocus"
APART = ("artefacts", "cli", "config", "errors", "machine", "options", "planning", "steps")
REGISTRIES = ("dynfocus.datasets.registry", "dynfocus.evaluation.answerers", "dynfocus.evaluation.benchmarks")
DIGITS = 12
ROOT = Path(__file__).parents[1]


def code_of(modules: Iterable[str]) -> dict[str, str]:
    """Module -> hash, of `modules` and of every module of the package that they import."""
    return {name: module_hash(name) for name in closure(modules)}


def closure(modules: Iterable[str]) -> list[str]:
    """`modules` and all modules of the package that they import, however deep, sorted by name."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name not in REGISTRIES:
                waiting.extend(imports_of(name))
    return sorted(found)


@cache
def imports_of(name: str) -> tuple[str, ...]:
    """The modules of the package that a module imports, at its top or inside a function, but those of rooms apart.

    A package counts by its `__init__` where that is imported by name, and with all of its modules where it is empty.
    """
    source = source_of(name)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    own = name.partition(".")[0]
    named = [target for node in ast.walk(tree) for target in _targets(node, {PACKAGE, own})]
    if not named and source.name == "__init__.py":
        named = [f"{name}.{file.stem}" for file in sorted(source.parent.glob("*.py")) if file != source]
    return tuple(dict.fromkeys(target for target in named if not _is_apart(target)))


@cache
def module_hash(name: str) -> str:
    """The first digits of the SHA-256 of a module's syntax tree without docstrings."""
    tree = ast.parse(source_of(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:DIGITS]


def readers(sets: Iterable[str]) -> list[str]:
    """The modules that read the files of training sets and benchmarks."""
    places = {**TRAINING_SETS, **BENCHMARKS}
    return sorted({places[name].partition(":")[0] for name in sets})


def source_of(name: str) -> Path:
    """The file of a module, found without importing it or its parents; a package is its `__init__.py`.

    Raises:
        ModuleNotFoundError: there is none.
    """
    if name.partition(".")[0] == PACKAGE:
        path = ROOT.joinpath(*name.split(".")[1:])
        found = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    else:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if found is None:
        raise ModuleNotFoundError(f"no source found for module {name}")
    return found


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _targets(node: ast.AST, packages: Collection[str]) -> Iterator[str]:
    """The modules of some packages that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if _is_below(alias.name, packages))
    elif isinstance(node, ast.ImportFrom) and _is_below(node.module or "", packages):
        for alias in node.names:
            below = f"{node.module}.{alias.name}"
            yield below if _is_module(below) else str(node.module)
    elif isinstance(node, ast.ImportFrom) and node.module in packages:
        yield from (below for alias in node.names if _is_module(below := f"{node.module}.{alias.name}"))


def _is_below(name: str, packages: Collection[str]) -> bool:
    package, _, rest = name.partition(".")
    return package in packages and bool(rest)


@cache
def _is_module(name: str) -> bool:
    try:
        return source_of(name).is_file()
    except ModuleNotFoundError:
        return False


def _is_apart(name: str) -> bool:
    package, room = name.split(".")[:2]
    return package == PACKAGE and room in APART
