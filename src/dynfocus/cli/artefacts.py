"""What was made and what is published: why, pull, publish, compare, attest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, Overrides, load_jobs

app = typer.Typer()


@app.command()
def why(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    artefact: Annotated[
        str, typer.Option("--artefact", help="Only artefacts whose path contains this; all by default.")
    ] = "",
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Say instead whether what is published is what this checkout would publish; exit code 1 where not.",
        ),
    ] = False,
) -> None:
    """Say of every artefact whether it is finished, and if not, why a job would make it.

    Example: dynfocus why --set instruction.learning_rate=2e-3 --artefact dynfocus
    """
    from dynfocus.artefacts.fresh import freshness
    from dynfocus.artefacts.why import explain

    jobs = load_jobs(config, overrides)
    if published:
        found = freshness(jobs)
        for line in found.lines():
            print(line)
        raise typer.Exit(int(bool(found.stale)))
    for line in explain(jobs, artefact):
        print(line)


@app.command()
def pull(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    artefact: Annotated[
        list[str] | None,
        typer.Option(
            "--artefact",
            help="Path below the root, e.g. checkpoints/instruction/dynfocus/seed-0; repeatable. "
            "By default all that `start_from` takes.",
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Show what is published, with its size, and pull nothing.")
    ] = False,
) -> None:
    """Pull published results to their places, checked against the index.

    Example: dynfocus pull --artefact checkpoints/instruction/dynfocus/seed-0
    """
    from dynfocus.artefacts.cache import decide_all
    from dynfocus.artefacts.pull import published_step, published_steps
    from dynfocus.artefacts.pull import pull as pull_steps
    from dynfocus.steps.index import read_index

    jobs = load_jobs(config, overrides)
    if listed:
        stored = read_index(jobs.layout.root).stored
        for name in published_steps(jobs):
            print(f"{stored[name] / 1e6:8.2f} MB  {name}")
        return
    steps = [published_step(jobs, name) for name in artefact] if artefact else decide_all(jobs).pulled
    for path in pull_steps(jobs, steps):
        print(f"{path}: pulled")


@app.command()
def publish(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Add and push everything that a finished run made; again without effect where nothing is new.

    Example: dynfocus publish --config config/mini.yaml
    """
    from dynfocus.artefacts.publish import publish as publish_run
    from dynfocus.artefacts.store import local_store

    done = publish_run(load_jobs(config, overrides))
    for group, size in done.bytes.items():
        print(f"{group}: {size / 1e6:.2f} MB")
    store = local_store()
    files = [*map(str, done.changed), *([str(store)] if store else [])]
    print(f"published; commit it: git add {' '.join(files)}" if done.changed else "published before; nothing is new")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Root of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Root of another one.")],
) -> None:
    """Compare two finished roots artefact by artefact; exit code 1 where something differs without a reason.

    Example: dynfocus compare runs/smoke ../again/runs/smoke
    """
    from dynfocus.artefacts.compare import compare_roots, report

    comparison = compare_roots(first, second)
    for line in report(comparison):
        print(line)
    raise typer.Exit(int(bool(comparison.unexplained)))


@app.command()
def attest(
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    by: Annotated[str, typer.Option("--by", help="Who reproduced it; a name or nothing.")] = "",
) -> None:
    """Write the record of a finished reproduction to docs/attestations and the table of all records to README.md.

    Example: dynfocus attest --by "Ada Lovelace"
    """
    from dynfocus.artefacts.attest import attest as attest_run
    from dynfocus.artefacts.attest import write_table

    print(attest_run(load_jobs(config, overrides), by))
    write_table(Path("README.md"))
