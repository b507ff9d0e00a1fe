"""Films as pixels: (frames, H, W, 3) uint8 arrays and H.264 mp4 files, the same bytes on every processor.

Everything is drawn in integers, the colours are converted here and not by a library that has a fast path for some
processors, and x264 is told to decide independently of the processor. So no rounding can differ from one to another.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from dynfocus.world.films import BEAT_SECONDS, BOARD, Event, Film, Scene, Thing

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

BIG, SMALL = 10, 8
"""A frame is as wide as BIG thirds of an actor, and as SMALL things."""
COPY_SHARE = (17, 20)
"""Size of a copy of its shape on an actor, of a cell."""
PLATE = {None: (120, 120, 120), "jumps": (120, 120, 120), "rolls": (120, 120, 120), "grows": (200, 200, 200)}
PLATE |= {"blinks": (40, 40, 40)}
"""Colour of the plate that an actor is painted on, idle (None) and while it acts."""
STRIPES = {"jumps": 1, "rolls": 0}
"""Axis across the speed lines of an action."""
X264: dict[str, object] = {"preset": "veryfast", "crf": "20", "x264-params": "cpu-independent=1"}
BARS = 8
"""Bars of a card."""
ROUGH = 16
"""Largest step of the texture of a place, in grey levels."""
STAR = ((0, -98), (24, -33), (93, -30), (39, 13), (58, 79), (0, 41), (-58, 79), (-39, 13), (-93, -30), (-24, -33))
"""Corners (x, y) of a star, in hundredths of half its box."""


def inside_star(x: np.ndarray, y: np.ndarray, unit: int) -> np.ndarray:
    """Whether points lie inside the star, by the rays that cross its border; x, y and `unit` (half a box) integers."""
    within = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(STAR, (*STAR[1:], STAR[0]), strict=True):
        crosses = (100 * y < y1 * unit) != (100 * y < y2 * unit)
        side = (100 * x - x1 * unit) * (y2 - y1) - (100 * y - y1 * unit) * (x2 - x1)
        within ^= crosses & ((side < 0) == (y2 > y1))
    return within


@lru_cache(maxsize=512)
def shape_mask(shape: str, size: int) -> np.ndarray:
    """Coverage (size, size) of a shape in sixteenths, 4 × 4 supersampled, integers.

    Points have odd integer coordinates in a box of half side `unit`; limits are in hundredths of it.
    """
    unit = 4 * size
    axis = 2 * np.arange(4 * size, dtype=np.int64) + 1 - unit
    x, y = np.meshgrid(axis, axis)
    square = 10_000 * (x * x + y * y)
    wide, longest = 100 * abs(x), 100 * np.maximum(abs(x), abs(y))
    inside = {
        "circle": square < (95 * unit) ** 2,
        "square": longest < 82 * unit,
        "triangle": (100 * y < 85 * unit) & (100 * wide < 53 * (100 * y + 95 * unit)),
        "star": inside_star(x, y, unit),
        "cross": ((wide < 30 * unit) | (100 * abs(y) < 30 * unit)) & (longest < 95 * unit),
        "ring": (square < (95 * unit) ** 2) & (square > (55 * unit) ** 2),
        "diamond": 13 * abs(x) + 10 * abs(y) < 970 * unit // 100,
        "heart": (100 * y < 55 * unit - wide + 30 * unit)
        & (longest < 95 * unit)
        & (
            (10_000 * ((abs(x) - 45 * unit // 100) ** 2 + (y + 30 * unit // 100) ** 2) < (50 * unit) ** 2)
            | (10 * y > -3 * unit)
        ),
    }[shape]
    return inside.reshape(size, 4, size, 4).sum(axis=(1, 3))


def jitter(rng: random.Random, size: int) -> int:
    """A tenth of a cell at most, to either side, in pixels."""
    most = size // BOARD // 10
    return rng.randint(-most, most)


def background(place: str, size: int, rng: random.Random) -> np.ndarray:
    """Sky over ground with a rough texture, (size, size, 3) integers."""
    horizon = size * rng.randint(35, 55) // 100
    canvas = np.empty((size, size, 3), dtype=np.int32)
    canvas[:horizon], canvas[horizon:] = GROUND[place]
    steps = [[rng.randint(-ROUGH, ROUGH) // 2 + rng.randint(-ROUGH, ROUGH) // 2 for _ in range(8)] for _ in range(8)]
    coarse = np.array(steps).repeat(-(-size // 8), 0).repeat(-(-size // 8), 1)[:size, :size]
    return (canvas + coarse[:, :, None]).clip(0, 255)


def card(size: int, rng: random.Random) -> np.ndarray:
    """A full frame of muted bars that stand or lie, (size, size, 3) uint8."""
    bars = np.array([[rng.randint(60, 200) for _ in range(3)] for _ in range(BARS)], dtype=np.uint8)
    rows = bars.repeat(-(-size // BARS), 0)[:size]
    frame = np.broadcast_to(rows[:, None], (size, size, 3))
    return np.ascontiguousarray(frame if rng.randrange(2) else frame.transpose(1, 0, 2))


def draw(canvas: np.ndarray, shape: str, color: str, center: tuple[int, ...], size: int) -> None:
    """Paint one shape onto the canvas, clipped at its border; center is (row, column) in pixels."""
    top, left = center[0] - size // 2, center[1] - size // 2
    rows = slice(max(top, 0), min(top + size, canvas.shape[0]))
    columns = slice(max(left, 0), min(left + size, canvas.shape[1]))
    alpha = shape_mask(shape, size)[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    under = canvas[rows, columns]
    canvas[rows, columns] = under + alpha[:, :, None] * (np.array(RGB[color]) - under) // 16


def draw_actor(
    canvas: np.ndarray, shape: str, color: str, action: str | None, center: tuple[int, ...], side: int
) -> None:
    """Paint a big thing: a plate that carries its shape again and again, once per cell of the lattice.

    `center` (row, column) and `side` are in pixels; None is idle. An action shows by itself on the plate, as it does in
    cartoons: speed lines, a bright plate where it grows, and a dark and empty one where it blinks.
    """
    size = len(canvas)
    (top, left), (bottom, right) = ([min(max(at + end, 0), size) for at in center] for end in (-side // 2, side // 2))
    plate = canvas[top:bottom, left:right]
    plate[:] = PLATE[action]
    if action in STRIPES:
        np.moveaxis(plate, STRIPES[action], 0)[::4] = PLATE["grows"]
    copies = 0 if action == "blinks" else max(1, side * BOARD // size)
    offsets = [(2 * number - copies + 1) * size // (2 * BOARD) for number in range(copies)]
    for down in offsets:
        for right in offsets:
            place = (center[0] + down, center[1] + right)
            draw(canvas, shape, color, place, size * COPY_SHARE[0] // (BOARD * COPY_SHARE[1]))


def place_actor(action: str | None, step: int, steps: int, size: int) -> tuple[tuple[int, int], int]:
    """Center and side of the actor, in pixels, at a step of its action: away and back along a parabola."""
    row, column, side = size // 2, size // 2, size * 3 // BIG
    rise = 4 * step * (steps - step)
    if action == "jumps":
        row -= 29 * size * rise // (100 * steps * steps)
    elif action == "rolls":
        half = 2 * step if 2 * step <= steps else 2 * step - steps
        sway = 4 * half * (steps - half) * (1 if 2 * step <= steps else -1)
        column += 29 * size * sway // (100 * steps * steps)
    elif action == "grows":
        side += 9 * side * rise // (10 * steps * steps)
    return (row, column), side


@dataclass(frozen=True)
class Stage:
    """A scene of a film ready to be shot: its empty background, where exactly its small things stand, its cards."""

    scene: Scene
    still: np.ndarray
    centers: dict[Thing, tuple[int, ...]]
    cards: dict[Event, np.ndarray]

    @classmethod
    def build(cls, scene: Scene, size: int, rng: random.Random) -> Stage:
        still = background(scene.place, size, rng)
        centers = {
            thing: tuple((2 * axis + 1) * size // (2 * BOARD) + jitter(rng, size) for axis in thing.cell or ())
            for thing in scene.things
        }
        return cls(scene, still, centers, {event: card(size, rng) for event in scene.events if event.card})

    def frame(self, beat: int, step: int, steps: int) -> np.ndarray:
        """The frame (size, size, 3) uint8 at a step of the `steps` of a beat."""
        event = self.scene.at(beat) or Event(beat, beat + 1)
        if event.card:
            return self.cards[event]
        size, actor = len(self.still), self.scene.actor
        canvas = self.still.copy()
        passed = (beat - event.start) * steps + step
        where, side = place_actor(event.action, passed, len(event.beats) * steps, size)
        draw_actor(canvas, actor.shape, actor.color, event.action, where, side)
        for thing in event.things:
            draw(canvas, thing.shape, thing.color, self.centers[thing], size // SMALL)
        return canvas.astype(np.uint8)


def film_frames(film: Film, size: int, rate: int) -> Iterator[np.ndarray]:
    """All frames (size, size, 3) uint8 of a film, `rate` a second; the film's seed fixes texture and positions."""
    rng, steps = random.Random(f"pixels-{film.seed}"), BEAT_SECONDS * rate
    for scene in film.scenes:
        stage = Stage.build(scene, size, rng)
        for beat in range(scene.beats):
            for step in range(steps):
                yield stage.frame(beat, step, steps)


