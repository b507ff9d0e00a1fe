"""The first screen of the report: what came of it in a sentence, and what stands below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from dynfocus.evaluation.evidence import Key, Series
from dynfocus.reporting.claims import NEEDED_SEEDS, Outcome, count_verdicts
from dynfocus.reporting.cone_recall import STAGES, Recall
from dynfocus.reporting.evidence import metric_of
from dynfocus.reporting.figures import BLUE, GREEN, GREY, ORANGE, PINK, use_style
from dynfocus.reporting.names import benchmark_name
from dynfocus.reporting.verdicts import Verdict

RECALL_LOOKS = {
    "cones": (BLUE, "o"),
    "evenly spaced": (PINK, "s"),
    "drawn among prototypes": (ORANGE, "d"),
    "random frames": (GREY, "x"),
    "all prototypes": (GREEN, "|"),
}
"""Kind of choice -> colour and marker, from the top of a row to its bottom."""
STEP = 0.15
"""Rows between two kinds, so that none covers another."""


def verdict_sentence(outcomes: Sequence[Outcome]) -> str:
    """What became of the paper's claims, in one sentence or two."""
    counts = count_verdicts(outcomes)
    decided = [verdict for verdict in (Verdict.REPLICATES, Verdict.CONTRADICTED, Verdict.EQUIVALENT) if counts[verdict]]
    total, tested = len(outcomes), [one for one in outcomes if one.difference is not None]
    if decided:
        words = {
            Verdict.REPLICATES: ("replicates", "replicate"),
            Verdict.CONTRADICTED: ("is contradicted", "are contradicted"),
            Verdict.EQUIVALENT: ("makes no difference that counts", "make no difference that counts"),
            Verdict.UNDECIDED: ("stays undecided", "stay undecided"),
        }
        counted = {verdict: counts[verdict] for verdict in decided}
        counted[Verdict.UNDECIDED] = total - sum(counted.values())
        parts = [f"{count} {words[verdict][count > 1]}" for verdict, count in counted.items() if count]
        return f"Of the paper's {total} claims {listed(parts)}."
    if not tested:
        return f"None of the paper's {total} claims has been measured yet."
    ahead = sum((one.difference or 0) > 0 for one in tested)
    seeds = max(len(one.seeds) for one in tested)
    return (
        f"None of the paper's {total} claims has a verdict yet: a verdict needs {NEEDED_SEEDS} seeds, and there "
        f"{'is' if seeds == 1 else 'are'} {seeds}. By sign alone {ahead} of {len(tested)} point the paper's way."
    )


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence, the last after `and`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def recall_summary(found: Sequence[Recall], run: str) -> Figure | None:
    """How many events the cones of a trained run hit, a row a length of film, beside choices without learning."""
    chosen = [one for one in found if (one.run, one.stage) == (run, STAGES[-1])]
    if not chosen:
        return None
    use_style()
    figure, axes = pyplot.subplots(figsize=(5.4, 1.0 + 0.46 * len(chosen)))
    for place, one in enumerate(chosen):
        axes.axhline(place - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
        for number, (kind, (colour, marker)) in enumerate(RECALL_LOOKS.items()):
            large = kind in ("cones", "all prototypes")
            axes.plot(
                one.share(kind).mean, place + STEP * (number - (len(RECALL_LOOKS) - 1) / 2), marker, color=colour,
                markersize=7 if large else 4.5, markeredgewidth=2 if marker in "|x" else 1,
                label=None if place else kind,
            )  # fmt: skip
    names = [f"{benchmark_name(one.benchmark)}, {one.frames} frames, {one.cones} cones" for one in chosen]
    axes.set_yticks(range(len(chosen)), names)
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    axes.set_xlim(0, 102)
    axes.set_xlabel("events with a chosen frame (%)")
    axes.grid(False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), ncols=3, loc="outside upper center", fontsize=7.5, frameon=False)
    return figure


def recall_sentence(found: Sequence[Recall], run: str) -> str:
    """What the figure of `recall_summary` shows, beside the plainest rival; empty where nothing was measured."""
    chosen = [one for one in found if (one.run, one.stage) == (run, STAGES[-1])]
    if not chosen:
        return ""
    above = {
        kind: sum(one.share("cones").mean > one.share(kind).mean for one in chosen)
        for kind in ("drawn among prototypes", "evenly spaced")
    }
    seeds = ", ".join(map(str, chosen[0].seeds))
    return (
        f"Cones show more than a draw among the prototypes in {above['drawn among prototypes']} of {len(chosen)} rows, "
        f"more than evenly spaced frames in {above['evenly spaced']} (seed{'s' * (len(chosen[0].seeds) > 1)} {seeds})."
    )


def seed_spread(series: Mapping[Key, Series], title: str) -> str:
    """How far the trainings of a run lie apart, over all seeds of the evidence; empty for a single one."""
    means = [metric_of(one.benchmark, one.metric).scale * float(np.nanmean(one.values)) for one in series.values()]
    if len(means) < 2:
        return ""
    name = benchmark_name(next(iter(series.values())).benchmark)
    return (
        f"Trainings differ too: {title} has {min(means):.0f} to {max(means):.0f} % on {name} over {len(means)} seeds; "
        "claims are tested on all of them."
    )
