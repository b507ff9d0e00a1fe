"""The command line: one command per rule of the workflow, each also usable by hand, and some that no rule calls.

Every command reads the profile (`--config`, repeatable; `--set key.path=value`), finds its inputs below the profile's
`root`, calls one function of the package, and leaves a manifest beside what it made. The modules are those of
`workflow/rules`. A user's mistake ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

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
from dynfocus.errors import MachineError, UserError, one_line
from dynfocus.machine import faults
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


def extra_of(module: str) -> str:
    """The extra of the installed package that brings a module; empty where none names it."""
    wanted = module.partition(".")[0].lower().replace("_", "-")
    for text in requires("dynfocus") or []:
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)", text)
        if found and found[1].lower().replace("_", "-") == wanted:
            return found[2]
    return ""


def main() -> None:
    """Entry point: run the app and turn a `UserError`, or a fault of the machine, into one line and exit code 2."""
    prepare_process()
    try:
        app()
    except (UserError, MachineError) as error:
        line = str(error)
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if not extra:
            raise
        line = f"{error.name} is not installed; pip install 'dynfocus[{extra}]' brings it"
    except Exception as error:
        remedy = faults.remedy_for(error)
        if remedy is None:
            raise
        file = getattr(error, "filename", None)
        line = one_line(f"{f'{file}: ' if file else ''}{faults.reason_of(error)}; {remedy}")
    else:
        return
    print(f"dynfocus: {line}", file=sys.stderr)
    raise SystemExit(2) from None
