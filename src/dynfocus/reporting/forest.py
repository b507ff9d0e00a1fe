"""All claims as one figure: effect, intervals, margin and verdict, the paper's side to the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynfocus.reporting.claims import Outcome
from dynfocus.reporting.figures import BLUE, GREEN, GREY, ORANGE, shorten, use_style
from dynfocus.reporting.numbers import signed
from dynfocus.reporting.verdicts import Verdict

LOOKS: dict[str, tuple[str, str, Literal["full", "none"]]] = {
    Verdict.REPLICATES.value: (GREEN, "o", "full"),
    Verdict.CONTRADICTED.value: (ORANGE, "X", "full"),
    Verdict.EQUIVALENT.value: (BLUE, "s", "full"),
    Verdict.UNDECIDED.value: (GREY, "o", "none"),
}
"""Verdict -> colour, marker and fill: four states that can be told apart without colour."""
WIDEST = 5.0
"""Margins to either side that the axis shows; an interval that goes on ends in an arrow."""


def forest(outcomes: Sequence[Outcome]) -> Figure:
    """One line a claim, in the order given; differences in units of the claim's margin, so that all share one axis.

    The band from -1 to 1 is where a difference counts as none. Thick: 90 % interval, which is equivalent when it lies
    in the band; thin: 95 %. Claims without a difference are left out.
    """
    use_style()
    shown = [outcome for outcome in outcomes if outcome.difference is not None]
    figure, axes = pyplot.subplots(figsize=(7.4, 1.3 + 0.215 * max(len(shown), 3)))
    axes.axvspan(-1, 1, color=BLUE, alpha=0.08, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, outcome in enumerate(shown):
        draw(axes, place, outcome)
    axes.set_yticks(range(len(shown)), [shorten([outcome.statement], 66) for outcome in shown], fontsize=7)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-WIDEST, WIDEST)
    axes.set_xlabel("difference in margins; to the right: as the paper says")
    present = {outcome.verdict for outcome in shown}
    handles = [
        Line2D([], [], color=colour, marker=marker, fillstyle=fill, linestyle="", label=verdict)
        for verdict, (colour, marker, fill) in LOOKS.items()
        if verdict in present
    ]
    axes.legend(handles=handles, ncols=4, loc="lower center", bbox_to_anchor=(0.2, 1.0), fontsize=7, frameon=False)
    return figure


def draw(axes: pyplot.Axes, place: int, outcome: Outcome) -> None:
    """A claim's marker, its intervals, and its difference in its own unit at the edge."""
    colour, marker, fill = LOOKS.get(outcome.verdict, (GREY, ".", "none"))
    bounds = [(outcome.low, outcome.high, 0.9), (outcome.narrow_low, outcome.narrow_high, 2.4)]
    for low, high, width in bounds:
        if low is None or high is None:
            continue
        ends = [max(-WIDEST, min(WIDEST, end / outcome.margin)) for end in (low, high)]
        axes.plot(ends, [place, place], color=colour, linewidth=width, solid_capstyle="butt")
        for end, arrow in ((low, "<"), (high, ">")):
            if abs(end / outcome.margin) > WIDEST and width < 1:
                side = WIDEST if end > 0 else -WIDEST
                axes.plot(side, place, arrow, color=colour, markersize=3, clip_on=False)
    assert outcome.difference is not None, "shown are claims with a difference"
    middle = outcome.difference / outcome.margin
    if abs(middle) <= WIDEST:
        axes.plot(middle, place, marker, color=colour, fillstyle=fill, markersize=4.5, zorder=3)
    text = signed(outcome.difference, 1 if abs(outcome.difference) >= 1 else 2)
    axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5, color=colour)