def show_frame(film: Film, size: int) -> np.ndarray:
    """A still (size, size, 3) uint8 of the first scene with its small things in view."""
    scene = film.scenes[0]
    return Stage.build(scene, size, random.Random(f"pixels-{film.seed}")).frame(scene.show.start, 0, 1)


def to_yuv(frame: np.ndarray) -> np.ndarray:
    """Planes (3, H, W) uint8 of a frame (H, W, 3) uint8: BT.601 in its limited range, by the usual integer formula."""
    red, green, blue = np.moveaxis(frame.astype(np.int32), -1, 0)
    luma = (66 * red + 129 * green + 25 * blue + 128 >> 8) + 16
    cb = (-38 * red - 74 * green + 112 * blue + 128 >> 8) + 128
    cr = (112 * red - 94 * green - 18 * blue + 128 >> 8) + 128
    return np.stack([luma, cb, cr]).astype(np.uint8)


def write_mp4(path: Path, frames: Iterator[np.ndarray], rate: int) -> None:
    """Encode frames (H, W, 3) uint8 as H.264 in an mp4 file; the same bytes in any process on any processor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: av.VideoStream | None = None
        for array in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = array.shape[:2]
                stream.pix_fmt = "yuv444p"
                stream.codec_context.thread_count = 1
                stream.options = X264
            container.mux(stream.encode(av.VideoFrame.from_ndarray(to_yuv(array), format="yuv444p")))
        assert stream is not None, "a film has frames"
        container.mux(stream.encode())
