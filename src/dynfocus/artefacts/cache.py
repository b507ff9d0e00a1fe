"""`start_from`: what published work takes the place of jobs, step by step.

Whatever is published with the wanted settings, and of a kind that the rung allows, is pulled. Whatever is not is made,
from inputs of which the same is asked. So an added run trains alone, and an edited setting never scores old weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from dynfocus.config.schema import StartFrom
from dynfocus.errors import UserError
from dynfocus.steps.index import Index, find_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import differences
from dynfocus.steps.step import Step
from dynfocus.steps.table import RenderReport, TestClaims, TrainAlignment, TrainInstruction, name_of, needed

RUNGS: tuple[StartFrom, ...] = get_args(StartFrom)


@dataclass(frozen=True)
class Decision:
    """Steps whose published results are pulled, steps that are done, and why one of these is not pulled."""

    pulled: tuple[Step, ...]
    made: tuple[Step, ...]
    reasons: Mapping[Step, str]

    def trained(self) -> list[Step]:
        """The steps among those that are done that train a stage."""
        return [step for step in self.made if isinstance(step, TrainAlignment | TrainInstruction)]


def decide(jobs: Jobs, targets: Iterable[Step] = (RenderReport(),)) -> Decision:
    """What this configuration pulls and makes for `targets`; a step comes after what it reads."""
    index, rung = find_index(jobs.layout.root), RUNGS.index(jobs.config.start_from)
    pulled: dict[Step, None] = {}
    made: dict[Step, None] = {}
    reasons: dict[Step, str] = {}

    def visit(step: Step) -> None:
        if step in pulled or step in made:
            return
        if step.rung is not None and RUNGS.index(step.rung) <= rung:
            reason = obstacle(jobs, index, step)
            if reason is None:
                pulled[step] = None
                return
            reasons[step] = reason
        for before in step.inputs(jobs):
            visit(before)
        made[step] = None

    for target in targets:
        visit(target)
    return Decision(tuple(pulled), tuple(made), reasons)


def decide_all(jobs: Jobs) -> Decision:
    """The decision for every target of the workflow."""
    return decide(jobs, (RenderReport(), TestClaims()))


def obstacle(jobs: Jobs, index: Index | None, step: Step) -> str | None:
    """Why the result of a step cannot be pulled, with both values where a setting differs; None where it can."""
    if index is None:
        return "not published"
    stored = name_of(jobs, step) in index.stored
    return unlike(jobs, index, step) or (None if stored else "known but not stored, the publisher left it out")


def unlike(jobs: Jobs, index: Index, step: Step) -> str | None:
    """Where a step is not that of the published run.

    Its result must come from the wanted settings, and so must all that it was made from.
    """
    for before in needed(jobs, [step])[::-1]:
        reason = difference(jobs, index, before)
        if reason is not None:
            return reason if before == step else f"{name_of(jobs, before)}, which it is made from, is {reason}"
    return None


def difference(jobs: Jobs, index: Index, step: Step) -> str | None:
    """How the settings or the seed of a step are not those of the published one, whatever it was made from."""
    published = index.manifests.get(name_of(jobs, step))
    if published is None:
        return "not published"
    for key, before, now in differences(_identity(published), _wanted(jobs, step)):
        return f"published with {key} = {before!r}, wanted with {now!r}"
    return None


def require_no_training(jobs: Jobs, decision: Decision) -> None:
    """Raise UserError, naming them, where `never_train` is set and something would be trained."""
    trained = decision.trained()
    if jobs.config.never_train and trained:
        names = ", ".join(f"{name_of(jobs, step)} ({decision.reasons.get(step, 'needed')})" for step in trained[:3])
        more = f" and {len(trained) - 3} more" if len(trained) > 3 else ""
        raise UserError(f"never_train is set, but these would be trained: {names}{more}; undo the change, or allow it")


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": manifest["seed"], **manifest["settings"]}


def _wanted(jobs: Jobs, step: Step) -> dict[str, Any]:
    return {"seed": step.training_seed(jobs), **step.settings(jobs)}
