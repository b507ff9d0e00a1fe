"""All claims in one picture: effect, intervals, margin and verdict, the paper's side to the right.

A `Line` is where a claim is drawn; the report draws lines in its page (they follow its width, light and dark), and
`forest` draws them as a figure for other places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynfocus.reporting.claims import Outcome
from dynfocus.reporting.figures import BLUE, GREEN, GREY, ORANGE, shorten, use_style
from dynfocus.reporting.names import benchmark_name, in_words, metric_name, side_name
from dynfocus.reporting.numbers import digits, signed
from dynfocus.reporting.verdicts import Verdict

LOOKS: dict[str, tuple[str, str, Literal["full", "none"]]] = {
    Verdict.REPLICATES.value: (GREEN, "o", "full"),
    Verdict.CONTRADICTED.value: (ORANGE, "X", "full"),
    Verdict.EQUIVALENT.value: (BLUE, "s", "full"),
    Verdict.UNDECIDED.value: (GREY, "o", "none"),
}
"""Verdict -> colour, marker and fill: four states that can be told apart without colour."""
WIDEST = 16.0
"""Margins to either side that the axis shows; an interval that goes on ends in an arrow."""
FAMILIES = {
    "structure": "Against other structures",
    "mixture": "More training data",
    "training": "When DPE and CCE are trained",
    "clustering": "Clustering",
    "fusion": "Fusion in the cones",
    "tokens": "Tokens of rods and cones",
    "length": "Settings for long videos",
    "hallucination": "Hallucination",
    "learning": "Checks of our own",
}
"""First part of a claim's id -> what its claims are about."""


@dataclass(frozen=True)
class Line:
    """A claim as drawn, in margins: `middle` and the spans of the 95 % (`wide`) and 90 % (`narrow`) intervals.

    Places are cut to ±`WIDEST`; `beyond` names the sides (`left`, `right`) where the interval, or without one the
    difference, goes on. `sides` says what was compared on what, `reason` why it came out so.
    """

    outcome: Outcome
    middle: float | None
    wide: tuple[float, float] | None
    narrow: tuple[float, float] | None
    beyond: tuple[str, ...]
    value: str
    sides: str
    reason: str

    @property
    def mark(self) -> float | None:
        """Where a marker stands for the difference; None where it is not on the axis."""
        return self.middle if self.middle is not None and abs(self.middle) < WIDEST else None

    @staticmethod
    def at(place: float) -> float:
        """A place on the axis in the page's drawing, which is 220 wide with the axis in its middle 200."""
        return round(110 + 100 * place / WIDEST, 1)


def line_of(outcome: Outcome, titles: Mapping[str, str]) -> Line:
    """Where a claim is drawn; `titles` names its runs."""
    sides, reason = sides_of(outcome, titles), in_words(outcome.reason, titles)
    if outcome.difference is None:
        return Line(outcome, None, None, None, (), "", sides, reason)
    low = outcome.difference if outcome.low is None else outcome.low
    high = outcome.difference if outcome.high is None else outcome.high
    ends = (("left", low < -WIDEST * outcome.margin), ("right", high > WIDEST * outcome.margin))
    return Line(
        outcome,
        cut(outcome.difference / outcome.margin),
        span(outcome.low, outcome.high, outcome.margin),
        span(outcome.narrow_low, outcome.narrow_high, outcome.margin),
        tuple(side for side, goes_on in ends if goes_on),
        signed(outcome.difference, digits(outcome.margin)),
        sides,
        reason,
    )


def cut(place: float) -> float:
    """A place on the axis."""
    return max(-WIDEST, min(WIDEST, place))


def span(low: float | None, high: float | None, margin: float) -> tuple[float, float] | None:
    """An interval on the axis, None where there is none."""
    return None if low is None or high is None else (cut(low / margin), cut(high / margin))


def sides_of(outcome: Outcome, titles: Mapping[str, str]) -> str:
    """What a claim compares: benchmark, metric, group, and both sides by name."""
    name, metric, *group = outcome.metric.split(" ", 2)
    where = f"{benchmark_name(name)} {metric_name(metric)}" + (f" ({group[0].replace('=', ' ')})" if group else "")
    better, worse = (side_name(text, titles) if text else "" for text in (outcome.better, outcome.worse))
    return f"{where}: {better} against {worse}" if worse else f"{where}: {better}"


def families(outcomes: Iterable[Outcome], titles: Mapping[str, str]) -> dict[str, list[Line]]:
    """What claims are about -> their lines, in the order of the register."""
    groups: dict[str, list[Line]] = {}
    for outcome in outcomes:
        family = outcome.id.partition(".")[0]
        groups.setdefault(FAMILIES.get(family, family), []).append(line_of(outcome, titles))
    return groups


def forest(outcomes: Sequence[Outcome]) -> Figure:
    """One line a claim, in the order given; differences in units of the claim's margin, so that all share one axis.

    The band from -1 to 1 is where a difference counts as none. Thick: 90 % interval, which is equivalent when it lies
    in the band; thin: 95 %. Claims without a difference are left out.
    """
    use_style()
    lines = [line_of(outcome, {}) for outcome in outcomes if outcome.difference is not None]
    figure, axes = pyplot.subplots(figsize=(7.4, 1.3 + 0.215 * max(len(lines), 3)))
    axes.axvspan(-1, 1, color=BLUE, alpha=0.08, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, line in enumerate(lines):
        draw(axes, place, line)
    axes.set_yticks(range(len(lines)), [shorten([line.outcome.statement], 72) for line in lines], fontsize=7)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlim(-WIDEST, WIDEST)
    axes.set_xlabel("difference in margins; to the right: as the paper says")
    present = {line.outcome.verdict for line in lines}
    handles = [
        Line2D([], [], color=colour, marker=marker, fillstyle=fill, linestyle="", label=verdict)
        for verdict, (colour, marker, fill) in LOOKS.items()
        if verdict in present
    ]
    axes.legend(handles=handles, ncols=4, loc="lower center", bbox_to_anchor=(0.2, 1.0), fontsize=7, frameon=False)
    return figure


def draw(axes: pyplot.Axes, place: int, line: Line) -> None:
    """A claim's marker, its intervals, and its difference in its own unit at the edge."""
    colour, marker, fill = LOOKS.get(line.outcome.verdict, (GREY, ".", "none"))
    for ends, width in ((line.wide, 0.9), (line.narrow, 2.4)):
        if ends is not None:
            axes.plot(ends, [place, place], color=colour, linewidth=width, solid_capstyle="butt")
    for side in line.beyond:
        end, arrow = (WIDEST, ">") if side == "right" else (-WIDEST, "<")
        axes.plot(end, place, arrow, color=colour, markersize=3, clip_on=False)
    if line.mark is not None:
        axes.plot(line.mark, place, marker, color=colour, fillstyle=fill, markersize=4.5, zorder=3)
    axes.text(1.01, place, line.value, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5, color=colour)
