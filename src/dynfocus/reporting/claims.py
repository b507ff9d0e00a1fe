"""The direction claims of the paper, each tested on every seed there is evidence of (`evidence.py`).

A claim compares two runs (or two settings of a sweep) that share seed, data and questions. The test is
on their differences question by question, with seeds and films both taken as samples
(`dynfocus.evaluation.crossed`; a best setting is resampled, `dynfocus.evaluation.optimum`). Each claim has
a margin, fixed in `data/margins.csv`, below which two runs count as equal. p values are corrected for the
number of claims, and the verdict is one of four (`verdicts.py`).

    snakemake claims                    make the seeds of `claim_seeds` that are missing, test on all there are
    make claims                         the same, and keep evidence and outcomes in docs/claims
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from dynfocus.evaluation.crossed import Effect, Values, detectable, effect_of, moderated, pseudo_values, seeds_needed
from dynfocus.evaluation.evidence import STORED, Evidence, Key, Questions, Series, read_evidence
from dynfocus.evaluation.optimum import Best, Sweep, best_setting, optimum_shift
from dynfocus.files import write_text
from dynfocus.paper.register import OWN_CHECK, Claim, load_claims, margin_of
from dynfocus.reporting.evidence import collect, metric_of, write_evidence
from dynfocus.reporting.reasons import Facts, reason_of
from dynfocus.reporting.verdicts import Verdict, correct, judge_direction
from dynfocus.steps.claims import claim_units, side_of, wanted_settings
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import git_commit

NEEDED_SEEDS = 3
SWEEP_FIELDS = {"prototypes": "event_prototypes", "ratio": "selection_ratio"}
"""Sweep -> the setting of `network` that its runs differ in."""
SWEEP_UNITS = {"prototypes": 1.0, "ratio": 0.01}
"""Sweep -> what one unit in its run names stands for (`ratio_80` is K/L = 0.8)."""


class Outcome(BaseModel):
    """A tested claim: the difference `better - worse`, oriented so that the claim says > 0.

    low, high: 95 % interval; narrow_low, narrow_high: that of 90 %, which lies within the margin where two
    one-sided tests find equivalence. p_value, p_equivalence: corrected for the number of claims.
    """

    id: str
    statement: str
    source: str
    note: str = ""
    better: str = ""
    worse: str = ""
    metric: str = ""
    margin: float
    better_value: float | None = None
    worse_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    narrow_low: float | None = None
    narrow_high: float | None = None
    p_value: float | None = None
    p_equivalence: float | None = None
    seeds: list[str] = []
    by_seed: list[float] = []
    films: int = 0
    questions: int = 0
    detectable: float | None = None
    verdict: str = Verdict.NOT_ATTEMPTED.value
    reason: str = ""


class Record(BaseModel):
    """What the `claims` target leaves: outcomes, and what they were made from."""

    profile: str
    trainings: list[str]
    commit: str | None
    finished: str
    notes: list[str]
    claims: list[Outcome]


@dataclass(frozen=True)
class Tested:
    """What was measured of a claim: the effect, both sides' values, and the differences by training."""

    effect: Effect | Best
    better: float
    worse: float
    by_key: dict[Key, float]
    blind: float | None = None


def sweep_runs(runs: Iterable[str], sweep: str) -> dict[float, str]:
    """The paper's setting -> run of a sweep, from the names among `runs` (`prototypes_25`, `ratio_80`), ascending."""
    pattern = re.compile(rf"{sweep}_(\d+)")
    matches = ((pattern.fullmatch(run), run) for run in runs)
    return dict(sorted((int(match[1]) * SWEEP_UNITS[sweep], run) for match, run in matches if match))


def evidence_of(jobs: Jobs, stored: Path = STORED) -> Evidence:
    """All evidence under the settings of `jobs`: the scores here, and what the repository carries."""
    seeds = {*jobs.config.seeds, *jobs.config.claim_seeds}
    here = collect(jobs, claim_units(jobs), seeds)
    return here.joined(read_evidence(stored / jobs.config.profile)).fitting(wanted_settings(jobs))


# Measuring a claim


def trainings(sides: Sequence[dict[Key, Series]]) -> list[Key]:
    """The trainings that all sides have, on the same questions, none whose models are all there already."""
    shared = sorted(set.intersection(*(set(side) for side in sides)) if sides else ())
    first: dict[tuple[str, ...], Key] = {}
    for key in shared:
        if len({side[key].questions for side in sides}) == 1:
            first.setdefault(tuple(side[key].model for side in sides), key)
    return list(first.values())


def stacked(sides: Sequence[dict[Key, Series]], keys: Sequence[Key], asked: Questions, group: str) -> Values:
    """(sides, S, Q): values on all questions, NaN on those out of the group or without a value somewhere."""
    values = np.array([[side[key].values for key in keys] for side in sides])
    values[:, :, ~(np.isfinite(values).all(axis=(0, 1)) & asked.with_label(group))] = np.nan
    return values


