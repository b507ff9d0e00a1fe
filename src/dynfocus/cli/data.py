"""Raw files of training sets and benchmarks: prepare-data, verify-data, datasets, check-sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.options import (
    DEFAULT_CONFIG,
    NO_OVERRIDES,
    ConfigFiles,
    Dataset,
    Overrides,
    known_dataset,
    load_jobs,
)
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.perform import perform
from dynfocus.steps.table import PrepareData, VerifyData

app = typer.Typer()


@app.command()
def prepare_data(
    dataset: Dataset,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Make one training set or benchmark in its official layout: rendered films, or the real files.

    Example: dynfocus prepare-data --dataset msvd_qa
    """
    jobs = load_jobs(config, overrides)
    make = _render if jobs.config.source == "world" else _fetch
    perform(jobs, PrepareData(dataset), lambda out: make(jobs, dataset, out))


def _render(jobs: Jobs, name: str, out: Path) -> None:
    from dynfocus.world.export import prepare

    prepare(jobs.config, name, out)


def _fetch(jobs: Jobs, name: str, out: Path) -> None:
    """Download one real set; UserError where a person has to get something first, or a download fails."""
    from dynfocus.ledger.entries import entry_of, load_ledger
    from dynfocus.ledger.pins import read_pins
    from dynfocus.ledger.prepare import prepare

    file = Path(jobs.config.ledger)
    prepare(name, entry_of(load_ledger(file), name, file), read_pins(file, out), out)
    print(f"{name}: complete in {out}")


@app.command()
def verify_data(
    dataset: Dataset,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Open every video and image of a set and count what cannot be read, by kind.

    Example: dynfocus verify-data --dataset msvd_qa
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.ledger.coverage import inspect, summary, threads_for, write_report

    def verify(out: Path) -> None:
        report = inspect(dataset, jobs.layout.data / dataset, threads_for(jobs.config.hardware.threads))
        write_report(report, out)
        print(summary(report))

    perform(jobs, VerifyData(dataset), verify)


@app.command()
def datasets(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    dataset: Annotated[str, typer.Option("--dataset", help="Only this set, with what to do for it.")] = "",
    pin: Annotated[
        bool, typer.Option("--pin", help="Record commits and checksums of what was downloaded beside the ledger.")
    ] = False,
) -> None:
    """Show the ledger: every real training set and benchmark, its source, licence, status and size.

    Example: dynfocus datasets --config config/paper.yaml
    """
    from rich.console import Console

    from dynfocus.ledger.entries import entry_of, load_ledger
    from dynfocus.ledger.pins import lock_file, read_pins, write_lock
    from dynfocus.ledger.prepare import instructions
    from dynfocus.ledger.table import table

    jobs = load_jobs(config, overrides)
    file, data = Path(jobs.config.ledger), jobs.layout.data
    ledger = load_ledger(file)
    if pin:
        found = write_lock(file, data, list(ledger.sets))
        print(f"{lock_file(file)}: {', '.join(found) or 'nothing was downloaded yet'}")
    elif dataset:
        entry = entry_of(ledger, known_dataset(dataset), file)
        print(instructions(dataset, entry, entry.parts, data / dataset))
        print(f"  Mini world: {entry.mini}" + (f"\n  Note: {entry.note}" if entry.note else ""))
    else:
        Console().print(table(ledger, read_pins(file), data if jobs.config.source == "ledger" else None))


@app.command()
def check_sources(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    dataset: Annotated[str, typer.Option("--dataset", help="Only this set.")] = "",
) -> None:
    """Visit every source of the ledger without downloading it; exit status 1 where a part has none that is there.

    Example: dynfocus check-sources --dataset lvbench
    """
    from rich.console import Console

    from dynfocus.ledger.entries import entry_of, load_ledger
    from dynfocus.ledger.visit import State, table, unobtainable, visit_all

    jobs = load_jobs(config, overrides)
    file = Path(jobs.config.ledger)
    ledger = load_ledger(file)
    if dataset:
        entry_of(ledger, known_dataset(dataset), file)
    visits = visit_all(ledger, [dataset] if dataset else list(ledger.sets))
    Console().print(table(visits))
    lacking = unobtainable(visits)
    for (name, to), state in lacking.items():
        part = f"{name}: {'all of it' if to == '.' else to}"
        if state is State.GONE:
            print(f"{part} is at none of its sources; look at the publisher's page, correct {file}")
        else:
            print(f"{part} has no source that answered; look at the last column, and at the network of this machine")
    if lacking:
        raise typer.Exit(1)
