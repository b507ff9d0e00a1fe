"""Do the cones hit? Recall of the events of the mini world's films, from what `measuring.cone_recall` stored.

Recall is the share of events of which at least one frame is among those chosen. Beside the cones stand what
the same number of frames would reach without learning: evenly spaced, drawn at random among all frames, or
among the prototypes; and what all L prototypes reach, which no choice among them can pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from dynfocus.errors import UserError
from dynfocus.evaluation.crossed import Effect, Values, effect_of
from dynfocus.reporting.figures import BLUE, GREEN, GREY, ORANGE, use_style
from dynfocus.reporting.names import benchmark_name
from dynfocus.reporting.tables import Comparison, Table, plain_table

ITEM = "cone_recall"
KINDS = ("cones", "drawn among prototypes", "all prototypes", "evenly spaced", "random frames")
STAGES = ("untrained", "after stage 1", "after stage 2")
PANELS = 3
"""Panels side by side in a figure."""


@dataclass(frozen=True)
class Recall:
    """Hits of a run on the events of films of one length, at one stage.

    hits: kind -> (S, E), seeds by events, in [0, 1]; a kind without chance or learning repeats its row. `films` (E,)
    names each event's film; `frames`, `cones` and `prototypes` are T, K and L.
    """

    run: str
    stage: str
    benchmark: str
    frames: int
    cones: int
    prototypes: int
    seeds: tuple[int, ...]
    films: tuple[str, ...]
    hits: Mapping[str, Values]

    def share(self, kind: str) -> Effect:
        """Recall of a kind, in per cent, with seeds and films as samples."""
        return effect_of(100 * self.hits[kind], self.films)

    def learned(self) -> Effect:
        """Cones minus a draw among the prototypes, in points."""
        return effect_of(100 * (self.hits["cones"] - self.hits["drawn among prototypes"]), self.films)


def recalls(measured: Mapping[str, Any]) -> list[Recall]:
    """Recall per run, stage, benchmark and length of film, short films first; none where nothing was measured."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for model in measured.get("models", []):
        groups.setdefault((model["run"], model["stage"], model["benchmark"]), []).append(model)
    return [
        one
        for (run, stage, name), models in groups.items()
        for one in _by_length(run, stage, name, measured["films"][name]["media"], models)
    ]


def _by_length(
    run: str, stage: str, name: str, media: Mapping[str, Any], models: list[Mapping[str, Any]]
) -> Iterable[Recall]:
    """The recalls of one group, by the number of frames of the films; lengths with fewer than two films have none."""
    events = [
        (place, medium, film["frames"], frames)
        for place, (medium, film) in enumerate(media.items())
        for frames in film["events"]
    ]
    first = models[0]
    for length in sorted({frames for _, _, frames, _ in events}):
        rows = [number for number, event in enumerate(events) if event[2] == length]
        films = tuple(events[number][1] for number in rows)
        if len(set(films)) < 2:
            continue
        film = events[rows[0]][0]
        cones, prototypes = first["cones"][film], first["prototypes"][film]
        sizes = [len(events[number][3]) for number in rows]
        held = np.array([[model["held"][number] for number in rows] for model in models])
        spread = evenly_spaced(length, cones)
        even = [float(not spread.isdisjoint(events[number][3])) for number in rows]
        random = [drawn(length, size, cones) for size in sizes]
        among = np.vectorize(lambda number, total=prototypes, kept=cones: drawn(total, number, kept))(held)
        hits = {
            "cones": np.array([[model["chosen"][number] for number in rows] for model in models], dtype=float),
            "drawn among prototypes": among,
            "all prototypes": (held > 0).astype(float),
            "evenly spaced": np.tile(even, (len(models), 1)),
            "random frames": np.tile(random, (len(models), 1)),
        }
        seeds = tuple(model["seed"] for model in models)
        yield Recall(run, stage, name, length, cones, prototypes, seeds, films, hits)


def drawn(total: int, wanted: int, kept: int) -> float:
    """Chance that `kept` of `total` things, drawn without replacement, hold at least one of the `wanted`."""
    return 1 - math.comb(total - wanted, kept) / math.comb(total, kept)


