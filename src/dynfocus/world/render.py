"""Films as pixels: (frames, H, W, 3) uint8 arrays and H.264 mp4 files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from dynfocus.world.films import BOARD, Film, Scene, Thing

RGB = {
    "red": (214, 32, 38),
    "green": (36, 150, 52),
    "blue": (36, 74, 210),
    "yellow": (244, 222, 40),
    "purple": (142, 44, 166),
    "orange": (246, 138, 24),
    "white": (252, 252, 252),
    "black": (12, 12, 12),
}
GROUND = {
    "beach": ((168, 200, 214), (206, 190, 150)),
    "forest": ((148, 168, 150), (96, 118, 92)),
    "street": ((172, 176, 186), (116, 116, 122)),
    "desert": ((206, 188, 164), (188, 148, 116)),
    "snow": ((186, 196, 212), (216, 222, 228)),
    "cave": ((84, 78, 92), (110, 96, 98)),
}
"""Sky and ground colour of each place: muted, so that no thing hides in it."""

BIG, SMALL = 0.3, 0.125
"""Side of an actor and of a thing, as shares of the frame."""
PLATE = {None: (120, 120, 120), "jumps": (120, 120, 120), "rolls": (120, 120, 120), "grows": (200, 200, 200)}
PLATE |= {"blinks": (40, 40, 40)}
"""Colour of the plate that an actor is painted on, idle (None) and while it acts."""
STRIPES = {"jumps": 1, "rolls": 0}
"""Axis across the speed lines of an action."""


def star_radius(angle: np.ndarray, outer: float = 0.98, inner: float = 0.42) -> np.ndarray:
    """Distance from the center to the border of a five-pointed star, by angle from the upward tip."""
    half = np.pi / 5
    offset = abs((angle + half) % (2 * half) - half)
    return outer * inner * np.sin(half) / (outer * np.sin(offset) + inner * np.sin(half - offset))


@lru_cache(maxsize=512)
def shape_mask(shape: str, size: int) -> np.ndarray:
    """Coverage (size, size) in [0, 1] of a shape, 4 × 4 supersampled."""
    axis = (np.arange(4 * size) + 0.5) / (2 * size) - 1
    x, y = np.meshgrid(axis, axis)
    radius, angle = np.hypot(x, y), np.arctan2(x, -y)
    inside = {
        "circle": radius < 0.95,
        "square": np.maximum(abs(x), abs(y)) < 0.82,
        "triangle": (y < 0.85) & (abs(x) < (y + 0.95) * 0.53),
        "star": radius < star_radius(angle),
        "cross": ((abs(x) < 0.3) | (abs(y) < 0.3)) & (np.maximum(abs(x), abs(y)) < 0.95),
        "ring": (radius < 0.95) & (radius > 0.55),
        "diamond": abs(x) * 1.3 + abs(y) < 0.97,
        "heart": (x**2 + (y * 1.05 - 0.1 + 0.62 * np.sqrt(abs(x))) ** 2 < 0.78),
    }[shape]
    return inside.reshape(size, 4, size, 4).mean(axis=(1, 3)).astype(np.float32)


def background(place: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Sky over ground with a rough texture, (size, size, 3) float."""
    sky, ground = (np.array(color, dtype=np.float32) for color in GROUND[place])
    horizon = int(size * rng.uniform(0.35, 0.55))
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:horizon], canvas[horizon:] = sky, ground
    coarse = rng.normal(0, 7, (8, 8)).repeat(-(-size // 8), 0).repeat(-(-size // 8), 1)[:size, :size]
    return canvas + coarse[:, :, None]


def draw(canvas: np.ndarray, shape: str, color: str, center: tuple[float, float], size: int) -> None:
    """Paint one shape onto the canvas, clipped at its border; center is (row, column) in pixels."""
    top, left = round(center[0] - size / 2), round(center[1] - size / 2)
    rows = slice(max(top, 0), min(top + size, canvas.shape[0]))
    columns = slice(max(left, 0), min(left + size, canvas.shape[1]))
    alpha = shape_mask(shape, size)[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    canvas[rows, columns] += alpha[:, :, None] * (np.array(RGB[color], dtype=np.float32) - canvas[rows, columns])


def draw_actor(
    canvas: np.ndarray, shape: str, color: str, action: str | None, center: tuple[float, float], side: float
) -> None:
    """Paint a big thing: a plate that carries its shape again and again, once per cell of the lattice.

    `center` (row, column) and `side` are shares of the frame; None is idle. An action shows by itself on the plate, as
    it does in cartoons: speed lines, a bright plate where it grows, and a dark and empty one where it blinks.
    """
    size = len(canvas)
    first, last = (np.clip(np.round((np.array(center) + side * sign / 2) * size), 0, size) for sign in (-1, 1))
    plate = canvas[int(first[0]) : int(last[0]), int(first[1]) : int(last[1])]
    plate[:] = PLATE[action]
    if action in STRIPES:
        np.moveaxis(plate, STRIPES[action], 0)[::4] = PLATE["grows"]
    copies = 0 if action == "blinks" else max(1, int(side * BOARD))
    offsets = (np.arange(copies) - (copies - 1) / 2) / BOARD
    for row in center[0] + offsets:
        for column in center[1] + offsets:
            draw(canvas, shape, color, (row * size, column * size), round(size * SMALL * 0.85))


def place_actor(action: str, phase: float) -> tuple[tuple[float, float], float]:
    """Center and side of the actor at `phase` of its action, as shares of the frame."""
    row, column, side = 0.5, 0.5, BIG
    if action == "jumps":
        row -= 0.29 * np.sin(np.pi * phase)
    elif action == "rolls":
        column += 0.29 * np.sin(2 * np.pi * phase)
    elif action == "grows":
        side *= 1 + 0.9 * np.sin(np.pi * phase)
    return (row, column), side


@dataclass(frozen=True)
class Set:
    """A scene of a film ready to be shot: its empty background and where exactly its small things stand."""

    film: Film
    scene: Scene
    still: np.ndarray
    centers: dict[Thing, tuple[float, float]]

    @classmethod
    def build(cls, film: Film, scene: Scene, size: int, rng: np.random.Generator) -> Set:
        still = background(scene.place, size, rng)
        centers = {
            thing: tuple((np.array(thing.cell) + 0.5 + rng.uniform(-0.1, 0.1, 2)) / BOARD * size)
            for thing in scene.things
        }
        return cls(film, scene, still, centers)

    def frame(self, second: float) -> np.ndarray:
        """The frame (size, size, 3) uint8 at a time of the scene."""
        scene, size = self.scene, len(self.still)
        act, show = self.film.event(scene.action_moment), self.film.event(scene.show_moment)
        canvas = self.still.copy()
        if act.start <= second < act.stop:
            action, where = scene.action, place_actor(scene.action, (second - act.start) / len(act))
        else:
            action, where = None, ((0.5, 0.5), BIG)
        draw_actor(canvas, scene.actor.shape, scene.actor.color, action, *where)
        if show.start <= second < show.stop:
            for thing, center in self.centers.items():
                draw(canvas, thing.shape, thing.color, center, round(size * SMALL))
        return canvas.clip(0, 255).astype(np.uint8)


def film_frames(film: Film, size: int, rate: int) -> Iterator[np.ndarray]:
    """All frames (size, size, 3) uint8 of a film, `rate` a second; the film's seed fixes texture and positions."""
    rng = np.random.default_rng(film.seed)
    for scene in film.scenes:
        stage = Set.build(film, scene, size, rng)
        for index in range(film.scene_seconds * rate):
            yield stage.frame(index / rate)


def show_frame(film: Film, size: int) -> np.ndarray:
    """A still (size, size, 3) uint8 of the first scene with its small things in view."""
    rng = np.random.default_rng(film.seed)
    show = film.event(film.scenes[0].show_moment)
    return Set.build(film, film.scenes[0], size, rng).frame((show.start + show.stop) / 2)


def write_mp4(path: Path, frames: Iterator[np.ndarray], rate: int) -> None:
    """Encode frames (H, W, 3) uint8 as H.264 in an mp4 file; single-threaded, so that bytes repeat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = None
        for array in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = array.shape[:2]
                stream.pix_fmt = "yuv444p"
                stream.codec_context.thread_count = 1
                stream.options = {"preset": "veryfast", "crf": "20"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
