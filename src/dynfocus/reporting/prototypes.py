"""Figure 3: learned spatial prototypes over frames, and event prototypes along the time line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynfocus.measuring.pictures import from_text
from dynfocus.reporting.figures import BLUE, ORANGE, shorten, use_style
from dynfocus.reporting.film import Timeline, boundaries, film_of, strip_figure
from dynfocus.reporting.session import Session

SHOWN_FRAMES = 6


def choose_frames(timeline: Timeline, count: int = SHOWN_FRAMES) -> list[int]:
    """Cones spread over the video, and rods where there are too few cones."""
    cones = np.flatnonzero(timeline.cones)
    rods = np.flatnonzero(~timeline.cones)
    spread = np.linspace(0, len(cones) - 1, min(count, len(cones))).round().astype(int)
    return sorted([*cones[spread].tolist(), *rods[: count - len(spread)].tolist()])


def spatial_figure(frames: Sequence[NDArray], fine: NDArray, coarse: NDArray | None, chosen: Sequence[int]) -> Figure:
    """Frames (H, W, 3), and below them their fine and their coarse clusters, coloured and outlined.

    `fine`, `coarse`: (T, grid, grid) cluster of each patch; `chosen`: the frame numbers of `frames`.
    """
    use_style()
    kinds = 3 if coarse is not None else 2
    figure, axes = pyplot.subplots(
        kinds,
        len(frames),
        figsize=(1.5 * max(len(frames), 3), 1.55 * kinds),
        squeeze=False,
        gridspec_kw={"wspace": 0.05},
    )
    for column, (image, number) in enumerate(zip(frames, chosen, strict=True)):
        maps = [None, fine[number], None if coarse is None else coarse[number]][:kinds]
        for row, labels in enumerate(maps):
            panel = axes[row, column]
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            for side in panel.spines.values():
                side.set_visible(False)
            grid = fine.shape[1]
            panel.imshow(image, extent=(0, grid, grid, 0), interpolation="nearest")
            if labels is not None:
                draw_clusters(panel, labels)
        axes[0, column].set_title(f"frame {number}", fontsize=8)
    for row, name in enumerate(("frame", "fine prototypes", "coarse prototypes")[:kinds]):
        axes[row, 0].set_ylabel(name, fontsize=8)
    return figure


def draw_clusters(panel: Axes, labels: NDArray[np.integer]) -> None:
    """Colour the patches by cluster, lightly, and outline the clusters."""
    _, place = np.unique(labels, return_inverse=True)
    grid = labels.shape[0]
    colours = colormaps["tab20"](place.reshape(labels.shape) % 20)
    panel.imshow(colours, extent=(0, grid, grid, 0), alpha=0.35, interpolation="nearest")
    segments = boundaries(labels)
    panel.add_collection(LineCollection(segments, colors="white", linewidths=1.2))
    panel.add_collection(LineCollection(segments, colors="black", linewidths=0.5, linestyles=":"))


def timeline_figure(timeline: Timeline, title: str = "") -> Figure:
    """Three bands over time: the prototype of each frame, the prototypes' scores, and tokens per frame."""
    use_style()
    frames = np.arange(len(timeline.prototype_of_frame))
    figure, (members, scores, tokens) = pyplot.subplots(
        3, 1, sharex=True, figsize=(7.0, 3.9), gridspec_kw={"height_ratios": (0.6, 1.4, 1.4)}
    )
    members.bar(frames, 1, width=1, color=colormaps["tab20"](timeline.prototype_of_frame % 20))
    members.set(yticks=[], ylim=(0, 1), ylabel="event\nprototype")
    members.grid(False)
    chosen = timeline.cones[timeline.prototype_frames] if len(timeline.scores) else np.zeros(0, dtype=bool)
    for mask, colour, label in ((chosen, ORANGE, "chosen (cone)"), (~chosen, BLUE, "left (rod)")):
        if mask.any():
            places = timeline.prototype_frames[mask]
            scores.vlines(places, 0, timeline.scores[mask], color=colour, linewidth=1.2)
            scores.plot(places, timeline.scores[mask], "o", color=colour, markersize=4, label=label)
    scores.set(ylabel="score", ylim=(-0.05, 1.1))
    if len(timeline.scores):
        scores.legend(ncols=2, loc="upper right", bbox_to_anchor=(1, 1.28))
    tokens.bar(
        frames, timeline.tokens_per_frame, width=0.9, color=[ORANGE if cone else BLUE for cone in timeline.cones]
    )
    tokens.set(ylabel="tokens", xlabel="frame")
    members.set_title(shorten([title], 90))
    return figure


def prototype_figures(session: Session, item: str) -> tuple[dict[str, tuple[Figure, str]], list[str]]:
    """Both figures of the measured film, or none and the reason."""
    found = session.measurement(item)
    if "timeline" not in found:
        return {}, [f"missing: {found['gap']}"]
    timeline = Timeline.of(found["timeline"])
    coarse = None if found["coarse"] is None else np.array(found["coarse"])
    chosen = choose_frames(timeline)
    pictures = [from_text(found["frames"][number]) for number in chosen]
    figures = {
        "strip": (
            strip_figure(film_of(found, session.titles)),
            "Every frame of the film with its tokens: cones (orange) have many, rods (blue) few.",
        ),
        "spatial": (
            spatial_figure(pictures, np.array(found["fine"]), coarse, chosen),
            "Fine and coarse spatial prototypes of S-DPC, outlined over frames.",
        ),
        "timeline": (
            timeline_figure(timeline, found["question"]),
            "Event prototypes along the time line, their scores, each at the frame that stands for it, and tokens per "
            "frame (orange: cones, blue: rods).",
        ),
    }
    return figures, []
