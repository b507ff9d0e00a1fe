"""Which code made an artefact: the modules that did the work and all that they import, read from the sources.

A module counts by what it says to Python: comments, layout and docstrings leave its hash as it is, and so does the
Python that reads it. With a module count the files that its package carries: templates, styles, the paper's numbers.

Rooms that decide where and when work is done, and not what comes out, are no part of it (`APART`): settings are in
the manifest by their values. A registry lists every reader and adapter; a step counts those of its own sets alone.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from dynfocus.config.names import BENCHMARKS, TRAINING_SETS

PACKAGE = "dynfocus"
APART = ("artefacts", "cli", "config", "errors", "machine", "planning", "steps")
REGISTRIES = ("dynfocus.datasets.registry", "dynfocus.evaluation.answerers", "dynfocus.evaluation.benchmarks")
DIGITS = 12
ROOT = Path(__file__).parents[1]
PROSE = ".md"
DUMP: dict[str, bool] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
"""Python 3.13 leaves empty lists out unless it is told to show them."""


def code_of(modules: Iterable[str]) -> dict[str, str]:
    """Module or file -> hash, of `modules`, of every module of the package that they import, and of their files."""
    names = closure(modules)
    return {name: current_hash(name) for name in [*names, *files_of(names)]}


def current_hash(name: str) -> str:
    """The hash of a module, or of a file as `files_of` names it; empty where there is none any more."""
    if "/" in name:
        file = ROOT.parent / name
        return hashlib.sha256(file.read_bytes()).hexdigest()[:DIGITS] if file.is_file() else ""
    try:
        return module_hash(name)
    except ModuleNotFoundError:
        return ""


def files_of(modules: Iterable[str]) -> list[str]:
    """The files that the packages of `modules` carry, as `dynfocus/reporting/templates/report.html.j2`."""
    folders = {source_of(name).parent for name in modules if name.partition(".")[0] == PACKAGE} - {ROOT}
    return sorted(file.relative_to(ROOT.parent).as_posix() for folder in folders for file in _carried(folder))


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
    """The first digits of the SHA-256 of a module's syntax tree without docstrings, as Python 3.11 shows it."""
    tree = ast.parse(source_of(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some formats with an empty text
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        if vars(node).get("type_params") == []:  # Python 3.12 has them
            del vars(node)["type_params"]
    return hashlib.sha256(ast.dump(tree, **DUMP).encode()).hexdigest()[:DIGITS]


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


def _carried(folder: Path) -> Iterator[Path]:
    """What is no Python and no prose in a package, and in its folders that are no packages."""
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in (".py", PROSE):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _carried(path)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _targets(node: ast.AST, packages: Collection[str] = (PACKAGE,)) -> Iterator[str]:
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
