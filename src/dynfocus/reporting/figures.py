"""Figures of the report: one style, vector (PDF, SVG) and PNG, colour-blind safe.

Every function takes plain numbers or a table and returns a matplotlib figure; `write_figure` stores it.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure

from dynfocus.reporting.tables import Comparison, Table

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def use_style() -> None:
    """Switch matplotlib to the report's style."""
    with as_file(files(__package__) / "paper.mplstyle") as path:
        pyplot.style.use(str(path))


def write_figure(figure: Figure, folder: Path, stem: str, stamp: str = "") -> list[Path]:
    """Write `{stem}.pdf`, `.svg` and `.png`, with `stamp` in small print below them.

    The files of equal figures are equal byte for byte.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure.text(1, 0, stamp, ha="right", va="top", fontsize=6, color=GREY)
    fixed = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    paths = []
    for suffix, metadata in fixed.items():
        path = folder / f"{stem}.{suffix}"
        figure.savefig(path, metadata=metadata)
        if suffix == "svg":
            path.write_text(stable_ids(path.read_text(encoding="utf-8")), encoding="utf-8")
        paths.append(path)
    pyplot.close(figure)
    return paths


def embedded_figure(figure: Figure) -> str:
    """A figure as an SVG data address, for a page that needs no other file."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    text = stable_ids(buffer.getvalue())
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode('ascii')}"


