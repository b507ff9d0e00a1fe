"""Does each training of a profile fit its GPUs, with the longest sample of its own mixture?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dynfocus.config.schema import Config, Stage
from dynfocus.planning.models import backbones, model_size
from dynfocus.planning.rates import Gpu
from dynfocus.planning.sizes import Longest, longest_sample
from dynfocus.planning.work import BYTES
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import TrainAlignment, TrainInstruction
from dynfocus.tokens import num_visual_tokens
from dynfocus.training import memory

TEXT_ENCODER_TOKENS = 64


@dataclass(frozen=True)
class Fit:
    """Memory per device of one training stage of some runs, with their settings and their longest sample."""

    stage: str
    runs: tuple[str, ...]
    gigabytes: float
    usable: float
    fits: bool
    advice: str


def fits(jobs: Jobs, steps: Iterable[Step], card: Gpu) -> list[Fit]:
    """One verdict for all trainings among `steps` that come to the same, the tightest first."""
    found: dict[tuple[str, str], Fit] = {}
    for step in steps:
        if isinstance(step, TrainAlignment | TrainInstruction):
            run, stage = step.trained(jobs)
            one = fit(jobs.run(run), run, stage, card)
            same = found.get((stage, one.advice))
            runs = one.runs if same is None else tuple(dict.fromkeys([*same.runs, *one.runs]))
            found[stage, one.advice] = Fit(stage, runs, one.gigabytes, one.usable, one.fits, one.advice)
    return sorted(found.values(), key=lambda one: (one.fits, -one.gigabytes))


def fit(config: Config, run: str, stage: str, card: Gpu) -> Fit:
    """One stage of a run, `config` being the run's own configuration."""
    settings: Stage = getattr(config, stage)
    load, too_long = heaviest_load(config, settings)
    division = memory.Division(
        config.hardware.processes,
        settings.micro_batch,
        settings.zero_stage,
        settings.precision,
        settings.gradient_checkpointing,
        settings.global_batch,
    )
    capacity = card.gigabytes * memory.GB - live_encoder_bytes(config, settings)
    size = model_size(config, settings)
    verdict = memory.judge(size, division, load, settings.global_batch, capacity)
    return Fit(
        stage,
        (run,),
        verdict.need.total / memory.GB,
        memory.usable(capacity) / memory.GB,
        verdict.fits and not too_long,
        too_long or verdict.text,
    )


def live_encoder_bytes(config: Config, settings: Stage) -> float:
    """Memory of the visual encoder beside a training that encodes a set on the fly."""
    live = set(settings.datasets) & set(config.on_the_fly)
    width = BYTES["fp32" if config.feature_precision == "fp32" else "fp16"]
    return width * backbones(config).clip.parameters if live else 0.0


def heaviest_load(config: Config, settings: Stage) -> tuple[memory.Load, str]:
    """The load of the longest sample of a mixture as training cuts it; and where one round is too long, that."""
    positions = round(backbones(config).llm.positions * config.network.rope_factor)
    loads, too_long = [], ""
    for name in settings.datasets:
        longest = longest_sample(config, name)
        tokens, rounds = fitting(config, longest, positions, settings)
        loads.append(memory.Load(tokens, round(rounds * longest.frames), TEXT_ENCODER_TOKENS))
        if positions and rounds == 1 and tokens > positions:
            too_long = (
                f"a round of {name} takes up to {tokens:,} tokens, the LLM has {positions:,} positions; "
                "raise network.rope_factor"
            )
    return max(loads, key=lambda load: (load.tokens, load.frames)), too_long


def fitting(config: Config, longest: Longest, positions: int, settings: Stage) -> tuple[int, int]:
    """LLM tokens and rounds of the longest sample: as many rounds of the talk as the positions of the LLM take."""
    visual = num_visual_tokens(config.network, max(1, round(longest.frames)))
    text = min(longest.text_tokens, settings.max_text_tokens)
    wanted = min(longest.rounds, settings.max_rounds)
    rounds = max(1, min(wanted, (positions - text) // max(1, visual))) if positions else wanted
    return text + rounds * visual, rounds
