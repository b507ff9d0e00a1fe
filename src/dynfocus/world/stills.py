"""Still images, captions that name everything in them, and regions: what a CLIP of the mini world learns from.

Regions are the counterpart of Visual Genome's region descriptions: cells of the lattice with the
phrase for what they show, the place where they show nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynfocus.world.films import ACTIONS, BOARD, COLORS, PLACES, SHAPES
from dynfocus.world.render import SMALL, background, draw, draw_actor

MAX_THINGS = 12
BIG_COPIES = 4
"""Most copies of its shape along a side of a big thing."""
PLATE_RIM = 0.4
"""Width of the rim of a big thing's plate, on both sides together, in cells."""
BIG_CELLS = 3
"""Cells of the big thing that a still describes."""
ACTING_SHARE = 0.6
"""Share of the big things that act."""
EMPTY_CELLS = 2
"""Cells without a thing that a still describes by its place."""


@dataclass(frozen=True)
class Still:
    """An image (H, W, 3) uint8, its caption, and (cell, phrase) of some of its cells, counted row by row."""

    image: np.ndarray
    caption: str
    regions: list[tuple[int, str]]


def still(rng: np.random.Generator, size: int) -> Still:
    """A place with at most one big and a few small things, anywhere."""
    place = str(rng.choice(PLACES))
    canvas = background(place, size, rng)
    shown: dict[int, str] = {}
    names = []
    if rng.random() < 0.7:
        color, shape = str(rng.choice(COLORS)), str(rng.choice(SHAPES))
        action = str(rng.choice(ACTIONS)) if rng.random() < ACTING_SHARE else None
        copies = int(rng.integers(1, BIG_COPIES + 1))
        side = (copies + PLATE_RIM) / BOARD
        center = (rng.integers(0, BOARD - copies + 1, 2) + copies / 2 + rng.uniform(-0.1, 0.1, 2)) / BOARD
        draw_actor(canvas, shape, color, action, tuple(center), side)
        names.append(describe_actor(color, shape, action))
        cells = covered(center, side)
        shown.update(dict.fromkeys(map(int, rng.choice(cells, min(BIG_CELLS, len(cells)), replace=False)), names[-1]))
    for cell in map(int, rng.choice(BOARD**2, rng.integers(1, MAX_THINGS + 1), replace=False)):
        color, shape = str(rng.choice(COLORS)), str(rng.choice(SHAPES))
        center = (np.array(divmod(cell, BOARD)) + 0.5 + rng.uniform(-0.1, 0.1, 2)) / BOARD
        draw(canvas, shape, color, tuple(center * size), round(SMALL * size))
        names.append(f"a small {color} {shape}")
        shown[cell] = names[-1]
    empty = [cell for cell in range(BOARD**2) if cell not in shown]
    shown.update(dict.fromkeys(map(int, rng.choice(empty, EMPTY_CELLS)), f"the {place}"))
    image = canvas.clip(0, 255).astype(np.uint8)
    return Still(image, f"{', '.join(names)} in the {place}", list(shown.items()))


def describe_actor(color: str, shape: str, action: str | None) -> str:
    """What can be seen of a big thing; while it blinks, that it blinks."""
    if action == "blinks":
        return "a big thing blinks"
    return f"a big {color} {shape}" if action is None else f"a big {color} {shape} {action}"


def covered(center: np.ndarray, side: float) -> list[int]:
    """Cells whose middle lies in a square box; center (row, column) and side are shares of the frame."""
    middles = (np.arange(BOARD) + 0.5) / BOARD
    rows, columns = (np.flatnonzero(abs(middles - axis) < side / 2) for axis in center)
    return [int(row * BOARD + column) for row in rows for column in columns]
