"""The direction claims of the paper, each tested on our runs, paired over seeds.

A claim compares two runs (or two settings of a sweep) that share seed, data and questions, so the
test is on the per-seed differences: mean, Student's t interval and two-sided p value. Fewer than
three seeds give a difference but no verdict.

    snakemake claims                    test them over the seeds of `claim_seeds`, hours in the mini profile
    make claims                         the same, and keep the outcomes in docs/claims for every later report
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel
from scipy import stats

from dynfocus.evaluation.score import compare_runs, samples_file
from dynfocus.paper.register import Claim, load_claims
from dynfocus.reporting.reasons import reason_of
from dynfocus.reporting.results import Measured, Results
from dynfocus.reporting.verdicts import Verdict, judge_direction
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import git_commit
from dynfocus.steps.settings import hash_of

NEEDED_SEEDS = 3
SWEEP_FIELDS = {"prototypes": "event_prototypes", "ratio": "selection_ratio"}
"""Sweep -> the setting of `network` that its runs differ in."""
SWEEP_UNITS = {"prototypes": 1.0, "ratio": 0.01}
"""Sweep -> what one unit in its run names stands for (`ratio_80` is K/L = 0.8)."""


WORDS = {"statement", "source", "note"}
"""Fields of a claim that say what it is about, and change nothing of how it comes out."""


class Outcome(BaseModel):
    """A tested claim: the paired difference `better - worse`, oriented so that the claim says > 0.

    here: beside a stored outcome, the difference of this run's own seeds.
    """

    id: str
    statement: str
    source: str
    note: str = ""
    better: str = ""
    worse: str = ""
    metric: str = ""
    better_value: float | None = None
    worse_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    video_low: float | None = None
    video_high: float | None = None
    seeds: list[int] = []
    verdict: str = Verdict.NOT_ATTEMPTED.value
    reason: str = ""
    stored: bool = False
    here: float | None = None


class Stored(BaseModel):
    """What the `claims` target leaves: outcomes, and what they were made from."""

    profile: str
    seeds: list[int]
    settings_hash: str
    commit: str | None
    finished: str
    claims: list[Outcome]


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, low, high of the 95 % t interval, and two-sided p value of per-seed differences.

    One difference has no interval: low and high are infinite and p is 1. Equal differences have an
    interval of width 0.
    """
    count = len(differences)
    mean = math.fsum(differences) / count
    if count == 1:
        return mean, -math.inf, math.inf, 1.0
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (count - 1))
    error = spread / math.sqrt(count)
    if error < 1e-12:
        return mean, mean, mean, 0.0 if mean else 1.0
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, count - 1))


def values_by_seed(results: Results, run: str, benchmark: str, metric: str, group: str) -> dict[int, float]:
    """The metric of a run, per seed; seeds without it are absent."""
    found = results.get(run, benchmark, metric, group)
    return dict(zip(found.seeds, found.values, strict=True)) if isinstance(found, Measured) else {}


def sweep_runs(runs: Iterable[str], sweep: str) -> dict[float, str]:
    """The paper's setting -> run of a sweep, from the names among `runs` (`prototypes_25`, `ratio_80`)."""
    pattern = re.compile(rf"{sweep}_(\d+)")
    matches = ((pattern.fullmatch(run), run) for run in runs)
    return {int(match[1]) * SWEEP_UNITS[sweep]: run for match, run in matches if match}


def best_setting(results: Results, claim: Claim, group: str) -> dict[int, float]:
    """Per seed, the paper's setting with the highest metric (the smallest of equals), where all have one."""
    runs = sweep_runs(results.runs(), claim.better)
    curves = {
        setting: values_by_seed(results, run, claim.benchmark, claim.metric, group) for setting, run in runs.items()
    }
    seeds = set.intersection(*(set(curve) for curve in curves.values())) if len(curves) > 1 else set()
    return {seed: max(sorted(curves), key=lambda setting, seed=seed: curves[setting][seed]) for seed in sorted(seeds)}


def sides(results: Results, claim: Claim) -> tuple[dict[int, float], dict[int, float]]:
    """Per seed, the two numbers whose order the claim states: the first should be larger."""
    if claim.kind != "pair":
        first, second = (best_setting(results, claim, group) for group in claim.group.split(">"))
        return (first, second) if claim.kind == "optimum_larger" else (second, first)

    def side(text: str) -> dict[int, float]:
        run, _, metric = text.partition(":")
        return values_by_seed(results, run, claim.benchmark, metric or claim.metric, claim.group)

    return side(claim.better), side(claim.worse)


def video_interval(results: Results, claim: Claim, seed: int) -> tuple[float | None, float | None]:
    """The paired difference's interval over the videos of one seed's questions; None for what has no samples.

    It says how sure one training is about its own questions, not how trainings differ.
    """
    sides = [samples_file(results.path(run, seed)) for run in (claim.better, claim.worse)]
    if claim.kind != "pair" or claim.group or ":" in claim.better or not all(path.exists() for path in sides):
        return None, None
    found = compare_runs(claim.benchmark, claim.metric, *sides)
    return found.low, found.high


