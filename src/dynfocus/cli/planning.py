"""Before a run: plan, costs, doctor."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, load_jobs

app = typer.Typer()


@app.command()
def plan(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    gpu: Annotated[str, typer.Option("--gpu", help="A GPU of src/dynfocus/planning/data/gpus.csv.")] = "a100",
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, help="GPUs in all; those of one training by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what a profile will cost before it runs: jobs, GPU hours, disk, downloads, judge calls; all estimates.

    Example: dynfocus plan --config config/paper.yaml --gpu h100 --gpus 8
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.planning.plan import make_plan
    from dynfocus.planning.rates import gpu as recorded_gpu

    made = make_plan(jobs, recorded_gpu(gpu), gpus or max(1, jobs.config.hardware.gpus), os.cpu_count() or 1)
    if as_json:
        print(json.dumps(asdict(made), indent=2))
        return
    from rich.console import Console

    from dynfocus.planning.show import show

    show(made, Console())


@app.command()
def costs(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Show what each `start_from` pulls and makes, and how long that takes on this machine's cores or GPUs.

    Example: dynfocus costs --config config/mini.yaml
    """
    from dynfocus.planning.costs import cost_lines

    for line in cost_lines(load_jobs(config, overrides)):
        print(line)


@app.command()
def doctor(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server.")] = False,
) -> None:
    """Check that this machine can run a profile; what is missing comes with its remedy, exit status 1 if it blocks.

    Example: dynfocus doctor --config config/paper.yaml
    """
    jobs = load_jobs(config, overrides)
    from rich.console import Console

    from dynfocus.planning.doctor import blocked, examine, table

    checks = examine(jobs, os.environ, offline)
    Console().print(table(checks, jobs.config.profile))
    if blocked(checks):
        raise typer.Exit(1)
