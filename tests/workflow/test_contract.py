"""What every rule, command and file of the repository must have."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

import dynfocus
from dynfocus.cli import app
from dynfocus.config.schema import DATASETS
from dynfocus.datasets.registry import TRAINING_SETS
from dynfocus.evaluation.benchmarks import BENCHMARKS

DIRECTIVES = ("input", "output", "log", "benchmark", "threads", "resources", "params", "message", "conda", "shell")
WITHOUT_RULE = {"resolve-config", "export-config-docs"}
REQUIRED = [
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "environment.yml",
    "requirements.lock",
    ".ci/run",
    "config/paper.yaml",
    "config/mini.yaml",
    "config/smoke.yaml",
    "config/experiments.yaml",
    "config/schema.json",
    "docs/configuration.md",
    "workflow/Snakefile",
    "workflow/profiles/default/config.yaml",
]


@pytest.fixture(scope="module")
def rules(repository) -> dict[str, str]:
    """Rule name -> its text, of all .smk files."""
    found = {}
    for file in sorted((repository / "workflow" / "rules").glob("*.smk")):
        for block in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            name, _, body = block.partition(":")
            found[name] = body
    return found


@pytest.fixture(scope="module")
def export_environment(repository):
    """scripts/export_environment.py as a module."""
    spec = spec_from_file_location("export_environment", repository / "scripts" / "export_environment.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_required_files_exist(repository):
    assert [name for name in REQUIRED if not (repository / name).is_file()] == []
    assert (repository / ".ci" / "run").stat().st_mode & stat.S_IXUSR


def test_every_rule_says_everything_about_itself(rules):
    for name, body in rules.items():
        wanted = DIRECTIVES if name != "prepare_data" else DIRECTIVES[1:]
        missing = [part for part in wanted if not re.search(rf"^    {part}:", body, flags=re.M)]
        assert not missing, f"rule {name} lacks {', '.join(missing)}"


def test_rules_are_thin(rules):
    for name, body in rules.items():
        assert "lambda" not in body and "\n    run:" not in body, name
        assert re.search(rf'"dynfocus {name.replace("_", "-")} ', body), f"rule {name} must call its own command"


def test_rules_and_commands_have_the_same_names(rules):
    commands = set(get_command(app).commands)
    assert {name.replace("_", "-") for name in rules} == commands - WITHOUT_RULE


def test_every_command_explains_itself_with_an_example():
    for name, command in get_command(app).commands.items():
        assert f"Example: dynfocus {name}" in command.help, name
        assert all(option.help for option in command.params), name


def test_logs_and_benchmarks_mirror_the_rule(rules):
    for name, body in rules.items():
        assert re.search(rf'"<logs>/{name}[/.]', body), name
        assert re.search(rf'"<benchmarks>/{name}[/.]', body), name


def test_snakefile_is_a_table_of_contents(repository):
    assert len((repository / "workflow" / "Snakefile").read_text().splitlines()) < 70
    for file in (repository / "workflow" / "rules").glob("*.smk"):
        if file.name != "common.smk":
            assert "\ndef " not in file.read_text(), f"{file.name}: functions belong in common.smk"


def test_versions_are_equal_everywhere(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    changelog = re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), flags=re.M)
    assert project["version"] == citation["version"] == changelog[1] == dynfocus.__version__


def test_lock_satisfies_every_requirement(repository, export_environment):
    versions = export_environment.locked_versions((repository / "requirements.lock").read_text())
    for requirement in export_environment.direct_requirements((repository / "pyproject.toml").read_text()):
        version = versions.get(canonicalize_name(requirement.name))
        assert version and Requirement(str(requirement)).specifier.contains(version), f"{requirement}: run `make lock`"


def test_environment_yml_follows_the_lock(repository, export_environment):
    sources = [(repository / name).read_text() for name in ("pyproject.toml", "requirements.lock")]
    written = (repository / "environment.yml").read_text()
    assert written == export_environment.environment_yml(*sources), "run `make lock`"


def test_lock_names_no_machine(repository):
    lock = (repository / "requirements.lock").read_text()
    assert not re.search(r"://|@ |file:", lock)


def test_configuration_names_every_set_that_has_a_reader():
    assert set(DATASETS) == {*TRAINING_SETS, *BENCHMARKS}


@pytest.mark.parametrize("module", ["dynfocus.cli", "dynfocus.config.jobs", "dynfocus.provenance"])
def test_light_modules_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
