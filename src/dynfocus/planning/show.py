"""A plan on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dynfocus.planning.plan import Cost, Plan

COLUMNS = ("jobs", "GPU h", "time", "disk", "download", "judge", "price")


def show(plan: Plan, console: Console) -> None:
    """Print the tables of a plan and what they rest on."""
    console.print(render(plan))


def render(plan: Plan) -> RenderableType:
    """The plan as tables: per report item, per rule, and notes."""
    where = f"{plan.gpus} x {plan.device}" if plan.gpus else f"{plan.cores} CPU cores"
    items = _table(f"Profile {plan.profile} on {where}: estimates per report item, each made alone", "item")
    for name, cost in plan.items.items():
        items.add_row(name, *_cells(cost))
    items.add_section()
    items.add_row("all, shared once", *_cells(plan.total), style="bold")
    if plan.total.finished:
        items.add_row(f"still to do ({plan.total.finished} done)", *_cells(plan.remaining))
    rules = _table("The same by kind of job", "rule")
    for name, cost in plan.rules.items():
        rules.add_row(name, *_cells(cost))
    return Group(items, rules, Text("\n".join(notes(plan))))


def notes(plan: Plan) -> Iterable[str]:
    """What the numbers rest on, memory, and what has no number."""
    features = plan.features
    yield (
        f"Features: {size(features.patches)} as patches, as this profile stores them; "
        f"{size(features.tokens)} as the {features.tokens_per_frame} parameter-free tokens of a frame."
    )
    for fit in plan.memory:
        yield f"Memory of {fit.stage}: {fit.advice}."
    if plan.no_download:
        yield f"No download exists for {', '.join(plan.no_download)}: not counted; see the data ledger."
    if plan.total.price is None:
        yield "Price of the judge unknown: set evaluation.judge.price_in and price_out."
    if plan.pulled:
        yield f"{plan.pulled} published results take the place of jobs (start_from)."
    yield "Every number is an estimate, times are wall time. Time of the jobs from:"
    for source, jobs in sorted(plan.sources.items(), key=lambda entry: -entry[1]):
        yield f"  {jobs} jobs: {source}"


def _table(title: str, head: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(head, no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(cost: Cost) -> list[str]:
    price = "?" if cost.price is None else f"{cost.price:,.0f} $" if cost.price else "–"
    return [
        f"{cost.jobs:,}",
        f"{cost.gpu_hours:,.0f}" if cost.gpu_hours >= 10 else f"{cost.gpu_hours:,.1f}" if cost.gpu_hours else "–",
        clock(cost.wall_hours),
        size(cost.disk_gigabytes),
        size(cost.download_gigabytes) if cost.download_gigabytes else "–",
        f"{cost.judge_calls:,}" if cost.judge_calls else "–",
        price,
    ]


def size(gigabytes: float) -> str:
    """Gigabytes with a fitting unit."""
    if gigabytes >= 1000:
        return f"{gigabytes / 1000:,.1f} TB"
    return f"{gigabytes:,.1f} GB" if gigabytes >= 1 else f"{gigabytes * 1000:,.0f} MB"


def clock(hours: float) -> str:
    """Hours as days, hours or minutes."""
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
