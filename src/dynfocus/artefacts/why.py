"""The state of everything that a configuration makes, with the reason why a job would make it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynfocus.artefacts.cache import decide
from dynfocus.errors import UserError
from dynfocus.steps.code import current_hash
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import read_manifest, verify, verify_inputs
from dynfocus.steps.perform import is_published
from dynfocus.steps.step import Step
from dynfocus.steps.table import is_done, name_of, needed

FINISHED = "finished"


def explain(jobs: Jobs, contains: str = "") -> Iterator[str]:
    """One line per step that this configuration pulls or makes and whose result has a name that contains a text."""
    decision = decide(jobs)
    if not any(contains in name_of(jobs, step) for step in (*decision.pulled, *decision.made)):
        raise UserError(f"--artefact {contains}: part of no artefact's name; see all with `dynfocus why`")
    changed: dict[Step, tuple[str, ...]] = {}
    states: dict[Step, str] = {}
    for step in needed(jobs, [*decision.pulled, *decision.made]):
        if is_done(jobs, step):
            changed[step] = changed_code(jobs, step, changed)
        if step in decision.pulled or step in decision.made:
            states[step] = state(jobs, step, step in decision.pulled, states, changed.get(step, ()))
            if contains in name_of(jobs, step):
                yield f"{name_of(jobs, step)}: {states[step]}"


def state(jobs: Jobs, step: Step, pulled: bool, states: Mapping[Step, str], changed: tuple[str, ...]) -> str:
    """`finished`, or what is wrong; `states` are those of the steps before."""
    if not is_done(jobs, step):
        return "missing: will be pulled" if pulled else "missing: will be made"
    try:
        manifest = verify(step.path(jobs), step.settings(jobs))
        if not is_published(jobs, step, manifest):
            verify_inputs(step.path(jobs), manifest)
    except UserError as error:
        return str(error).removeprefix(f"{step.path(jobs)}: ")
    waiting = [before for before in step.inputs(jobs) if not states.get(before, FINISHED).startswith(FINISHED)]
    if waiting and not pulled:
        return f"{FINISHED} from {name_of(jobs, waiting[0])}, which is not; made again only if that changes"
    return f"{FINISHED}; by other code, which starts no job: {', '.join(changed)}" if changed else FINISHED


def changed_code(jobs: Jobs, step: Step, before: Mapping[Step, tuple[str, ...]]) -> tuple[str, ...]:
    """The modules behind a finished step, or behind anything that it was made from, that are others now."""
    own = (name for name, made in read_manifest(step.path(jobs))["code"].items() if current_hash(name) != made)
    inherited = (name for source in step.inputs(jobs) for name in before.get(source, ()))
    return tuple(sorted({*own, *inherited}))
