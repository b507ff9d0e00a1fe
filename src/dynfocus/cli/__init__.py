"""The command line: one command per rule of the workflow, each also usable by hand, and some that no rule calls.

Every command reads the profile (`--config`, repeatable; `--set key.path=value`), finds its inputs below the profile's
`root`, calls one function of the package, and leaves a manifest beside what it made. The modules are those of
`workflow/rules`. A user's mistake ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

import errno
import re
import sys
from importlib.metadata import requires

import typer

from dynfocus.cli import (
    artefacts,
    backbones,
    chat,
    data,
    evaluate,
    features,
    measure,
    planning,
    report,
    settings,
    train,
)
from dynfocus.errors import UserError
from dynfocus.machine.startup import prepare_process

OF_THE_MACHINE = {
    errno.ENOSPC: "make room on the disk, and start again: finished work is kept",
    errno.EDQUOT: "make room in your quota, and start again: finished work is kept",
    errno.EACCES: "give this user access there",
    errno.EROFS: "choose another `root`, on a disk that can be written",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
}
"""What a person does about a file that the machine refuses."""

app = typer.Typer(
    help="DynFocus, a video LLM: data, features, training, evaluation and report, one command per step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for stage in (data, backbones, features, train, evaluate, measure, report, artefacts, planning, settings, chat):
    app.add_typer(stage.app)


def extra_of(module: str) -> str:
    """The extra of the installed package that brings a module; empty where none names it."""
    wanted = module.partition(".")[0].lower().replace("_", "-")
    for text in requires("dynfocus") or []:
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)", text)
        if found and found[1].lower().replace("_", "-") == wanted:
            return found[2]
    return ""


def main() -> None:
    """Entry point: run the app and turn a `UserError` into one line and exit code 2."""
    prepare_process()
    try:
        app()
    except UserError as error:
        print(f"dynfocus: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if not extra:
            raise
        print(f"dynfocus: {error.name} is not installed; pip install 'dynfocus[{extra}]' brings it", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        print(
            f"dynfocus: {error.filename or 'a file'}: {error.strerror}; {OF_THE_MACHINE[error.errno]}", file=sys.stderr
        )
        raise SystemExit(2) from None
