"""A package beside this one, as `docs/new_package.md` writes it: its sets, films, sizes and parts are in the DAG."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ASK = """
import json
from pathlib import Path
from dynfocus.config.load import load_config
from dynfocus.planning.sizes import set_size
from dynfocus.steps.code import closure
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import RenderReport, name_of, needed
from dynfocus.world.export import world_set
from dynfocus.world.seeds import film_seeds

jobs = Jobs.load(load_config([Path("my_dynfocus/smoke.yaml")]))
steps = needed(jobs, [RenderReport()])
print(json.dumps({
    "modules": {name_of(jobs, step): closure(step.modules(jobs)) for step in steps},
    "sizes": [set_size(jobs.config, name).samples for name in ("tgif_qa", "my_talks")],
    "films": [film.seed for film in world_set("tgif_qa").films("tgif_qa", jobs.config.world)],
    "known": [film_seeds(name, seed, 1).start for seed in (0, 1) for name in ("webvid_cap", "nextqa_test")],
}))
"""
KNOWN = [1_000_000, 20_000_000, 22_000_000, 41_000_000]
"""First seeds of a set of this package in the worlds 0 and 1, whatever else is installed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository) -> Path:
    """The files of the page, and what an installer writes of their entry points."""
    folder = tmp_path_factory.mktemp("outside")
    shutil.copytree(repository / "config", folder / "config")
    page = (repository / "docs" / "new_package.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", page, flags=re.M | re.S):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads((folder / "my_dynfocus" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = folder / "my_dynfocus" / f"my_dynfocus-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {place}" for name, place in points.items())])
        for group, points in project["entry-points"].items()
    )
    (installed / "entry_points.txt").write_text("\n".join(groups))
    return folder


@pytest.fixture(scope="module")
def said(folder, repository) -> dict:
    """What the package is to a process that finds it."""
    path = os.pathsep.join([str(repository / "src"), str(folder / "my_dynfocus")])
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("data/tgif_qa", "my_dynfocus.world"),
        ("data/my_talks", "my_dynfocus.world"),
        ("features/tgif_qa", "my_dynfocus.sets"),
        ("features/my_talks", "my_dynfocus.sets"),
        ("instruction/unusual", "my_dynfocus.parts"),
        ("instruction/by_time", "my_dynfocus.parts"),
        ("instruction/my_talks", "my_dynfocus.sets"),
        ("answers/unusual", "my_dynfocus.parts"),
        ("answers/my_talks", "my_dynfocus.sets"),
    ],
)
def test_what_a_package_brings_is_in_the_graph_with_its_code(said, step, module):
    found = [modules for name, modules in said["modules"].items() if step in name]
    assert found and all(module in modules for modules in found)


def test_runs_that_take_nothing_from_a_package_do_not_depend_on_it(said):
    ours = [modules for name, modules in said["modules"].items() if "alignment" in name or "data/msvd_qa" in name]
    untouched = [modules for modules in ours if not any(module.startswith("my_dynfocus") for module in modules)]
    assert len(untouched) >= 2


def test_sizes_and_films_come_along_and_move_no_other_set(said):
    assert said["sizes"] == [32, 12]
    assert len(set(said["films"])) == 4 and min(said["films"]) > max(said["known"])
    assert said["known"] == KNOWN
