"""What tables and figures need models, films or logs for: measure-item."""

from __future__ import annotations

import typer

from dynfocus.cli.options import DEFAULT_CONFIG, NO_OVERRIDES, ConfigFiles, ItemName, Overrides, load_jobs
from dynfocus.errors import UserError
from dynfocus.steps.perform import perform
from dynfocus.steps.table import MeasureItem

app = typer.Typer()


@app.command()
def measure_item(
    item: ItemName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Measure what the notebook of a table or figure shows besides scores; it is stored as one JSON file.

    Example: dynfocus measure-item --item table_4
    """
    jobs = load_jobs(config, overrides)
    if jobs.item(item).measures is None:
        raise UserError(f"--item {item}: its notebook needs no measurement; execute it: dynfocus execute-notebook")
    from dynfocus.measuring.measure import measure

    perform(jobs, MeasureItem(item), lambda out: measure(jobs, item, out))