def measure(evidence: Evidence, claim: Claim) -> Tested | str:
    """A claim on all the evidence, or what is lacking."""
    return measure_pair(evidence, claim) if claim.kind == "pair" else measure_optimum(evidence, claim)


def measure_pair(evidence: Evidence, claim: Claim) -> Tested | str:
    """The mean difference of two runs, question by question."""
    names = [side_of(text, claim) for text in (claim.better, claim.worse)]
    sides = [evidence.of(*name) for name in names]
    if lacking := list(dict.fromkeys(name[0] for name, side in zip(names, sides, strict=True) if not side)):
        return f"no results of {' and '.join(lacking)}"
    keys = trainings(sides)
    if not keys:
        return "no seed on which both sides answered the same questions"
    asked = evidence.asked(sides[0][keys[0]])
    values = stacked(sides, keys, asked, claim.group)
    used = np.isfinite(values[0, 0])
    films = np.array(asked.films)[used]
    if len(set(films)) < 2:
        return f"fewer than two films of {claim.group or claim.benchmark} have values on both sides"
    metric = metric_of(claim.benchmark, claim.metric)
    parts = asked.parts(metric.macro)[:, used] if metric.macro and not claim.group else None
    if parts is not None:
        parts = parts[parts.any(axis=1)]
    better, worse = (metric.scale * pseudo_values(side[:, used], parts) for side in values)
    differences = better - worse
    by_key = dict(zip(keys, differences.mean(axis=1).tolist(), strict=True))
    effect = effect_of(differences, films)
    return Tested(effect, float(better.mean()), float(worse.mean()), by_key, blind_value(evidence, claim))


def blind_value(evidence: Evidence, claim: Claim) -> float | None:
    """The metric of the model that sees nothing; None where there is none, or the claim is about something else."""
    if claim.group or "blind" in (claim.better, claim.worse) or ":" in claim.better:
        return None
    metric = metric_of(claim.benchmark, claim.metric)
    found = [one.values for one in evidence.of("blind", claim.benchmark, claim.metric).values()]
    return None if metric.macro or not found else float(metric.scale * np.nanmean(np.stack(found)))


def sweep_values(
    evidence: Evidence, sweep: str, name: str, metric: str, groups: Sequence[str]
) -> tuple[list[float], list[Key], list[Sweep]] | None:
    """The settings of a sweep, the trainings that have all of them, and the values on each group; None without any."""
    runs = sweep_runs({one.run for one in evidence.series}, sweep)
    sides = [evidence.of(run, name, metric) for run in runs.values()]
    keys = trainings(sides)
    if len(runs) < 2 or not keys:
        return None
    asked = evidence.asked(sides[0][keys[0]])
    scale, films, made = metric_of(name, metric).scale, np.array(asked.films), []
    for group in groups:
        values = stacked(sides, keys, asked, group)
        used = np.isfinite(values[0, 0])
        made.append(Sweep(scale * values[:, :, used], films[used].tolist()))
    return list(runs), keys, made


def measure_optimum(evidence: Evidence, claim: Claim) -> Tested | str:
    """How much larger (or smaller) the best setting of a sweep is on one group of films than on another."""
    groups = claim.group.split(">")
    found = sweep_values(evidence, claim.better, claim.benchmark, claim.metric, groups)
    if found is None or not all(sweep.films for sweep in found[2]):
        return f"no results of {claim.better}"
    settings, keys, (first, second) = found
    if claim.kind == "optimum_smaller":
        first, second = second, first

    def shift(part: slice) -> Best:
        one, other = (Sweep(sweep.values[:, part], sweep.films) for sweep in (first, second))
        return optimum_shift(settings, one, other, seed=claim.id)

    by_key = {key: shift(slice(place, place + 1)).mean for place, key in enumerate(keys)}
    better, worse = (best_setting(settings, sweep, claim.id).mean for sweep in (first, second))
    return Tested(shift(slice(None)), better, worse, by_key)


# From measurements to verdicts


def measure_all(evidence: Evidence, claims: Sequence[Claim]) -> dict[str, Tested | str]:
    """Every claim by its id; what trainings differ by is estimated from all pairs of runs together (`moderated`)."""
    found = {claim.id: measure(evidence, claim) for claim in claims}
    pairs = [
        (name, one, one.effect)
        for name, one in found.items()
        if isinstance(one, Tested) and isinstance(one.effect, Effect)
    ]
    effects = moderated([effect for _, _, effect in pairs])
    return found | {name: replace(one, effect=effect) for (name, one, _), effect in zip(pairs, effects, strict=True)}


