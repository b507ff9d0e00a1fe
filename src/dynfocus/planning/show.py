"""A plan on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dynfocus.planning.encoding import HOURS_PER_TERABYTE
from dynfocus.planning.fits import Fit
from dynfocus.planning.plan import Cost, Plan
from dynfocus.planning.rates import BEST_UTILISATION

SHOWN_RUNS = 3
COLUMNS = ("jobs", "GPU h", "time", "disk", "fetch", "judge", "price $")


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
    if plan.paths:
        items.add_section()
    for name, cost in plan.paths.items():
        items.add_row(name, *_cells(cost))
    rules = _table("The same by kind of job", "rule")
    for name, cost in plan.rules.items():
        rules.add_row(name, *_cells(cost))
    sets = [encoding_table(plan)] if plan.encodings else []
    return Group(items, rules, *sets, Text("\n".join(notes(plan))))


def encoding_table(plan: Plan) -> Table:
    """Frames and reads of each training set, what its features take either way, and which way the profile goes."""
    title = f"Features of the training sets: on the fly where that adds up to {HOURS_PER_TERABYTE} GPU hours a terabyte"
    table = _table(title, "training set", ("frames", "trainings", "reads", "cache", "GPU h, or live", "better", "set"))
    for one in plan.encodings:
        ways = [way(one.live), way(one.set in plan.on_the_fly)]
        numbers = (f"{one.frames:,.0f}", f"{one.trainings}", f"{one.reads:,.1f}", size(1000 * one.terabytes))
        table.add_row(one.set, *numbers, f"{one.hours_cached:,.1f} – {one.hours_live:,.1f}", *ways)
    return table


def way(live: bool) -> str:
    """How the features of a set come about."""
    return "on the fly" if live else "cached"


def notes(plan: Plan) -> Iterable[str]:
    """What the numbers rest on, memory, and what has no number."""
    features = plan.features
    yield (
        f"Features: {size(features.patches)} as patches, as this profile stores them; "
        f"{size(features.tokens)} as the {features.tokens_per_frame} parameter-free tokens of a frame."
    )
    differing = [one for one in plan.encodings if one.live != (one.set in plan.on_the_fly)]
    if differing:
        better = [one.set for one in plan.encodings if one.live]
        yield f"Better for these items: on_the_fly: [{', '.join(better)}]."
    if plan.gpus:
        yield f"GPU h: from {BEST_UTILISATION:.0%} of the peak rate to the times below, which the price follows."
    for fit in [*(one for one in plan.memory if not one.fits), *tightest(plan)]:
        others = f" and {len(fit.runs) - SHOWN_RUNS} more" if len(fit.runs) > SHOWN_RUNS else ""
        yield f"Memory of {fit.stage}, {', '.join(fit.runs[:SHOWN_RUNS])}{others}: {fit.advice}."
    if plan.no_download:
        yield f"No download exists for {', '.join(plan.no_download)}: not counted; see the data ledger."
    if plan.total.price is None:
        yield "Price of the judge unknown: set evaluation.judge.price_in and price_out."
    if plan.pulled:
        yield f"{plan.pulled} published results take the place of jobs (start_from)."
    yield "Every number is an estimate, times are wall time. Time of the jobs from:"
    for source, jobs in sorted(plan.sources.items(), key=lambda entry: -entry[1]):
        yield f"  {jobs} jobs: {source}"


def tightest(plan: Plan) -> Iterable[Fit]:
    """The trainings that fit with the least room, one of each stage."""
    fitting = [one for one in plan.memory if one.fits]
    return {one.stage: one for one in reversed(fitting)}.values()


def _table(title: str, head: str, columns: Iterable[str] = COLUMNS) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(head, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(cost: Cost) -> list[str]:
    return [
        f"{cost.jobs:,}",
        hours(cost),
        clock(cost.wall_hours),
        size(cost.disk_gigabytes),
        size(cost.download_gigabytes) if cost.download_gigabytes else "–",
        f"{cost.judge_calls:,}" if cost.judge_calls else "–",
        price(cost),
    ]


def hours(cost: Cost) -> str:
    """GPU hours from the lower bound to the calibrated estimate; one number where they are the same."""
    bounds = [f"{value:,.0f}" if value >= 10 else f"{value:,.1f}" for value in (cost.gpu_hours_least, cost.gpu_hours)]
    return "–".join(dict.fromkeys(bounds)) if cost.gpu_hours else "–"


def price(cost: Cost) -> str:
    """Dollars of the GPUs and of the judge, a question mark for what is not known."""
    parts = [cost.gpu_price if cost.gpu_hours else 0.0, cost.price]
    known = sum(part for part in parts if part is not None)
    return "+".join([*([f"{known:,.0f}"] if known else []), *("?" for part in parts if part is None)]) or "–"


def size(gigabytes: float) -> str:
    """Gigabytes with a fitting unit."""
    if gigabytes >= 1000:
        return f"{gigabytes / 1000:,.1f} TB"
    if gigabytes >= 100:
        return f"{gigabytes:,.0f} GB"
    return f"{gigabytes:,.1f} GB" if gigabytes >= 1 else f"{gigabytes * 1000:,.0f} MB"


def clock(hours: float) -> str:
    """Hours as days (d), hours or minutes."""
    if hours >= 48:
        return f"{hours / 24:,.1f} d"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