def stable_ids(svg: str) -> str:
    """Clip paths numbered in the order of the file; matplotlib names them after memory addresses."""
    names = dict.fromkeys(re.findall(r"\bp[0-9a-f]{10}\b", svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(names)}
    return re.sub(r"\bp[0-9a-f]{10}\b", lambda match: numbers[match[0]], svg)


def paper_and_ours(table: Table, column: str, profile: str, paper_label: str = "paper") -> Figure:
    """A column of a table as two panels over the same rows: the paper's values, and ours with intervals.

    Two axes, because at small scale only the order of the rows can be compared. Rows with neither
    number are left out.
    """
    use_style()
    index = table.columns.index(column)
    cells = [(row.labels, cell) for row in table.rows if isinstance(cell := row.cells[index], Comparison)]
    rows = [(labels, cell) for labels, cell in cells if cell.paper is not None or cell.ours is not None]
    names = [shorten(labels) for labels, _ in rows]
    figure, (left, right) = pyplot.subplots(1, 2, sharey=True, figsize=(6.8, 0.9 + 0.32 * max(len(rows), 3)))
    positions = range(len(rows))
    for position, (_, cell) in zip(positions, rows, strict=True):
        if cell.paper is not None:
            left.plot(cell.paper, position, "D", color=ORANGE)
        if cell.ours is not None:
            if cell.low is not None and cell.high is not None:
                right.plot([cell.low, cell.high], [position, position], "-", color=BLUE, alpha=0.6)
            right.plot(cell.ours, position, "o", color=BLUE)
        elif cell.gap:
            right.text(
                0.5,
                position,
                "no result",
                transform=right.get_yaxis_transform(),
                ha="center",
                va="center",
                color=GREY,
                fontsize=7,
            )
    left.set_yticks(list(positions), names)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set(title=paper_label, xlabel=column)
    right.set(title=f"ours ({profile}), 95 % interval", xlabel=column)
    spread_equally(left, right, [[cell.paper] for _, cell in rows], [[cell.low, cell.high] for _, cell in rows])
    if not any(cell.ours is not None for _, cell in rows):
        right.set_xticks([])
    return figure


def spread_equally(
    left: pyplot.Axes, right: pyplot.Axes, printed: Sequence[Sequence], ours: Sequence[Sequence]
) -> None:
    """Two panels whose axes span the same width, so that a point is as long here as there."""
    ends = [[value for pair in pairs for value in pair if value is not None] for pairs in (printed, ours)]
    width = 1.24 * max((max(values) - min(values) for values in ends if values), default=0)
    for axes, values in zip((left, right), ends, strict=True):
        if values and width:
            low = (max(values) + min(values)) / 2 - width / 2
            if min(values) >= 0:
                low = max(low, -0.03 * width)
            axes.set_xlim(low, low + width)


def shorten(labels: Sequence[str], limit: int = 60) -> str:
    """Row labels in one line; the parts after the first are cut to what fits."""
    text = labels[0] if len(labels) == 1 else f"{labels[0]}: {labels[-1]}"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def draw_guessing(line: Callable[..., object], chance: float | None) -> None:
    """What guessing gets, in per cent, as a line of a figure (`axes.axhline`, `axes.axvline`); None draws nothing."""
    if chance is not None:
        line(chance, color=GREY, linestyle="--", linewidth=1, label=f"guessing, {chance:.0f} %")


def curves(
    series: Mapping[str, Mapping[float, tuple[float, float, float]]],
    xlabel: str,
    ylabel: str,
    optimum: bool = True,
    markers: bool = True,
    log: bool = False,
    chance: float | None = None,
) -> Figure:
    """Lines of (value, low, high) over a setting, one per name; the best setting of each is ringed.

    `chance`: what guessing gets, drawn as a line.
    """
    use_style()
    figure, axes = pyplot.subplots()
    for number, (name, points) in enumerate(series.items()):
        settings = sorted(points)
        values = [points[setting][0] for setting in settings]
        (line,) = axes.plot(settings, values, marker=MARKERS[number % len(MARKERS)] if markers else "", label=name)
        lows, highs = ([points[setting][side] for setting in settings] for side in (1, 2))
        axes.fill_between(settings, lows, highs, color=line.get_color(), alpha=0.12, linewidth=0)
        if optimum and values:
            best = settings[values.index(max(values))]
            axes.plot(best, max(values), "o", markersize=12, fillstyle="none", color=line.get_color())
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        axes.set_yscale("log")
    if series:
        draw_guessing(axes.axhline, chance)
        axes.legend()
    else:
        axes.text(0.5, 0.5, "no result", transform=axes.transAxes, ha="center", color=GREY)
    return figure


def similarity_curves(
    consecutive: Sequence[float], to_text: Sequence[float], redundant: float, irrelevant: float, title: str
) -> Figure:
    """Both min-max normalised similarities along a video with their thresholds (equations 1 and 2)."""
    use_style()
    figure, (top, bottom) = pyplot.subplots(2, 1, sharex=True, figsize=(6.8, 3.8))
    panels = (
        (top, consecutive, redundant, BLUE, "to the next frame", "repetitive: above"),
        (bottom, to_text, irrelevant, ORANGE, "to question and answer", "irrelevant: below"),
    )
    for axes, values, threshold, colour, label, rule in panels:
        axes.plot(range(len(values)), values, color=colour, marker=".")
        axes.axhline(threshold, color=GREY, linestyle="--", linewidth=1)
        marked = [t for t, value in enumerate(values) if (value > threshold if axes is top else value < threshold)]
        axes.bar(marked, 1, width=1, color=colour, alpha=0.12, linewidth=0)
        axes.set(ylabel=f"similarity\n{label}", ylim=(-0.03, 1.03))
        axes.text(
            0.995,
            threshold + 0.03,
            f"{rule} {threshold:g}",
            transform=axes.get_yaxis_transform(),
            ha="right",
            fontsize=7,
            color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    top.set_title(shorten([title], 90))
    bottom.set_xlabel("frame")
    return figure


def percent_bars(series: Mapping[str, Mapping[str, Comparison]], xlabel: str, chance: float | None = None) -> Figure:
    """Horizontal bars of 0 to 100 % with 95 % intervals: one group a label, one bar a series; gaps stay empty.

    `chance`: what guessing gets, drawn as a line.
    """
    use_style()
    labels = list(dict.fromkeys(label for bars in series.values() for label in bars))
    figure, axes = pyplot.subplots(figsize=(6.4, 0.8 + 0.36 * max(len(labels), 2) * max(len(series), 1)))
    width = 0.8 / max(len(series), 1)
    for number, (name, bars) in enumerate(series.items()):
        for position, label in enumerate(labels):
            cell = bars.get(label)
            place = position + (number - (len(series) - 1) / 2) * width
            if cell is None or cell.ours is None:
                axes.text(1, place, "no result", va="center", color=GREY, fontsize=7)
                continue
            colour = (BLUE, ORANGE, GREEN, PINK)[number % 4]
            axes.barh(
                place, cell.ours, height=width * 0.9, color=colour, alpha=0.8, label=name if position == 0 else None
            )
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel(xlabel)
    draw_guessing(axes.axvline, chance)
    if len(series) > 1 or chance is not None:
        axes.legend()
    return figure


def basic_against_hallucinated(table: Table, profile: str) -> Figure:
    """Table 8 as points: basic against hallucinated accuracy, mean of the categories, per model.

    Far below the diagonal: a model that says yes to both. Ours are filled, the paper's reported rows open.
    """
    use_style()
    figure, axes = pyplot.subplots(figsize=(6.8, 4.2))
    named: list[tuple[float, float, str]] = []
    for row in table.rows:
        basic, hallucinated = (
            [row.number(index) for index, column in enumerate(table.columns) if column.endswith(kind)]
            for kind in ("Basic", "Halluc.")
        )
        x, y = (mean_of([cell.paper for cell in cells]) for cells in (basic, hallucinated))
        if x is not None and y is not None:
            axes.plot(x, y, "o", fillstyle="none", color=GREY)
            named.append((x, y, row.labels[0]))
        x, y = (mean_of([cell.ours for cell in cells]) for cells in (basic, hallucinated))
        if x is not None and y is not None:
            marker = MARKERS[len(axes.get_legend_handles_labels()[0]) % len(MARKERS)]
            axes.plot(x, y, marker, alpha=0.8, label=f"{row.labels[0]}, ours ({profile})", clip_on=False, zorder=3)
    for x, y, height, name in spread_labels(named, 3.6):
        axes.annotate(
            name,
            (x, y),
            xytext=(106, height),
            textcoords="data",
            fontsize=7,
            color=GREY,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#cccccc", "linewidth": 0.6},
            annotation_clip=False,
        )
    axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=0.8)
    axes.set(
        xlabel="basic questions right (%)", ylabel="hallucinated questions right (%)", xlim=(0, 102), ylim=(0, 102)
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left")
    return figure


def spread_labels(points: Sequence[tuple[float, float, str]], gap: float) -> list[tuple[float, float, float, str]]:
    """Heights for labels in a column beside the points (x, y, name): in the order of y, at least `gap` apart."""
    placed: list[tuple[float, float, float, str]] = []
    for x, y, name in sorted(points, key=lambda point: point[1]):
        height = max(y, placed[-1][2] + gap) if placed else y
        placed.append((x, y, height, name))
    return placed


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean, None when a value is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
