"""One line on why a tested direction came out as it did, read off what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynfocus.reporting.numbers import digits, signed
from dynfocus.reporting.verdicts import Verdict


@dataclass(frozen=True)
class Facts:
    """What a reason is read off: differences by training, both sides' values, and the power.

    high: the upper end of the 95 % interval.
    blind: the metric of the model that sees nothing, on the same questions; None where there is none.
    detectable: the smallest difference found in 80 % of the cases; needed: about how many seeds find the measured one.
    """

    differences: Sequence[float]
    better: float
    worse: float
    blind: float | None
    margin: float
    high: float
    detectable: float | None
    needed: int | None


def reason_of(verdict: Verdict, facts: Facts, needed_seeds: int) -> str:
    """Why the claim did not replicate, or with how small a difference it did; empty where nothing is to be said."""
    listed = ", ".join(signed(value, digits(facts.margin)) for value in facts.differences)
    if verdict == Verdict.REPLICATES:
        return "smaller than the margin" if facts.high < facts.margin else ""
    if len(facts.differences) < needed_seeds:
        return f"needs {needed_seeds} seeds, has {len(facts.differences)}"
    if not any(facts.differences):
        return "both sides score the same on every seed"
    if facts.blind is not None and max(facts.better, facts.worse) <= facts.blind:
        return f"neither side is above the blind model ({facts.blind:.1f}): no skill to compare"
    if verdict == Verdict.EQUIVALENT:
        return f"seed by seed: {listed}"
    if verdict == Verdict.CONTRADICTED:
        return f"the other side is ahead (seed by seed: {listed})"
    mixed = min(facts.differences) < 0 < max(facts.differences)
    seen = f"the sign changes between seeds ({listed})" if mixed else f"seed by seed: {listed}"
    return "; ".join([seen, *_power(facts)])


def _power(facts: Facts) -> list[str]:
    """What the seeds there are can find, and how many would find the measured difference."""
    if facts.detectable is None:
        return []
    found = f"differences from {facts.detectable:.{digits(facts.margin)}f} are found in 80 % of the cases"
    if facts.needed is None:
        return [found, "more seeds alone do not find this one: the films are too few"]
    return [found, f"this one with about {facts.needed} seeds"]
