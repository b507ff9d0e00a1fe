"""The main metric of every run and benchmark: the first table of the report, and the last lines of the workflow."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

from dynfocus.config.names import BENCHMARKS
from dynfocus.config.schema import Config
from dynfocus.reporting.names import benchmark_name, metric_name
from dynfocus.reporting.results import Gap, Results
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, own_cell, plain_table
from dynfocus.reporting.verdicts import scale_obstacle

UNITS = {"score": "score", "g_avg": "score10"}
TERMINAL_WIDTH = 150
ITEMS = ("headline", "table_7")
"""Report items whose runs are the main ones; ablations have their own tables."""


def headline_table(config: Config, root: Path) -> Table:
    """Main runs (rows, in the order of the experiments) by benchmarks (columns) that have results."""
    session = Session(config, root)
    return runs_table(session, "headline_runs", "Main metric of every run", main_runs(session))


def item_table(session: Session, item: str, title: str) -> Table:
    """The runs of an item by the main metrics of its benchmarks."""
    entry = session.experiments.items[item]
    return runs_table(session, item, title, entry.runs, entry.benchmarks)


def runs_table(session: Session, id: str, title: str, shown: Collection[str], asked: Collection[str] = ()) -> Table:
    """Those of the `shown` runs that have results, by the benchmarks that do, or the `asked` ones of them."""
    results = session.results(id)
    present = {benchmark: None for _, _, benchmark in results.records if not asked or benchmark in asked}
    known = [name for name in BENCHMARKS if name in present]
    benchmarks = [*known, *(name for name in present if name not in BENCHMARKS)]
    runs = [run for run in session.titles if run in results.runs() and run in shown]
    rows = [
        ((session.titles[run],), [headline_cell(results, run, benchmark) for benchmark in benchmarks]) for run in runs
    ]
    metrics = headline_metrics(results)
    columns = [f"{benchmark_name(name)} {metric_name(metrics[name])}" for name in benchmarks]
    return plain_table(id, title, ("Model",), columns, rows)


def main_runs(session: Session) -> list[str]:
    """The runs of the main tables, of all items where there are none, in the order of the experiments."""
    items = session.experiments.items
    chosen = [items[name] for name in ITEMS if name in items] or list(items.values())
    main = {run for item in chosen for run in item.runs}
    return [run for run in session.experiments.runs if run in main]


def headline_metrics(results: Results) -> dict[str, str]:
    """The main metric of each benchmark, as its records name it."""
    return {benchmark: record.get("headline", "accuracy") for (_, _, benchmark), record in results.records.items()}


def headline_cell(results: Results, run: str, benchmark: str) -> Comparison:
    """The main metric of one run on one benchmark."""
    metric = headline_metrics(results)[benchmark]
    found = results.get(run, benchmark, metric)
    if isinstance(found, Gap) and not any((run, seed, benchmark) in results.records for seed in results.seeds):
        return Comparison()
    return own_cell(found, UNITS.get(metric, "percent"))


def headline(config: Config, root: Path) -> str:
    """The headline table as plain text for the terminal."""
    from rich.console import Console
    from rich.table import Table as Grid

    table = headline_table(config, root)
    obstacle = scale_obstacle(config)
    title = f"{config.profile} profile, 95 % intervals" + (f"; {obstacle}" if obstacle else "")
    grid = Grid(title=title, title_justify="left")
    grid.add_column("Model", no_wrap=True)
    for column in table.columns:
        grid.add_column(column.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in table.rows:
        grid.add_row(row.labels[0], *(plain_cell(cell) for cell in row.cells if isinstance(cell, Comparison)))
    out = io.StringIO()
    console = Console(file=out, width=TERMINAL_WIDTH, color_system=None, markup=False)
    console.print(grid if table.rows else "No scores yet.")
    return out.getvalue().rstrip() + "\n"


def plain_cell(cell: Comparison) -> str:
    """Value and half of its interval, or why there is none."""
    if cell.ours is None or cell.low is None or cell.high is None:
        return cell.gap.partition(":")[0] or "–"
    return f"{cell.number(cell.ours)} ± {cell.number((cell.high - cell.low) / 2)}"
