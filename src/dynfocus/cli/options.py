"""Options that commands of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.config.load import load_config
from dynfocus.config.nearest import require_known
from dynfocus.config.schema import DATASETS, LARGEST_SEED
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs

ConfigFiles = Annotated[
    list[Path], typer.Option("--config", "-c", help="Profile file; further files merge on top.", metavar="FILE")
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", "-s", help="One setting, e.g. alignment.epochs=2; repeatable.", metavar="KEY=VALUE"),
]


def known_dataset(name: str) -> str:
    """The name of a set as it was given. Raises UserError, with the nearest name, where there is no such set."""
    require_known("--dataset", [name], DATASETS, "training set or benchmark")
    return name


Dataset = Annotated[
    str, typer.Option("--dataset", callback=known_dataset, help="Training set or benchmark, e.g. msvd_qa.")
]
RunName = Annotated[str, typer.Option("--run", help="Run of config/experiments.yaml, e.g. dynfocus.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Training seed.")]
Shard = Annotated[int, typer.Option("--shard", min=0, help="Which part of the work, from 0.")]
ItemName = Annotated[str, typer.Option("--item", help="Report item of config/experiments.yaml, e.g. table_7.")]

NumShards = Annotated[
    int | None, typer.Option("--num-shards", min=1, help="Parts in all; the profile's number by default.")
]


def require_shard(shard: int, shards: int) -> None:
    """Raise UserError where there is no such part of the work."""
    if shard >= shards:
        raise UserError(f"--shard {shard}: of {shards} shards the last is {shards - 1}")


DEFAULT_CONFIG = [Path("config/mini.yaml")]
NO_OVERRIDES: list[str] = []


def load_jobs(config: list[Path], overrides: list[str]) -> Jobs:
    """The resolved configuration and everything that follows from it."""
    return Jobs.load(load_config(config, overrides))
