"""One film: its frames as cones and rods with their tokens, and what was asked about it beside the replies.

Everything is read from the measurement of Figure 3 and from stored answers; no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from dynfocus.evaluation.records import read_answers
from dynfocus.measuring.pictures import from_text
from dynfocus.reporting.figures import BLUE, ORANGE, use_style
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table
from dynfocus.steps.table import answers_of

ITEM = "figure_3"
"""The report item whose measurement holds the film."""
WIDEST = 12
"""Frames in a row of the strip."""
MOST = 48
"""Frames shown of a film."""


@dataclass(frozen=True)
class Timeline:
    """What was measured over T frames and L event prototypes (`dynfocus.network.explanation.Explanation`)."""

    prototype_of_frame: NDArray[np.integer]
    prototype_frames: NDArray[np.integer]
    scores: NDArray[np.floating]
    cones: NDArray[np.bool_]
    tokens_per_frame: NDArray[np.integer]

    @classmethod
    def of(cls, values: Mapping[str, Sequence]) -> Timeline:
        """The time line of a measurement."""
        return cls(**{name: np.array(values[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Frame:
    """A frame as it is shown; `picture` is a PNG as base64 text, `seconds` None where it was not measured.

    `outline`: where fine prototypes meet, an SVG path in patches.
    """

    number: int
    picture: str
    seconds: float | None
    prototype: int
    colour: str
    cone: bool
    tokens: int
    outline: str


@dataclass(frozen=True)
class Film:
    """A measured film: its frames in time, the first question asked about it, and the tokens spent."""

    name: str
    run: str
    question: str
    frames: tuple[Frame, ...]
    grid: int

    @property
    def cones(self) -> int:
        """Frames with many tokens."""
        return sum(frame.cone for frame in self.frames)

    @property
    def tokens(self) -> int:
        """Visual tokens of the film."""
        return sum(frame.tokens for frame in self.frames)

    @property
    def tokens_if_all_cones(self) -> int:
        """Tokens if every frame had those of the largest."""
        return len(self.frames) * max(frame.tokens for frame in self.frames)

    @property
    def shown(self) -> list[Frame]:
        """All frames; of a long film its cones, at most `MOST`, and evenly spaced rods."""
        if len(self.frames) <= MOST:
            return list(self.frames)
        cones, rods = ([frame for frame in self.frames if frame.cone is kind] for kind in (True, False))
        spread = np.linspace(0, len(rods) - 1, max(0, MOST - len(cones))).round().astype(int)
        return sorted([*cones[:MOST], *(rods[place] for place in spread)], key=lambda frame: frame.number)


def film_of(found: Mapping[str, Any], titles: Mapping[str, str]) -> Film:
    """The film of a measurement; `titles` names the runs."""
    timeline, fine = Timeline.of(found["timeline"]), np.array(found["fine"])
    seconds = found.get("seconds") or [None] * len(found["frames"])
    frames = (
        Frame(
            number=number,
            picture=picture,
            seconds=seconds[number],
            prototype=int(timeline.prototype_of_frame[number]) + 1,
            colour=to_hex(colormaps["tab20"](int(timeline.prototype_of_frame[number]) % 20)),
            cone=bool(timeline.cones[number]),
            tokens=int(timeline.tokens_per_frame[number]),
            outline="".join(f"M{x} {y}L{u} {v}" for (x, y), (u, v) in boundaries(fine[number])),
        )
        for number, picture in enumerate(found["frames"])
    )
    run = titles.get(found["run"], found["run"])
    return Film(Path(found["video"]).name, run, found["question"], tuple(frames), fine.shape[-1])


def boundaries(labels: NDArray[np.integer]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Segments ((x, y), (x, y)) between neighbouring patches of different clusters, of labels (grid, grid)."""
    rows, columns = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = [((x + 1, y), (x + 1, y + 1)) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    rows, columns = np.nonzero(labels[1:] != labels[:-1])
    return upright + [((x, y + 1), (x + 1, y + 1)) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]


def strip_figure(film: Film) -> Figure:
    """Every frame of a film with its tokens below: cones framed in orange, rods smaller and in blue."""
    use_style()
    shown = film.shown
    columns = min(WIDEST, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, squeeze=False, figsize=(0.8 * columns, 1.28 * rows + 0.3), gridspec_kw={"wspace": 0.06}
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, frame in zip(grid.flat, shown, strict=False):
        draw_frame(axes, frame)
    rods = len(film.frames) - film.cones
    figure.suptitle(
        f"“{film.question}”   {film.cones} cones and {rods} rods: {film.tokens} tokens instead of "
        f"{film.tokens_if_all_cones}",
        fontsize=9,
    )
    return figure


def draw_frame(axes: pyplot.Axes, frame: Frame) -> None:
    """One frame: its picture in the frame of its kind, time above, tokens below."""
    colour = ORANGE if frame.cone else BLUE
    image = from_text(frame.picture)
    side = 1.0 if frame.cone else 0.72
    low, high = (1 - side) / 2, (1 + side) / 2
    axes.imshow(image, extent=(low, high, low, high), interpolation="nearest", alpha=1.0 if frame.cone else 0.75)
    width = 2.6 if frame.cone else 1.2
    axes.add_patch(Rectangle((low, low), side, side, fill=False, edgecolor=colour, linewidth=width))
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.42, 1.2))
    when = f"frame {frame.number}" if frame.seconds is None else f"{frame.seconds:.0f} s"
    axes.text(0.5, 1.08, when, ha="center", va="bottom", fontsize=7)
    weight = "bold" if frame.cone else "normal"
    axes.text(0.5, -0.1, f"{frame.tokens}", ha="center", va="top", fontsize=9, color=colour, weight=weight)
    axes.text(0.5, -0.42, "cone" if frame.cone else "rod", ha="center", va="bottom", fontsize=7, color=colour)


def replies_table(session: Session, runs: Iterable[str]) -> Table:
    """What was asked about the film: a row a question, the truth and the reply of each run, right ones marked."""
    measured: dict[str, Any] = session.measurement(ITEM)
    asked = measured.get("questions", [])
    seed = session.seeds(ITEM)[0]
    replies = {run: stored_replies(session, run, seed, measured.get("benchmark", "")) for run in runs}
    replies = {run: answers for run, answers in replies.items() if any(one["id"] in answers for one in asked)}
    rows = [
        (
            (one["question"],),
            [one["truth"], *(marked(found.get(one["id"], "–"), one["truth"]) for found in replies.values())],
        )
        for one in asked
    ]
    columns = ["Truth", *(session.titles.get(run, run) for run in replies)]
    return plain_table("film_replies", "What was asked about it", ("Question",), columns, rows)


def marked(reply: str, truth: str) -> str:
    """A reply with a tick where it is the truth, word for word."""
    return f"✓ {reply}" if truth and reply.strip().lower() == truth.strip().lower() else reply


def stored_replies(session: Session, run: str, seed: int, benchmark: str) -> dict[str, str]:
    """Question -> reply of a run; empty where its answers are not here."""
    shards = [step.path(session.jobs) for step in answers_of(session.jobs, run, seed)]
    if not all(shard.is_file() for shard in shards):
        return {}
    return {key: answer.reply for key, answer in read_answers(shards).get(benchmark, {}).items()}
