"""Profiles: resolve-config, export-config-docs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, load_jobs
from dynfocus.machine.locks import only_one

app = typer.Typer()


@app.command()
def resolve_config(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Check a profile and write it out whole, with its experiments, below its root.

    Example: dynfocus resolve-config --config config/paper.yaml --set seeds='[0, 1]'
    """
    jobs = load_jobs(config, overrides)
    with only_one(jobs.layout.run_lock, "a run in this folder, whose jobs read this file"):
        jobs.write_resolved()
    print(jobs.layout.config)


@app.command()
def export_config_docs(
    root: Annotated[Path, typer.Option(help="Root of the repository.")] = Path("."),
) -> None:
    """Write config/schema.json and docs/configuration.md from the typed settings.

    Example: dynfocus export-config-docs
    """
    from dynfocus.config.reference import export

    for file in export(root):
        print(file)
