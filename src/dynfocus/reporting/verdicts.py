"""What a comparison of the paper's number with ours means, and what a test of its direction.

Values:
`replicates`     the paper's number lies in our 95 % interval
`within noise`   it lies outside, but nearer than two such numbers differ by chance: the paper's
                 carries a sampling error of the same size (√2 · half-width)
`differs`        it lies further away
`not attempted`  no run of ours stands for the cell, or its result is missing or withheld
`cannot be compared at this scale`
                 the run differs from the paper's in data, model or judge; only directions are judged

Directions:
`replicates`     the difference is there, to the side that the paper claims
`contradicted`   it is there, to the other side
`equivalent`     it is shown to be smaller than the margin that was set beforehand (two one-sided tests)
`undecided`      neither is shown

A direction comes first: a difference that is there and smaller than the margin replicates, and its
reason says how small it is. p values are corrected after Benjamini and Hochberg, those of differences
and those of equivalence each for the number of claims: of the directions that are called one way or the
other 5 % at most are expected to be wrong, and 5 % of those called equivalent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from scipy import stats

from dynfocus.config.schema import Config
from dynfocus.evaluation.crossed import LEVEL
from dynfocus.reporting.results import Gap, Measured

PAPER_LLM = "vicuna-7b-v1.5"
PAPER_JUDGE = "gpt-3.5-turbo"
JUDGED = frozenset({"msvd_qa", "msrvtt_qa", "activitynet_qa", "vcg_bench"})


class Verdict(StrEnum):
    """Outcome of a comparison, in the words of the report."""

    REPLICATES = "replicates"
    WITHIN_NOISE = "within noise"
    DIFFERS = "differs"
    CONTRADICTED = "contradicted"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"
    NOT_ATTEMPTED = "not attempted"
    OTHER_SCALE = "cannot be compared at this scale"


def scale_obstacle(config: Config) -> str:
    """Why numbers of this profile cannot be held against the paper's; empty when they can."""
    if config.source == "world":
        return "generated films and mini backbones: only directions are judged, never values"
    if not config.backbones.llm.name.partition("@")[0].lower().endswith(PAPER_LLM):
        return f"language model {config.backbones.llm.name}, the paper's is {PAPER_LLM}"
    if config.evaluation.limit is not None:
        return f"a sample of {config.evaluation.limit} questions of each benchmark"
    if config.substitutes:
        return f"training without {', '.join(config.substitutes)}"
    return ""


def judge_obstacle(config: Config, benchmark: str) -> str:
    """Why judged scores cannot be held against the paper's; empty when they can."""
    judge = config.evaluation.judge
    if benchmark not in JUDGED:
        return ""
    if judge.kind == "rule":
        return "scored by the offline rule judge, the paper's by GPT-3.5-Turbo"
    if not judge.model.startswith(PAPER_JUDGE):
        return f"scored by {judge.model}, the paper's by GPT-3.5-Turbo"
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


def correct(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number: the share of false findings among all as small (Benjamini, Hochberg)."""
    return stats.false_discovery_control(p_values).tolist() if p_values else []


def judge_direction(difference: float, p_difference: float, p_equivalence: float, level: float = LEVEL) -> Verdict:
    """Verdict on `better - worse > 0` from its measured difference and both corrected p values."""
    if p_difference <= level:
        return Verdict.REPLICATES if difference > 0 else Verdict.CONTRADICTED
    return Verdict.EQUIVALENT if p_equivalence <= level else Verdict.UNDECIDED