def evenly_spaced(frames: int, kept: int) -> set[int]:
    """The middle frames of `kept` equal parts of a film."""
    return {math.floor((part + 0.5) * frames / kept) for part in range(kept)}


def recall_table(found: list[Recall], titles: Mapping[str, str]) -> Table:
    """A row per run, stage, benchmark and length: recall in per cent, and what learning adds to a draw."""
    rows = []
    for one in found:
        labels = (
            titles.get(one.run, one.run),
            benchmark_name(one.benchmark),
            f"{one.frames}",
            f"{one.cones}/{one.prototypes}",
            one.stage,
        )
        cells: list[Comparison | str] = [
            Comparison(ours=one.share(kind).mean, decimals=0, seeds=len(one.seeds)) for kind in KINDS
        ]
        rows.append((labels, [*cells, effect_cell(one.learned()), str(len(one.films)), str(len(one.seeds))]))
    heads = ("Run", "Benchmark", "Frames", "K/L", "Stage")
    notes = [
        "Recall: share of events (an action, things in view) that at least one of the frames shows. Evenly spaced and "
        "random: as many frames as there are cones.",
        "Learned: cones less a draw of K among the prototypes, in points, with its 95 % interval over seeds and films.",
    ]
    columns = (*KINDS, "Learned", "Events", "Seeds")
    return plain_table(ITEM, "Do the cones hit?", heads, columns, rows, notes=notes)


def effect_cell(effect: Effect) -> Comparison:
    """An effect with its interval, where there is one."""
    low, high = effect.interval()
    bounds = {"low": low, "high": high} if math.isfinite(low) else {}
    return Comparison(ours=effect.mean, decimals=0, seeds=effect.seeds, questions=effect.questions, **bounds)


def recall_figure(found: list[Recall], run: str) -> Figure:
    """Recall of one run by stage, a panel a length of film: each seed's cones, their mean, and the lines to beat."""
    use_style()
    chosen = [one for one in found if one.run == run]
    panels = list(dict.fromkeys((one.benchmark, one.frames) for one in chosen))
    if not panels:
        raise UserError(f"{run}: no recall was measured; name it among the runs of the item {ITEM}")
    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        rows,
        columns,
        sharey=True,
        squeeze=False,
        figsize=(1.2 + 1.85 * columns, 0.6 + 2.2 * rows),
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    lines = {"drawn among prototypes": (ORANGE, "--"), "all prototypes": (GREEN, "-"), "evenly spaced": (GREY, ":")}
    for axes, (name, frames) in zip(grid.flat, panels, strict=False):
        stages = {one.stage: one for one in chosen if (one.benchmark, one.frames) == (name, frames)}
        for place, stage in enumerate(STAGES):
            if stage not in stages:
                continue
            one = stages[stage]
            for kind, (colour, style) in lines.items():
                height = one.share(kind).mean
                label = kind if place == 0 else None
                axes.plot([place - 0.4, place + 0.4], [height, height], style, color=colour, linewidth=1.4, label=label)
            by_seed = 100 * one.hits["cones"].mean(axis=1)
            axes.plot([place] * len(by_seed), by_seed, "o", color=BLUE, alpha=0.4, markersize=4)
            axes.plot(
                place,
                by_seed.mean(),
                "_",
                color=BLUE,
                markersize=14,
                markeredgewidth=2,
                label=None if place else "cones",
            )
        first = next(iter(stages.values()))
        axes.set_title(f"{benchmark_name(name)}\nT = {frames}, K/L = {first.cones}/{first.prototypes}", fontsize=7.5)
        axes.set_xticks(range(len(STAGES)), ["start", "stage 1", "stage 2"], fontsize=7)
        axes.set_ylim(-3, 103)
    for row in grid:
        row[0].set_ylabel("events with a chosen frame (%)", fontsize=7.5)
    handles = grid[0][0].get_legend_handles_labels()
    figure.legend(*handles, fontsize=7, loc="outside upper center", ncols=4, frameon=False)
    return figure
