"""What a comparison of the paper's number with ours means.

`replicates`     the paper's number lies in our 95 % interval
`within noise`   it lies outside, but nearer than two such numbers differ by chance: the paper's
                 carries a sampling error of the same size (√2 · half-width)
`differs`        it lies further away
`not attempted`  no run of ours stands for the cell, or its result is missing or withheld
`cannot be compared at this scale`
                 the run differs from the paper's in data, model or judge; only directions are judged
"""

from __future__ import annotations

import math
from enum import StrEnum

from dynfocus.config.schema import Config
from dynfocus.reporting.results import Gap, Measured

PAPER_LLM = "vicuna-7b-v1.5"
JUDGED = frozenset({"msvd_qa", "msrvtt_qa", "activitynet_qa", "vcg_bench"})


class Verdict(StrEnum):
    """Outcome of a comparison, in the words of the report."""

    REPLICATES = "replicates"
    WITHIN_NOISE = "within noise"
    DIFFERS = "differs"
    NOT_ATTEMPTED = "not attempted"
    OTHER_SCALE = "cannot be compared at this scale"


def scale_obstacle(config: Config) -> str:
    """Why numbers of this profile cannot be held against the paper's; empty when they can."""
    if config.source == "world":
        return "generated films and mini backbones: only directions are judged, never values"
    if not config.backbones.llm.name.partition("@")[0].lower().endswith(PAPER_LLM):
        return f"language model {config.backbones.llm.name}, the paper's is {PAPER_LLM}"
    if config.substitutes:
        return f"training without {', '.join(config.substitutes)}"
    return ""


def judge_obstacle(config: Config, benchmark: str) -> str:
    """Why judged scores cannot be held against the paper's; empty when they can."""
    if benchmark in JUDGED and config.evaluation.judge.kind == "rule":
        return "scored by the offline rule judge, the paper's by GPT-3.5-Turbo"
    return ""


def judge_value(paper: float | None, ours: Measured | Gap | None, obstacle: str) -> Verdict:
    """Verdict on one cell (module docstring); `obstacle` says why values cannot be compared, if so."""
    if not isinstance(ours, Measured) or paper is None:
        return Verdict.NOT_ATTEMPTED
    if obstacle:
        return Verdict.OTHER_SCALE
    if ours.low <= paper <= ours.high:
        return Verdict.REPLICATES
    half = (ours.high - ours.low) / 2
    return Verdict.WITHIN_NOISE if abs(ours.value - paper) <= math.sqrt(2) * half else Verdict.DIFFERS


def judge_direction(low: float, high: float, seeds: int, needed: int = 3) -> Verdict:
    """Verdict on `better - worse > 0` from the interval of the paired difference over `seeds` seeds."""
    if seeds < needed:
        return Verdict.NOT_ATTEMPTED
    if low > 0:
        return Verdict.REPLICATES
    return Verdict.DIFFERS if high < 0 else Verdict.WITHIN_NOISE
