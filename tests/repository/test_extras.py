"""The extras of pyproject.toml: answering a question needs neither what trains nor what runs the workflow."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from dynfocus import cli

INFERENCE = (
    "dynfocus.cli",
    "dynfocus.hub",
    "dynfocus.network",
    "dynfocus.features.decode",
    "dynfocus.chat.model",
    "dynfocus.chat.terminal",
)
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {absent!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Present
for module in {modules!r}:
    __import__(module)
print("imported")
"""


def canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


def project(repository) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported_names(names: set[str]) -> set[str]:
    """The top-level modules that distributions of these names alone bring."""
    return {
        module for module, owners in packages_distributions().items() if {canonical(owner) for owner in owners} <= names
    }


def test_inference_imports_nothing_of_the_extras(repository, export_environment):
    closure = export_environment.closure
    groups = project(repository)["optional-dependencies"]
    core = closure(Requirement(text) for text in project(repository)["dependencies"])
    extras = closure(Requirement(text) for group in ("train", "workflow") for text in groups[group])
    assert {"snakemake", "deepspeed", "pandas", "matplotlib"} <= extras - core
    code = WITHOUT.format(absent=imported_names(extras - core), modules=INFERENCE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert done.stdout == "imported\n", done.stderr[-2000:]


def test_a_package_is_named_once(repository):
    groups = project(repository)["optional-dependencies"]
    listed = [canonical(text) for group in (project(repository)["dependencies"], *groups.values()) for text in group]
    assert sorted(listed) == sorted(set(listed))


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    listed = ["torch>=2.11", "pandas<4,>=3.1; extra == 'workflow'", 'deepspeed>=0.19; extra == "train"']
    monkeypatch.setattr(cli, "requires", lambda name: listed)
    assert [cli.extra_of(name) for name in ("pandas.io", "deepspeed", "torch", "no_such")] == [
        "workflow",
        "train",
        "",
        "",
    ]
