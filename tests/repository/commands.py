"""Whether a command line of the documentation would be understood, told without running it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path

import typer
from typer.main import get_command

from dynfocus.cli import app
from dynfocus.config.load import load_config
from dynfocus.config.schema import DATASETS, Config
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs

DEFAULT_PROFILE = Path("config/mini.yaml")
OUTPUTS = ("data/", "backbones/", "features/", "checkpoints/", "results/", "work/", "logs/", "runs/")
TOOLS = {"pip", "venv"}


class Wrong(Exception):
    """What is wrong with a command line."""


@cache
def jobs_of(files: tuple[Path, ...], overrides: tuple[str, ...]) -> Jobs:
    """The jobs that profile files and overrides lead to; the working folder is the repository."""
    return Jobs.load(load_config(list(files) or [DEFAULT_PROFILE], list(overrides)))


def check(words: list[str], written: frozenset[str] = frozenset()) -> None:
    """Raise `Wrong` for a command line that its program would not understand.

    Args:
        words: the command line, its program first; paths are relative to the working folder.
        written: files and runs that the same page writes before, which need not exist.
    """
    checks: dict[str, Callable[[list[str], frozenset[str]], None]] = {
        "dynfocus": check_dynfocus,
        "snakemake": check_snakemake,
        "make": check_make,
        "python": check_python,
        "papermill": check_papermill,
        "pytest": check_papermill,
        "dvc": check_dvc,
        "docker": check_container,
        "apptainer": check_container,
    }
    try:
        checks[words[0]](words[1:], written)
    except UserError as error:
        raise Wrong(str(error)) from None


def check_dynfocus(words: list[str], written: frozenset[str]) -> None:
    """Options and their types; the profile, its overrides, and the names of runs, items and sets."""
    group = get_command(app)
    if not words or words[0].startswith("-"):
        return
    name, *arguments = words
    if name not in group.commands:
        raise Wrong(f"no command {name}; there are {', '.join(group.commands)}")
    if not arguments:
        return
    parent = group.make_context("dynfocus", [name], resilient_parsing=True)
    try:
        given = group.commands[name].make_context(name, arguments, parent=parent).params
    except typer.Exit:
        return
    except Exception as error:
        raise Wrong(f"{type(error).__name__}: {error}") from None
    files = [file for file in given.get("config") or [] if str(file) not in written]
    if len(files) < len(given.get("config") or []):
        return
    jobs = jobs_of(tuple(files), tuple(given.get("overrides") or ()))
    if given.get("run") and given["run"] not in written:
        jobs.run(given["run"])
    if given.get("item") and given["item"] not in written:
        jobs.item(given["item"])
    if given.get("dataset") and given["dataset"] not in (*DATASETS, *written):
        raise Wrong(f"no data set {given['dataset']}")


@cache
def snakemake_parser() -> argparse.ArgumentParser:
    from snakemake.cli import get_argument_parser

    return get_argument_parser()


def check_snakemake(words: list[str], written: frozenset[str]) -> None:
    """Options; profiles and configuration; targets that are rules or lie below an output folder."""
    given = parsed(snakemake_parser(), words)
    files = tuple(Path(file) for file in given.configfile or ())
    if not {str(file) for file in files} & written:
        names = [text for text in given.config or [] if not any(name in text for name in written)]
        jobs_of(files, tuple(names))
    for profiles in filter(None, (given.profile, given.workflow_profile)):
        for profile in [profiles] if isinstance(profiles, str) else profiles:
            if not Path(profile, "config.yaml").is_file():
                raise Wrong(f"no profile {profile}")
    rules = set(re.findall(r"^rule (\w+):", all_rules(), flags=re.M))
    for target in given.targets:
        if target not in rules and not target.startswith(OUTPUTS):
            raise Wrong(f"target {target} is neither a rule nor below an output folder")


@cache
def all_rules() -> str:
    files = [Path("workflow/Snakefile"), *sorted(Path("workflow/rules").glob("*.smk"))]
    return "\n".join(file.read_text() for file in files)


def check_make(words: list[str], written: frozenset[str]) -> None:
    """Targets of the Makefile; variables that it uses, with files that exist."""
    makefile = Path("Makefile").read_text()
    for word in words:
        name, given, value = word.partition("=")
        if not given:
            if not re.search(rf"^{re.escape(word)}:", makefile, flags=re.M):
                raise Wrong(f"the Makefile has no target {word}")
        elif f"$({name})" not in makefile:
            raise Wrong(f"the Makefile uses no variable {name}")
        elif "/" in value and value not in written and not Path(value).exists():
            raise Wrong(f"{value} does not exist")


def check_python(words: list[str], written: frozenset[str]) -> None:
    """A module of the package, or a script that knows the options given."""
    if words[:1] == ["-m"]:
        module = Path("src", *words[1].split("."))
        source = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__main__.py"
        if words[1] not in TOOLS and not source.is_file():
            raise Wrong(f"no module {words[1]}")
        arguments = words[2:] if source.is_file() else []
    else:
        source, arguments = Path(words[0]), words[1:]
        if not source.is_file() and words[0] not in written:
            raise Wrong(f"no script {source}")
    unknown = [
        word for word in arguments if word.startswith("--") and f'"{word.split("=")[0]}"' not in source.read_text()
    ]
    if unknown:
        raise Wrong(f"{source} has no option {', '.join(unknown)}")


def check_papermill(words: list[str], written: frozenset[str]) -> None:
    """What is read exists."""
    if not Path(words[0]).exists() and words[0] not in written:
        raise Wrong(f"{words[0]} does not exist")


def check_dvc(words: list[str], written: frozenset[str]) -> None:
    """Subcommand and options; the .dvc files named."""
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    try:
        given = parsed(get_main_parser(), words)
    except DvcParserError:
        raise Wrong(f"dvc does not understand {' '.join(words)}") from None
    for target in getattr(given, "targets", None) or []:
        if target.endswith(".dvc") and not Path(target).is_file():
            raise Wrong(f"no file {target}")


def check_container(words: list[str], written: frozenset[str]) -> None:
    """The recipes named exist."""
    for word in words:
        if word.startswith("containers/") and not Path(word).is_file():
            raise Wrong(f"no file {word}")


def parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The arguments, or `Wrong` with the last line of the parser's complaint."""
    said = StringIO()
    try:
        with redirect_stderr(said):
            return parser.parse_args(words)
    except SystemExit as ended:
        if ended.code:
            raise Wrong(said.getvalue().strip().splitlines()[-1]) from None
        return argparse.Namespace(targets=[])


def is_setting(path: str) -> bool:
    """Whether a dotted path is a key of the configuration, a section included."""
    from dynfocus.config.load import key_paths

    return tuple(path.split(".")) in set(key_paths(Config))


def known_module(path: str) -> bool:
    """Whether `dynfocus.a.b` or `dynfocus.a.b.name` is a module of the package or a name that one defines."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        source = Path("src", *parts[:length])
        for file in (source.with_suffix(".py"), source / "__init__.py"):
            if file.is_file():
                text = file.read_text()
                return all(re.search(rf"\b{re.escape(name)}\b", text) for name in parts[length:])
    return False


def understood(words: list[str], written: frozenset[str] = frozenset()) -> str | None:
    """What is wrong with a command line; None where nothing is."""
    try:
        check(words, written)
    except Wrong as wrong:
        return str(wrong)
    return None