def judge_claims(
    evidence: Evidence, claims: Sequence[Claim] | None = None, wanted: Collection[str] | None = None
) -> list[Outcome]:
    """Every claim, in the order of the register; the paper's and our own checks are corrected apart.

    wanted: ids of those whose outcomes are returned; all are tested, since each counts in the correction.
    """
    chosen = load_claims() if claims is None else claims
    measured = measure_all(evidence, chosen)
    corrected: dict[str, tuple[float, float]] = {}
    for own in (False, True):
        family = [
            (claim, found)
            for claim in chosen
            if (claim.source == OWN_CHECK) == own and isinstance(found := measured[claim.id], Tested)
        ]
        tested = [(claim, found.effect) for claim, found in family if found.effect.seeds >= NEEDED_SEEDS]
        apart = correct([effect.p_difference() for _, effect in tested])
        alike = correct([effect.p_equivalence(margin_of(claim)) for claim, effect in tested])
        corrected |= {claim.id: (one, other) for (claim, _), one, other in zip(tested, apart, alike, strict=True)}
    return [
        outcome_of(claim, measured[claim.id], corrected.get(claim.id))
        for claim in chosen
        if wanted is None or claim.id in wanted
    ]


def outcome_of(claim: Claim, found: Tested | str, corrected: Sequence[float] | None) -> Outcome:
    """One claim with its verdict; `corrected` are the p values of difference and equivalence, None without a test."""
    outcome = Outcome(
        id=claim.id, statement=claim.statement, source=claim.source, note=claim.note, better=claim.better,
        worse=claim.worse, metric=f"{claim.benchmark} {claim.metric} {claim.group}".strip(), margin=margin_of(claim),
    )  # fmt: skip
    if isinstance(found, str):
        return outcome.model_copy(update={"reason": found})
    effect = found.effect
    verdict = judge_direction(effect.mean, *corrected) if corrected else Verdict.UNDECIDED
    finds, needs = power_of(effect, verdict)
    low, high = effect.interval()
    by_seed = list(found.by_key.values())
    facts = Facts(by_seed, found.better, found.worse, found.blind, outcome.margin, high, finds, needs)
    bounds = {"low": low, "high": high}
    bounds |= dict(zip(("narrow_low", "narrow_high"), effect.interval(0.1), strict=True))
    return outcome.model_copy(
        update={
            "better_value": found.better,
            "worse_value": found.worse,
            "difference": effect.mean,
            **{name: value for name, value in bounds.items() if math.isfinite(value)},
            **(dict(zip(("p_value", "p_equivalence"), corrected, strict=True)) if corrected else {}),
            "seeds": names_of(list(found.by_key)),
            "by_seed": by_seed,
            "films": effect.films,
            "questions": effect.questions,
            "detectable": finds,
            "verdict": verdict.value,
            "reason": reason_of(verdict, facts, NEEDED_SEEDS),
        }
    )


def power_of(effect: Effect | Best, verdict: Verdict) -> tuple[float | None, int | None]:
    """The smallest difference found in 80 % of the cases, and how many seeds would decide an undecided claim."""
    if not isinstance(effect, Effect) or effect.components is None:
        return None, None
    finds = detectable(effect.seed_error, effect.film_error, effect.df)
    if effect.mean == 0 or verdict != Verdict.UNDECIDED:
        return finds, None
    size, borrowed = (effect.films, effect.questions / effect.films), effect.df - (effect.seeds - 1)
    return finds, seeds_needed(effect.components, *size, effect.mean, borrowed)


def names_of(keys: Sequence[Key]) -> list[str]:
    """Trainings by their seeds, with the processor where there is more than one."""
    several = len({processor for _, processor in keys}) > 1
    return [f"{seed} ({processor})" if several else str(seed) for seed, processor in keys]


def count_verdicts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many claims ended how."""
    order = (
        Verdict.REPLICATES, Verdict.CONTRADICTED, Verdict.EQUIVALENT, Verdict.UNDECIDED, Verdict.NOT_ATTEMPTED,
    )  # fmt: skip
    verdicts = [outcome.verdict for outcome in outcomes]
    return {verdict.value: verdicts.count(verdict.value) for verdict in order}


# What is kept


def store_claims(jobs: Jobs, out: Path, stored: Path = STORED) -> Record:
    """The `claims` target: test every claim on all evidence; outcomes go to `out`, the evidence beside it."""
    evidence = evidence_of(jobs, stored)
    record = Record(
        profile=jobs.config.profile,
        trainings=[f"seed {seed}, {processor}" for seed, processor in sorted({one.key for one in evidence.series})],
        commit=git_commit(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=list(evidence.notes),
        claims=judge_claims(evidence),
    )
    write_text(out, record.model_dump_json(indent=1) + "\n")
    write_evidence(jobs, evidence, out.with_suffix(""))
    return record


def add_evidence(jobs: Jobs, stored: Path = STORED) -> list[Path]:
    """Put the evidence of the scores here beside what the repository carries; returns the files written."""
    seeds = {*jobs.config.seeds, *jobs.config.claim_seeds}
    return write_evidence(jobs, collect(jobs, claim_units(jobs), seeds), stored / jobs.config.profile)