def judge_claim(results: Results, claim: Claim) -> Outcome:
    """One claim on the seeds that both sides have."""
    better, worse = sides(results, claim)
    seeds = sorted(set(better) & set(worse))
    metric = f"{claim.benchmark} {claim.metric} {claim.group}".strip()
    outcome = Outcome(
        id=claim.id, statement=claim.statement, source=claim.source, note=claim.note,
        better=claim.better, worse=claim.worse, metric=metric, seeds=seeds,
    )  # fmt: skip
    if not seeds:
        names = [name for name, side in ((claim.better, better), (claim.worse, worse)) if not side]
        reason = f"no results of {' and '.join(names) or 'both sides on one seed'}"
        return outcome.model_copy(update={"reason": reason})
    mean, low, high, p_value = paired_interval([better[seed] - worse[seed] for seed in seeds])
    bounded = math.isfinite(low)
    video_low, video_high = video_interval(results, claim, seeds[0])
    verdict = judge_direction(low, high, len(seeds), NEEDED_SEEDS).value
    return outcome.model_copy(
        update={
            "better_value": math.fsum(better[seed] for seed in seeds) / len(seeds),
            "worse_value": math.fsum(worse[seed] for seed in seeds) / len(seeds),
            "difference": mean,
            "low": low if bounded else None,
            "high": high if bounded else None,
            "p_value": p_value if bounded else None,
            "video_low": video_low,
            "video_high": video_high,
            "verdict": verdict,
            "reason": reason_of(verdict, better, worse, blind_value(results, claim), NEEDED_SEEDS),
        }
    )


def blind_value(results: Results, claim: Claim) -> float | None:
    """The metric of the model that sees nothing; None where there is none, or the claim is about something else."""
    if claim.kind != "pair" or "blind" in (claim.better, claim.worse) or ":" in claim.better:
        return None
    found = results.get("blind", claim.benchmark, claim.metric, claim.group)
    return found.value if isinstance(found, Measured) else None


def judge_claims(results: Results, claims: Sequence[Claim] | None = None) -> list[Outcome]:
    """Every claim, in the order of the register."""
    return [judge_claim(results, claim) for claim in (load_claims() if claims is None else claims)]


def claim_runs(jobs: Jobs) -> list[str]:
    """The runs that claims compare and this configuration makes, each once, the lenders of weights left implicit."""
    chosen, known = jobs.config.runs, jobs.experiments.runs
    named: dict[str, None] = {}
    for claim in load_claims():
        if claim.kind == "pair":
            named.update(dict.fromkeys(side.partition(":")[0] for side in (claim.better, claim.worse)))
        else:
            named.update(dict.fromkeys(sweep_runs(known, claim.better).values()))
    return [run for run in named if run in known and ("all" in chosen or run in chosen)]


def claim_evaluations(jobs: Jobs) -> list[tuple[str, int]]:
    """The (run, seed) pairs whose scores the `claims` target tests; a run without benchmarks here has none."""
    return [(run, seed) for run in claim_runs(jobs) if jobs.benchmarks(run) for seed in jobs.config.claim_seeds]


def claim_settings(jobs: Jobs) -> dict:
    """What stored outcomes depend on: training, answering and judging in this profile, and what is compared."""
    slices = {step: jobs.settings(step) for step in ("answer_questions", "judge_answers")}
    return {**slices, "claims": [claim.model_dump(exclude=WORDS) for claim in load_claims()]}


def store_claims(jobs: Jobs, out: Path) -> Stored:
    """The `claims` target: test every claim on the seeds of `claim_seeds` and store the outcomes at `out`."""
    config = jobs.config
    results = Results(jobs.layout.root, tuple(config.claim_seeds), config.evaluation.judge.max_unjudged)
    stored = Stored(
        profile=config.profile,
        seeds=config.claim_seeds,
        settings_hash=hash_of(claim_settings(jobs)),
        commit=git_commit(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        claims=judge_claims(results),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return stored


def read_stored(path: Path, profile: str) -> Stored | None:
    """Stored outcomes of a profile; None when there is no file or it is of another profile."""
    if not path.exists():
        return None
    stored = Stored.model_validate_json(path.read_text(encoding="utf-8"))
    return stored if stored.profile == profile else None


def prefer_more_seeds(fresh: Sequence[Outcome], stored: Stored | None) -> list[Outcome]:
    """For every claim, the outcome over more seeds: tested now, or stored by the `claims` target."""
    kept = {outcome.id: outcome for outcome in stored.claims} if stored else {}

    def better_tested(now: Outcome) -> Outcome:
        before = kept.get(now.id, now)
        if len(before.seeds) <= len(now.seeds):
            return now
        return before.model_copy(update={"stored": True, "here": now.difference, **now.model_dump(include=WORDS)})

    return [better_tested(outcome) for outcome in fresh]


def origin_of(stored: Stored, jobs: Jobs) -> str:
    """Where stored outcomes come from, and whether the settings have changed since."""
    code = f"code {stored.commit[:10]}" if stored.commit else "code of no commit"
    made = f"Stored outcomes: seeds {', '.join(map(str, stored.seeds))}, {stored.finished[:10]}, {code}."
    changed = stored.settings_hash != hash_of(claim_settings(jobs))
    return f"{made} The settings of the profile have changed since." if changed else made
