"""What each rung of `start_from` costs here, one line each: the command `costs` and the first lines of every run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dynfocus.artefacts.cache import RUNGS, Decision, decide
from dynfocus.config.schema import StartFrom
from dynfocus.errors import UserError
from dynfocus.planning.plan import Plan, make_plan
from dynfocus.planning.rates import gpu
from dynfocus.planning.show import clock
from dynfocus.steps.index import find_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import name_of

DEFAULT_GPU = "a100"
SHOWN_REASONS = 3


def cost_lines(jobs: Jobs, rungs: Iterable[StartFrom] = RUNGS) -> Iterator[str]:
    """For each rung: what it pulls and makes, on what, how long that takes, and where that number comes from."""
    for rung in rungs:
        at_rung = Jobs(jobs.config.model_copy(update={"start_from": rung}), jobs.experiments)
        yield _line(at_rung, rung, decide(at_rung))


def run_lines(jobs: Jobs) -> Iterator[str]:
    """What a run says before its first job: the cost of its rung, and why something published is not pulled."""
    decision = decide(jobs)
    yield _line(jobs, jobs.config.start_from, decision)
    for reason, steps in _by_reason(decision).items():
        more = f" and {len(steps) - 1} more" if len(steps) > 1 else ""
        yield f"  made here, as {reason}: {name_of(jobs, steps[0])}{more}"


def _line(jobs: Jobs, rung: StartFrom, decision: Decision) -> str:
    made = Counter(step.rule() for step in decision.made)
    what = ", ".join(f"{count} {rule}" for rule, count in made.items())
    size = _megabytes(jobs, decision.pulled)
    pulled = f"pulls {len(decision.pulled)} results ({size:.1f} MB), " if decision.pulled else ""
    return f"start_from {rung}: {pulled}makes {what}; {_time(jobs)}"


def _time(jobs: Jobs) -> str:
    """The time of a plan; where none can be made, as of a set of unknown size, why. A run needs no estimate."""
    try:
        plan = make_plan(jobs, gpu(DEFAULT_GPU), max(1, jobs.config.hardware.gpus), os.cpu_count() or 1)
    except UserError as error:
        return f"no estimate of the time ({error})"
    left = f", {clock(plan.remaining.wall_hours)} of it left" if plan.total.finished else ""
    return f"about {clock(plan.total.wall_hours)} on {where(plan)}{left} ({main_source(plan)})"


def where(plan: Plan) -> str:
    """The hardware that a plan is for."""
    return f"{plan.gpus} x {plan.device}" if plan.gpus else f"{plan.cores} CPU cores"


def main_source(plan: Plan) -> str:
    """Where the times of most jobs come from."""
    return max(plan.sources, key=lambda source: plan.sources[source])


def _megabytes(jobs: Jobs, steps: Iterable[Step]) -> float:
    index = find_index(jobs.layout.root)
    return sum(index.stored[name_of(jobs, step)] for step in steps) / 1e6 if index is not None else 0.0


def _by_reason(decision: Decision) -> dict[str, Sequence[Step]]:
    found: dict[str, list[Step]] = {}
    for step, reason in decision.reasons.items():
        found.setdefault(reason, []).append(step)
    return dict(list(found.items())[:SHOWN_REASONS])
