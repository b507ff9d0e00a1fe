"""Both training stages: train-alignment, train-instruction."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, RunName, Seed, load_jobs
from dynfocus.errors import UserError
from dynfocus.machine.gpus import take_gpus
from dynfocus.machine.launch import launch_command
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.perform import is_ready, recording
from dynfocus.steps.table import TrainAlignment, TrainInstruction

app = typer.Typer()


@app.command()
def train_alignment(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    run: Annotated[str | None, typer.Option("--run", help="Run of config/experiments.yaml.")] = None,
    seed: Seed = 0,
    key: Annotated[str | None, typer.Option("--key", help="Stage-1 key, in place of a run and a seed.")] = None,
) -> None:
    """Stage 1, vision-language alignment; runs with equal stage-1 settings share the checkpoint.

    Example: dynfocus train-alignment --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    if (run is None) == (key is None):
        raise UserError("train-alignment: pass either --run (and --seed) or --key")
    if key is None:
        _require_seed(jobs, seed)
        key = jobs.alignment_key(str(run), seed)
    jobs.alignment(key)
    _train(jobs, TrainAlignment(key), work=key)


@app.command()
def train_instruction(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Stage 2, instruction tuning of one run, from its stage-1 checkpoint.

    Example: dynfocus train-instruction --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    _require_seed(jobs, seed)
    _train(jobs, TrainInstruction(run, seed), work=jobs.instruction_key(run, seed))


def _require_seed(jobs: Jobs, seed: int) -> None:
    """Raise UserError for a seed that the profile does not train: the names of stage 1 follow from those it does."""
    if seed not in jobs.training_seeds:
        known = ", ".join(map(str, jobs.training_seeds))
        raise UserError(f"--seed {seed}: the profile trains seeds {known}; add it: --set seeds='[{known}, {seed}]'")


def _train(jobs: Jobs, step: TrainAlignment | TrainInstruction, work: str) -> None:
    """One training stage in as many processes as the profile says; the first one writes the manifest."""
    if "RANK" not in os.environ and not is_ready(jobs, step):
        return
    run, stage = step.trained(jobs)
    config, layout = jobs.run(run), jobs.layout
    command = launch_command(config.hardware, sys.argv[1:], os.environ, socket.gethostname())
    take_gpus(config, config.hardware.gpus // config.hardware.nodes, step.command())
    if command is not None:
        os.execvp(command[0], command)
    from dynfocus.training.stage import train_stage

    start = next(iter(step.inputs(jobs)))
    init = start.path(jobs) if isinstance(start, TrainAlignment) else layout.backbones
    with recording(jobs, step) if os.environ.get("RANK", "0") == "0" else nullcontext():
        train_stage(
            config,
            run,
            stage,
            int(step.training_seed(jobs) or 0),
            layout.data,
            layout.features,
            init,
            step.path(jobs),
            layout.work(stage, work),
        )
