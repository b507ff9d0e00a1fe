"""The rooms of the package: no import goes in a circle, and reporting never loads a model."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynfocus.steps.code import PACKAGE, ROOT, _targets, source_of


def modules() -> dict[str, Path]:
    files = sorted(ROOT.rglob("*.py"))
    return {
        ".".join((PACKAGE, *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in files
    }


def imported(name: str, file: Path) -> set[str]:
    """Modules that a module imports, those inside functions too, but not those for type checking alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = {target for node in ast.walk(tree) if id(node) not in typing for target in _targets(node)}
    return found - {name}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else name


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = []
            while True:
                part.append(stack.pop())
                if part[-1] == node:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for node in edges:
        if node not in index:
            visit(node)
    return found


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    return {name: imported(name, file) for name, file in modules().items()}


def test_no_file_imports_itself_by_way_of_others(edges):
    assert circles(edges) == []


def test_no_room_imports_itself_by_way_of_others(edges):
    rooms: dict[str, set[str]] = {}
    for name, targets in edges.items():
        rooms.setdefault(room(name), set()).update(room(target) for target in targets)
    assert circles({name: targets - {name} for name, targets in rooms.items()}) == []


def test_imports_go_down_the_list_of_contributing(edges, repository):
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (`[^|]+) \|", text.partition("## The rooms")[2].partition("\n## ")[0], flags=re.M)
    floor = {name: number for number, line in enumerate(lines) for name in re.findall(r"`(\w+)(?:/|\.py)`", line)}
    gone = [name for name in floor if not (ROOT / name).is_dir() and not (ROOT / f"{name}.py").is_file()]
    assert floor and not gone, f"rooms that are not there: {gone}"
    assert {room(name) for name in edges} - set(floor) == {PACKAGE, "__main__"}
    upward = [
        f"{name} -> {target}"
        for name, targets in edges.items()
        for target in targets
        if floor.get(room(name), -1) > floor.get(room(target), -1)
    ]
    assert not upward


def loading(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("from_pretrained", "load_model", "load_answerer", "FeatureStore", "load_vision_tower"):
                yield called


def test_reporting_and_notebooks_load_no_model(edges, repository):
    heavy = ("torch", "transformers", "open_clip")
    for name, file in modules().items():
        if room(name) == "reporting":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            names = {
                alias.name if isinstance(node, ast.Import) else str(node.module)
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not {other for other in names if other.split(".")[0] in heavy}, name
            assert not list(loading(file)), name
    for notebook in (repository / "notebooks").glob("*.ipynb"):
        assert not any(f"import {word}" in notebook.read_text(encoding="utf-8") for word in heavy), notebook.name


def is_module(name: str) -> bool:
    try:
        return source_of(name).is_file()
    except ModuleNotFoundError:
        return False


def test_what_notebooks_import_is_there(repository):
    for file in sorted((repository / "notebooks").glob("*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                named = source_of(node.module).read_text(encoding="utf-8")
                lacking = [
                    alias.name
                    for alias in node.names
                    if not re.search(rf"\b{alias.name}\b", named) and not is_module(f"{node.module}.{alias.name}")
                ]
                assert not lacking, f"{file.name}: {node.module} has no {lacking}"
