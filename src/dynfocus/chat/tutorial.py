"""The pictures of the tutorial: what becomes of a film on its way to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from IPython.display import HTML
from markupsafe import escape
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from dynfocus.chat.examples import Example, examples
from dynfocus.chat.film import Film
from dynfocus.chat.model import ChatModel
from dynfocus.errors import UserError
from dynfocus.network.explanation import Explanation
from dynfocus.reporting.figures import BLUE, ORANGE, embedded_figure, use_style
from dynfocus.reporting.session import Session

RUN, BENCHMARK = "dynfocus", "msvd_qa"


def open_lesson(session: Session) -> tuple[ChatModel, Film, Example]:
    """The model of the run, a film of the benchmark as it sees it, and what is asked about it.

    Raises UserError where one of them is not here.
    """
    (seed, *_), layout = session.seeds(), session.layout
    model = ChatModel(session.jobs.checkpoint(RUN, seed), layout.backbones / "clip", session.jobs.run(RUN))
    found = examples(layout, [BENCHMARK])
    if not found:
        raise UserError(
            f"{layout.data / BENCHMARK}: no films; make them with: dynfocus prepare-data --dataset {BENCHMARK}"
        )
    return model, model.open(found[0].path), found[0]


def show(figure: Figure, says: str) -> HTML:
    """A figure as the notebook's page holds it; `says` describes it to who cannot see it."""
    return HTML(f'<img src="{embedded_figure(figure)}" alt="{escape(says)}" style="max-width: 100%">')


def pictures_of(film: Film) -> list[np.ndarray]:
    """The frames of a film as small pictures (H, W, 3)."""
    return [np.array(Image.open(BytesIO(stored))) for stored in film.thumbnails]


def strip(film: Film, cones: Sequence[bool] | None = None) -> Figure:
    """All frames with their times; where it is known, cones and rods framed in their colours."""
    use_style()
    columns = min(len(film), 12)
    rows = -(-len(film) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(0.8 * columns, 1.05 * rows), squeeze=False)
    pictures = pictures_of(film)
    for number, panel in enumerate(axes.flat):
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        if number >= len(film):
            panel.set_axis_off()
            continue
        panel.imshow(pictures[number])
        panel.set_title(f"{film.seconds[number]:.0f} s", fontsize=7)
        for side in panel.spines.values():
            side.set_visible(cones is not None)
            side.set(color=ORANGE if cones is not None and cones[number] else BLUE, linewidth=2.5)
    return figure


def patches(film: Film, number: int) -> Figure:
    """A frame, its patches, and the patches' features: their first three principal components as red, green, blue."""
    use_style()
    features = film.features.float().numpy()
    grid = int(features.shape[1] ** 0.5)
    flat = features.reshape(-1, features.shape[2])
    centred = flat - flat.mean(0)
    axes_of = np.linalg.svd(centred, full_matrices=False)[2][:3]
    colours = centred @ axes_of.T
    low, high = np.percentile(colours, (2, 98), axis=0)
    colours = ((colours - low) / (high - low)).clip(0, 1).reshape(len(film), grid, grid, 3)
    figure, panels = pyplot.subplots(1, 3, figsize=(6.6, 2.4))
    picture = pictures_of(film)[number]
    for panel, title in zip(panels, ("frame", f"{grid} × {grid} patches", "their features"), strict=True):
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        panel.set_title(title)
        shown = colours[number] if title == "their features" else picture
        panel.imshow(shown, extent=(0, grid, grid, 0), interpolation="nearest")
    for line in range(1, grid):
        panels[1].axhline(line, color="white", linewidth=0.8)
        panels[1].axvline(line, color="white", linewidth=0.8)
    return figure


def likeness(film: Film, made: Explanation) -> Figure:
    """How alike any two frames are (cosine of their mean features), with a box around each event prototype."""
    use_style()
    means = film.features.float().numpy().mean(1)
    means -= means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    order = np.argsort(made.prototype_of_frame.numpy(), kind="stable")
    figure, panel = pyplot.subplots(figsize=(3.6, 3.2))
    image = panel.imshow((means @ means.T)[order][:, order], cmap="RdBu_r", vmin=-1, vmax=1)
    panel.grid(False)
    labels = made.prototype_of_frame.numpy()[order]
    for label in np.unique(labels):
        (places,) = np.nonzero(labels == label)
        corner, size = places[0] - 0.5, len(places)
        panel.add_patch(pyplot.Rectangle((corner, corner), size, size, fill=False, color="black", linewidth=1.5))
    times = [f"{film.seconds[frame]:.0f}" for frame in order]
    panel.set_xticks(range(len(film)), times, fontsize=6)
    panel.set_yticks(range(len(film)), times, fontsize=6)
    panel.set(xlabel="frame at second", ylabel="frame at second")
    figure.colorbar(image, label="likeness", shrink=0.8)
    return figure


def scores(film: Film, made: Mapping[str, Explanation]) -> Figure:
    """The scores of the event prototypes under each question, at the seconds of their frames; the chosen in orange."""
    use_style()
    figure, panels = pyplot.subplots(
        len(made), 1, sharex=True, figsize=(6.6, 0.5 + 1.15 * len(made)), squeeze=False, layout="constrained"
    )
    for panel, (question, one) in zip(panels[:, 0], made.items(), strict=True):
        seconds = film.seconds[one.prototype_frames.numpy()]
        chosen = np.isin(np.arange(len(one.scores)), one.chosen.numpy())
        width = 0.7 * (film.seconds[1] if len(film) > 1 else 1.0)
        panel.bar(seconds, one.scores.numpy(), width=width, color=np.where(chosen, ORANGE, BLUE))
        panel.set(ylim=(0, 1.08), ylabel="score")
        panel.set_title(question, fontsize=8, loc="left")
    panels[-1, 0].set_xlabel("seconds")
    return figure
