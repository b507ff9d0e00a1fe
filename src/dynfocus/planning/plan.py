"""The estimate of a profile: what each report item needs, and what everything together comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from dynfocus.artefacts.cache import decide
from dynfocus.planning.encoding import Encoding, encodings
from dynfocus.planning.fits import Fit, fits
from dynfocus.planning.rates import Duration, Gpu, duration
from dynfocus.planning.sizes import set_size
from dynfocus.planning.work import (
    JUDGE_PROMPT_TOKENS,
    JUDGE_REPLY_TOKENS,
    Work,
    feature_gigabytes,
    work_of,
)
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import ExecuteNotebook, ExtractFeatures, JudgeAnswers, PrepareData, is_done
from dynfocus.tokens import fine_tokens

HOUR = 3600
MILLION = 1e6
THREE_RUNS, TWO_BENCHMARKS = ("dynfocus", "llama_vid", "blind"), ("msvd_qa", "video_mme")


BOUNDS = (attrgetter("seconds"), attrgetter("least"))


@dataclass(frozen=True)
class Cost:
    """The sum over some jobs; `wall_hours` on all GPUs or cores of the plan.

    `gpu_hours_least` at the best share of the peak rate; `price` of the judge and `gpu_price` of the GPUs are None
    where they are not known.
    """

    jobs: int
    finished: int
    gpu_hours: float
    gpu_hours_least: float
    wall_hours: float
    disk_gigabytes: float
    download_gigabytes: float
    judge_calls: int
    price: float | None
    gpu_price: float | None


@dataclass(frozen=True)
class Features:
    """Size of the whole feature store at its two levels, in gigabytes."""

    patches: float
    tokens: float
    tokens_per_frame: int


@dataclass(frozen=True)
class Plan:
    """Everything that `dynfocus plan` says; all of it estimates."""

    profile: str
    device: str
    gpus: int
    cores: int
    pulled: int
    total: Cost
    remaining: Cost
    items: dict[str, Cost]
    paths: dict[str, Cost]
    rules: dict[str, Cost]
    features: Features
    encodings: list[Encoding]
    on_the_fly: list[str]
    memory: list[Fit]
    no_download: list[str]
    sources: dict[str, int]


def make_plan(jobs: Jobs, card: Gpu, gpus: int, cores: int) -> Plan:
    """Estimate a profile on `gpus` GPUs of one kind, or on `cores` CPU cores where the profile has no GPU."""
    decision = decide(jobs)
    everything = list(decision.made)
    works = {step: work_of(jobs, step) for step in everything}
    times = {step: duration(jobs, step, works[step], card) for step in everything}
    done = {step for step in everything if is_done(jobs, step)}
    lanes = lanes_of(jobs, gpus, cores)

    def cost(steps: Iterable[Step]) -> Cost:
        return _cost(jobs, list(steps), works, times, done, lanes, card)

    sources: dict[str, int] = {}
    for time in times.values():
        sources[time.source] = sources.get(time.source, 0) + 1
    return Plan(
        profile=jobs.config.profile,
        device=card.name if jobs.config.hardware.device == "cuda" else "cpu",
        gpus=gpus if jobs.config.hardware.device == "cuda" else 0,
        cores=cores,
        pulled=len(decision.pulled),
        total=cost(everything),
        remaining=cost(step for step in everything if step not in done),
        items={item: cost(decide(jobs, [ExecuteNotebook(item)]).made) for item in jobs.items},
        paths={name: alone(at, card, lanes) for name, at in smaller(jobs)},
        rules={rule: cost(step for step in everything if step.rule() == rule) for rule in _rules(everything)},
        features=_features(jobs, everything),
        encodings=encodings(jobs, everything, card) if jobs.config.source == "ledger" else [],
        on_the_fly=list(jobs.config.on_the_fly),
        memory=fits(jobs, everything, card) if jobs.config.hardware.device == "cuda" else [],
        no_download=_withdrawn(jobs, everything),
        sources=sources,
    )


def alone(jobs: Jobs, card: Gpu, lanes: int) -> Cost:
    """The cost of a whole configuration."""
    steps = list(decide(jobs).made)
    works = {step: work_of(jobs, step) for step in steps}
    times = {step: duration(jobs, step, works[step], card) for step in steps}
    return _cost(jobs, steps, works, times, {step for step in steps if is_done(jobs, step)}, lanes, card)


def smaller(jobs: Jobs) -> Iterator[tuple[str, Jobs]]:
    """The cheapest ways into a profile of real data: the headline, one table, three runs on two benchmarks."""
    chosen = {
        "headline alone": {"items": ["headline"]},
        "one table (2)": {"items": ["table_2"]},
        "three runs": {"items": ["table_7"], "runs": list(THREE_RUNS), "benchmarks": list(TWO_BENCHMARKS)},
    }
    for name, changes in chosen.items() if jobs.config.source == "ledger" else ():
        if set(changes["items"]) <= set(jobs.items) and "all" in jobs.config.runs:
            yield name, Jobs(jobs.config.model_copy(update=changes), jobs.experiments)


def lanes_of(jobs: Jobs, gpus: int, cores: int) -> int:
    """Jobs that run side by side: as many as there are GPUs, or on a CPU profile cores for their threads."""
    return gpus if jobs.config.hardware.device == "cuda" else max(1, cores // jobs.config.hardware.threads)


def disk_needed(jobs: Jobs) -> float:
    """Gigabytes that the jobs of a profile which are not done yet will write, at their peak."""
    works = [work_of(jobs, step) for step in decide(jobs).made if not is_done(jobs, step)]
    return sum(work.keeps for work in works) + max((work.meanwhile for work in works), default=0.0)


def _cost(
    jobs: Jobs,
    steps: list[Step],
    works: Mapping[Step, Work],
    times: Mapping[Step, Duration],
    done: set[Step],
    lanes: int,
    card: Gpu,
) -> Cost:
    gpu_hours, least = (sum(seconds(times[step]) * works[step].gpus for step in steps) / HOUR for seconds in BOUNDS)
    used = sum(times[step].seconds * max(1, works[step].gpus) for step in steps if _holds_lane(jobs, works[step]))
    calls = sum(works[step].judge_calls for step in steps)
    temporary = max((works[step].meanwhile for step in steps), default=0.0)
    return Cost(
        jobs=len(steps),
        finished=sum(step in done for step in steps),
        gpu_hours=gpu_hours,
        gpu_hours_least=least,
        wall_hours=max(used / lanes, _longest_chain(jobs, steps, times)) / HOUR,
        disk_gigabytes=sum(works[step].keeps for step in steps) + temporary,
        download_gigabytes=sum(works[step].downloads for step in steps),
        judge_calls=calls,
        price=_price(jobs, steps, works),
        gpu_price=None if card.dollars is None else gpu_hours * card.dollars,
    )


def _holds_lane(jobs: Jobs, work: Work) -> bool:
    """On a GPU profile jobs without a GPU run beside the others."""
    return work.gpus > 0 or jobs.config.hardware.device == "cpu"


def _longest_chain(jobs: Jobs, steps: list[Step], times: Mapping[Step, Duration]) -> float:
    """Seconds of the longest row of jobs that wait for each other; `steps` come after what they wait for."""
    ends: dict[Step, float] = {}
    for step in steps:
        start = max((ends[before] for before in step.inputs(jobs) if before in ends), default=0.0)
        ends[step] = start + times[step].seconds
    return max(ends.values(), default=0.0)


def _price(jobs: Jobs, steps: list[Step], works: Mapping[Step, Work]) -> float | None:
    """Dollars of all calls of judges; None where a judge that is called has no prices."""
    dollars = 0.0
    for step in steps:
        if isinstance(step, JudgeAnswers) and works[step].judge_calls:
            judge = step.judge(jobs)
            if judge.price_in == judge.price_out == 0:
                return None
            tokens = JUDGE_PROMPT_TOKENS * judge.price_in + JUDGE_REPLY_TOKENS * judge.price_out
            dollars += works[step].judge_calls * tokens / MILLION
    return dollars


def _rules(steps: Iterable[Step]) -> list[str]:
    return list(dict.fromkeys(step.rule() for step in steps))


def _sets(steps: Iterable[Step], kind: type[PrepareData] | type[ExtractFeatures]) -> list[str]:
    return list(dict.fromkeys(step.set for step in steps if isinstance(step, kind)))


def _features(jobs: Jobs, steps: list[Step]) -> Features:
    frames = sum(set_size(jobs.config, name).all_frames for name in _sets(steps, ExtractFeatures))
    fine = fine_tokens(jobs.config.network)
    return Features(feature_gigabytes(jobs.config, frames), feature_gigabytes(jobs.config, frames, fine), fine)


def _withdrawn(jobs: Jobs, steps: list[Step]) -> list[str]:
    return [name for name in _sets(steps, PrepareData) if set_size(jobs.config, name).gigabytes is None]
