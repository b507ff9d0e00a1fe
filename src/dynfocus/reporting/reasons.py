"""One line on why a tested direction came out as it did, read off the numbers of both sides."""

from __future__ import annotations

from collections.abc import Mapping

from dynfocus.reporting.tables import signed
from dynfocus.reporting.verdicts import Verdict


def reason_of(
    verdict: str, better: Mapping[int, float], worse: Mapping[int, float], blind: float | None, needed: int
) -> str:
    """Why the claim did not replicate, from the metric of both sides per seed; empty where it did.

    blind: the metric of the model that sees nothing, on the same questions; None where there is none.
    """
    seeds = sorted(set(better) & set(worse))
    if verdict == Verdict.REPLICATES or not seeds:
        return ""
    if len(seeds) < needed:
        return f"needs {needed} seeds, has {len(seeds)}"
    differences = [better[seed] - worse[seed] for seed in seeds]
    listed = ", ".join(signed(value, 1) for value in differences)
    if not any(differences):
        return "both sides score the same on every seed"
    if blind is not None and max(mean(better, seeds), mean(worse, seeds)) <= blind:
        return f"neither side is above the blind model ({blind:.1f}): no skill to compare"
    if verdict == Verdict.DIFFERS:
        return f"the other side is ahead (seed by seed: {listed})"
    if min(differences) < 0 < max(differences):
        return f"the sign changes between seeds ({listed})"
    return f"too wide a spread for {len(seeds)} seeds ({listed})"


def mean(values: Mapping[int, float], seeds: list[int]) -> float:
    """Mean over some seeds."""
    return sum(values[seed] for seed in seeds) / len(seeds)
