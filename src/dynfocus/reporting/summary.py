"""The first screen of the report: what came of it in a sentence, and what stands below it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot
from matplotlib.figure import Figure

from dynfocus.reporting.claims import NEEDED_SEEDS, Outcome, count_verdicts
from dynfocus.reporting.cone_recall import STAGES, Recall
from dynfocus.reporting.figures import BLUE, GREEN, GREY, ORANGE, use_style
from dynfocus.reporting.names import benchmark_name
from dynfocus.reporting.verdicts import Verdict

RECALL_LOOKS = {
    "cones": (BLUE, "o"),
    "all prototypes": (GREEN, "|"),
    "drawn among prototypes": (ORANGE, "d"),
    "evenly spaced": (GREY, "s"),
    "random frames": (GREY, "x"),
}
"""Kind of choice -> colour and marker."""


def verdict_sentence(outcomes: Sequence[Outcome]) -> str:
    """What became of the paper's directions, in one sentence or two."""
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
        return f"Of the paper's {total} directions {listed(parts)}."
    if not tested:
        return f"None of the paper's {total} directions has been measured yet."
    ahead = sum((one.difference or 0) > 0 for one in tested)
    seeds = max(len(one.seeds) for one in tested)
    return (
        f"None of the paper's {total} directions has a verdict yet: a verdict needs {NEEDED_SEEDS} seeds, and there "
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
    figure, axes = pyplot.subplots(figsize=(5.4, 1.0 + 0.34 * len(chosen)))
    for place, one in enumerate(chosen):
        axes.axhline(place, color="#dddddd", linewidth=0.8, zorder=0)
        for kind, (colour, marker) in RECALL_LOOKS.items():
            large = kind in ("cones", "all prototypes")
            axes.plot(
                one.share(kind).mean, place, marker, color=colour, markersize=9 if large else 5,
                markeredgewidth=2 if marker in "|x" else 1, label=None if place else kind,
                zorder=4 if kind == "cones" else 3,
            )  # fmt: skip
    names = [f"{benchmark_name(one.benchmark)}, {one.frames} frames, {one.cones} cones" for one in chosen]
    axes.set_yticks(range(len(chosen)), names)
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    axes.set_xlim(0, 102)
    axes.set_xlabel("events with a chosen frame (%)")
    axes.grid(False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), ncols=3, loc="outside upper center", fontsize=7.5, frameon=False)
    return figure
