"""`start_from`: which artefacts are pulled, which are made here, and what that costs.

The same tables come from every rung. Features are made wherever something reads them; verdicts are
made again from the pulled answers, with the pulled replies of the judge where it is a server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from dynfocus.artefacts.index import Index, find_index, read_index
from dynfocus.config.schema import StartFrom
from dynfocus.errors import UserError
from dynfocus.steps.catalogue import Artefact, Kind, demanded, name_of, read_by
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import differences

RUNGS: tuple[StartFrom, ...] = get_args(StartFrom)
FIRST_PULLED: dict[Kind, StartFrom] = {
    "data": "stage1",
    "backbones": "stage1",
    "alignment": "stage1",
    "checkpoints": "checkpoints",
    "answers": "predictions",
    "scores": "scores",
}
CHAIN: dict[StartFrom, tuple[Kind, ...]] = {
    "scratch": (),
    "stage1": ("data", "backbones", "alignment"),
    "checkpoints": ("data", "backbones", "checkpoints"),
    "predictions": ("data", "checkpoints", "answers"),
    "scores": ("data", "checkpoints", "answers", "verdicts", "scores"),
}
"""What decides the tables of a rung: its published settings must be the wanted ones, pulled or not."""
USED: dict[StartFrom, tuple[Kind, ...]] = {
    "scratch": get_args(Kind),
    "stage1": ("data", "backbones", "features", "alignment", "models", "checkpoints", "answers", "verdicts", "scores"),
    "checkpoints": ("data", "backbones", "features", "models", "checkpoints", "answers", "verdicts", "scores"),
    "predictions": ("data", "answers", "verdicts", "scores"),
    "scores": ("scores",),
}
"""What a rung pulls or makes, besides what a report item reads directly."""


def pulls(rung: StartFrom, kind: Kind) -> bool:
    """Whether artefacts of a kind are pulled, not made, at a rung."""
    first = FIRST_PULLED.get(kind)
    return first is not None and RUNGS.index(rung) >= RUNGS.index(first)


def is_used(jobs: Jobs, artefact: Artefact, rung: StartFrom | None = None) -> bool:
    """Whether an artefact is pulled or made at a rung, that of the configuration by default."""
    rung = rung or jobs.config.start_from
    if artefact.path in {source.path for item in jobs.items for source in read_by(jobs, item)}:
        return True
    if artefact.kind == "features":
        return artefact.kind in USED[rung] and artefact.path.parent.name in _sets_with_features(jobs, rung)
    if artefact.kind == "backbones" and rung == "checkpoints":
        return artefact.path.name == "clip"
    return artefact.kind in USED[rung]


def _sets_with_features(jobs: Jobs, rung: StartFrom) -> set[str]:
    """The sets whose features a step of this rung reads."""
    answered = {dataset for run, _ in jobs.evaluations for dataset, _, _ in jobs.benchmark_shards(run)}
    if rung == "checkpoints":
        return answered
    stages = ("instruction",) if rung == "stage1" else ("alignment", "instruction")
    return answered | {
        dataset
        for run, _ in jobs.evaluations
        if not jobs.foreign(run)
        for stage in stages
        for dataset, _, _ in jobs.training_shards(jobs.weights_run(run), stage)
    }


def is_pulled(jobs: Jobs, artefact: Artefact) -> bool:
    """Whether this configuration takes the published artefact."""
    return pulls(jobs.config.start_from, artefact.kind)


def rungs_pulled(jobs: Jobs) -> tuple[StartFrom, ...]:
    """The rungs above scratch, up to the one that this configuration starts from."""
    return RUNGS[1 : RUNGS.index(jobs.config.start_from) + 1]


def earlier(kind: Kind) -> StartFrom:
    """The last rung that makes a kind itself."""
    return RUNGS[RUNGS.index(FIRST_PULLED.get(kind, "scores")) - 1]


def require_fitting(jobs: Jobs) -> None:
    """Raise UserError, before anything is pulled, where the published artefacts do not fit the configuration."""
    rung = jobs.config.start_from
    if rung == "scratch":
        return
    index = read_index(jobs.layout.root)
    for artefact in demanded(jobs):
        if artefact.kind in CHAIN[rung] or (is_pulled(jobs, artefact) and is_used(jobs, artefact)):
            require_published_with(jobs, index, artefact)


def require_published_with(jobs: Jobs, index: Index, artefact: Artefact) -> None:
    """Raise UserError, with both values, where an artefact is not published with the wanted settings."""
    name = name_of(jobs, artefact)
    advice = f"undo the change, or make it here: start_from: {earlier(artefact.kind)}"
    published = index.manifests.get(name)
    if published is None and artefact.kind == "alignment":
        published = _nearest(index, artefact)
    if published is None:
        raise UserError(f"{name}: not published; {advice}")
    made, wanted = {"seed": published["seed"], **published["settings"]}, {"seed": artefact.seed, **artefact.settings}
    for key, before, now in differences(made, wanted):
        raise UserError(f"{name}: published with {key} = {before!r}, wanted with {now!r}; {advice}")
    if is_pulled(jobs, artefact) and is_used(jobs, artefact) and artefact.pack not in index.packs:
        raise UserError(f"{name}: known but not stored, the publisher left it out; {advice}")


def _nearest(index: Index, artefact: Artefact) -> dict | None:
    """The published stage-1 checkpoint that differs in the fewest settings; its name follows its settings."""
    found = [manifest for name, manifest in index.manifests.items() if name.startswith("checkpoints/alignment/")]
    return min(found, key=lambda made: len(differences(made["settings"], artefact.settings)), default=None)


# Cost, from the wall times of the published run.


@dataclass(frozen=True)
class Cost:
    """What a rung pulls, in bytes, and how many seconds the published run took for what it makes."""

    rung: StartFrom
    bytes: int
    seconds: float
    made: dict[str, int]


def costs(jobs: Jobs) -> list[Cost]:
    """One entry per rung; empty where nothing is published."""
    index = find_index(jobs.layout.root)
    if index is None:
        return []
    artefacts = demanded(jobs)
    return [_cost(jobs, index, artefacts, rung) for rung in RUNGS]


def _cost(jobs: Jobs, index: Index, artefacts: list[Artefact], rung: StartFrom) -> Cost:
    used = [artefact for artefact in artefacts if is_used(jobs, artefact, rung)]
    packs = {artefact.pack for artefact in used if pulls(rung, artefact.kind)}
    making = [artefact for artefact in used if not pulls(rung, artefact.kind)]
    seconds = sum(index.manifests.get(name_of(jobs, artefact), {}).get("wall_seconds", 0.0) for artefact in making)
    return Cost(
        rung,
        sum(index.packs.get(pack, 0) for pack in packs if pack),
        seconds + sum(index.seconds.get(item, 0.0) for item in jobs.items),
        dict(Counter(artefact.kind for artefact in making)),
    )


def cost_lines(jobs: Jobs, rungs: Iterable[StartFrom] = RUNGS) -> Iterator[str]:
    """One line per rung for people."""
    found = {cost.rung: cost for cost in costs(jobs)}
    for rung in rungs:
        cost = found.get(rung)
        if cost is None:
            yield f"start_from {rung}: cost unknown, no run of profile {jobs.config.profile} is published"
            continue
        made = ", ".join(f"{count} {kind}" for kind, count in cost.made.items()) or "tables alone"
        pulled = f"pulls {cost.bytes / 1e6:.1f} MB, " if cost.bytes else ""
        yield f"start_from {rung}: {pulled}makes {made}; the published run took {_duration(cost.seconds)} for that"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
