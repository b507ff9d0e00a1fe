"""What every rule and command must have."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.main import get_command

from dynfocus.cli import app
from dynfocus.config.names import BENCHMARKS, TRAINING_SETS
from dynfocus.config.schema import DATASETS
from dynfocus.datasets.registry import training_set
from dynfocus.evaluation.benchmarks import benchmark

DIRECTIVES = ("input", "output", "log", "benchmark", "threads", "resources", "params", "message", "conda", "shell")
WITHOUT_RULE = {
    "check-sources",
    "export-model",
    "chat",
    "plan",
    "doctor",
    "serve-chat",
    "costs",
    "why",
    "compare",
    "attest",
    "resolve-config",
    "export-config-docs",
    "datasets",
}


@pytest.fixture(scope="module")
def rules(repository) -> dict[str, str]:
    """Rule name -> its text, of all .smk files."""
    found = {}
    for file in sorted((repository / "workflow" / "rules").glob("*.smk")):
        for block in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            name, _, body = block.partition(":")
            found[name] = body
    return found


def command_of(rule: str) -> str:
    """Each rule has a command of its own."""
    return rule.replace("_", "-")


def test_every_rule_says_everything_about_itself(rules):
    for name, body in rules.items():
        without = {"pull": {"input"}, "publish": {"output"}}
        wanted = [part for part in DIRECTIVES if part not in without.get(name, set())]
        missing = [part for part in wanted if not re.search(rf"^    {part}:", body, flags=re.M)]
        assert not missing, f"rule {name} lacks {', '.join(missing)}"


def test_rules_are_thin(rules):
    for name, body in rules.items():
        assert "lambda" not in body and "\n    run:" not in body, name
        assert re.search(rf'"dynfocus {command_of(name)} ', body), f"rule {name} must call its own command"


def test_what_may_hold_a_blank_is_quoted(rules):
    """Paths below the root go to a shell."""
    for name, body in rules.items():
        shell = body.partition("    shell:")[2]
        bare = [word for word in re.findall(r"\{([^}]+)\}", shell) if not re.match(r"wildcards\.|.*:q$", word)]
        assert not bare, f"rule {name}: write {{{bare[0]}:q}}"


def test_rules_and_commands_have_the_same_names(rules):
    commands = set(get_command(app).commands)
    assert {command_of(name) for name in rules} == commands - WITHOUT_RULE


def test_every_command_explains_itself_with_an_example():
    for name, command in get_command(app).commands.items():
        assert f"Example: dynfocus {name}" in command.help, name
        assert all(option.help for option in command.params), name


def test_logs_and_records_of_time_mirror_the_rule(rules):
    for name, body in rules.items():
        assert re.search(rf'"<logs>/{name}[/.]', body), name
        assert re.search(rf'"<times>/{name}[/.]', body), name


def test_snakefile_is_a_table_of_contents(repository):
    assert len((repository / "workflow" / "Snakefile").read_text().splitlines()) < 70
    for file in (repository / "workflow" / "rules").glob("*.smk"):
        if file.name != "common.smk":
            assert "\ndef " not in file.read_text(), f"{file.name}: functions belong in common.smk"


def test_every_set_that_the_configuration_names_has_a_reader():
    assert (*TRAINING_SETS, *BENCHMARKS) == DATASETS and len(set(DATASETS)) == len(DATASETS)
    assert all(callable(training_set(name).read) for name in TRAINING_SETS)
    assert all(benchmark(name).name == name for name in BENCHMARKS)


def test_light_modules_do_not_import_torch(repository):
    """The command line, and what Snakemake reads at every start: torch and transformers would take seconds of each."""
    common = (repository / "workflow" / "rules" / "common.smk").read_text()
    read = re.findall(r"^from (dynfocus\S+) import", common, flags=re.M)
    assert "dynfocus.planning.costs" in read
    code = f"import sys, dynfocus.cli, {', '.join(read)}; sys.exit(bool({{'torch', 'pandas'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
