"""The command line: one command per rule of the workflow, each also usable by hand, and some that no rule calls.

Every command reads the profile (`--config`, repeatable; `--set key.path=value`), finds its inputs below the profile's
`root`, calls one function of the package, and leaves a manifest beside what it made. The modules are those of
`workflow/rules`. A user's mistake ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

import sys

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


def main() -> None:
    """Entry point: run the app and turn a `UserError` into one line and exit code 2."""
    prepare_process()
    try:
        app()
    except UserError as error:
        print(f"dynfocus: {error}", file=sys.stderr)
        raise SystemExit(2) from None
