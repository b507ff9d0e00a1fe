"""Still images, captions that name everything in them, and regions: what a CLIP of the mini world learns from.

Regions are the counterpart of Visual Genome's region descriptions: cells of the lattice with the
phrase for what they show and where, the place where they show nothing else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from dynfocus.world.films import ACTIONS, BOARD, CARD, COLORS, PLACES, SHAPES, SIDES
from dynfocus.world.render import SMALL, background, card, draw, draw_actor, jitter

MAX_THINGS = 12
BIG_COPIES = 4
"""Most copies of its shape along a side of a big thing."""
BIG_CELLS = 3
"""Cells of the big thing that a still describes."""
EMPTY_CELLS = 2
"""Cells without a thing that a still describes by its place."""
TENTHS_BIG, TENTHS_ACTING, TWENTIETHS_CARD = 7, 6, 1
"""How many of ten stills have a big thing, of ten big things act, and of twenty stills are a card."""


@dataclass(frozen=True)
class Still:
    """An image (H, W, 3) uint8, its caption, and (cell, phrase) of some of its cells, counted row by row.

    `decoys` are phrases that put its small things on the sides where they are not.
    """

    image: np.ndarray
    caption: str
    regions: list[tuple[int, str]]
    decoys: tuple[str, ...] = ()


def still(rng: random.Random, size: int) -> Still:
    """A place with at most one big and a few small things, anywhere; now and then a card."""
    if rng.randrange(20) < TWENTIETHS_CARD:
        return Still(card(size, rng), f"a {CARD}", [(cell, f"a {CARD}") for cell in rng.sample(range(BOARD**2), 3)])
    place = rng.choice(PLACES)
    canvas = background(place, size, rng)
    shown: dict[int, str] = {}
    names, decoys = [], []
    if rng.randrange(10) < TENTHS_BIG:
        color, shape = rng.choice(COLORS), rng.choice(SHAPES)
        action = rng.choice(ACTIONS) if rng.randrange(10) < TENTHS_ACTING else None
        copies = rng.randint(1, BIG_COPIES)
        row, column = (rng.randint(0, BOARD - copies) for _ in range(2))
        cell = size // BOARD
        center = tuple((2 * first + copies) * cell // 2 + jitter(rng, size) for first in (row, column))
        draw_actor(canvas, shape, color, action, center, (copies * 5 + 2) * cell // 5)
        names.append(describe_actor(color, shape, action))
        cells = [BOARD * (row + down) + column + right for down in range(copies) for right in range(copies)]
        shown.update(dict.fromkeys(rng.sample(cells, min(BIG_CELLS, len(cells))), names[-1]))
    for number in rng.sample(range(BOARD**2), rng.randint(1, MAX_THINGS)):
        color, shape = rng.choice(COLORS), rng.choice(SHAPES)
        center = tuple((2 * axis + 1) * size // (2 * BOARD) + jitter(rng, size) for axis in divmod(number, BOARD))
        draw(canvas, shape, color, center, size // SMALL)
        side = standing(number)
        names.append(f"a small {color} {shape}{side}")
        decoys += [f"a small {color} {shape} {other}" for other in SIDES if side and other not in side]
        shown[number] = names[-1]
    empty = [number for number in range(BOARD**2) if number not in shown]
    shown.update(dict.fromkeys(rng.choices(empty, k=EMPTY_CELLS), f"the {place}"))
    return Still(canvas.astype(np.uint8), f"{', '.join(names)} in the {place}", list(shown.items()), tuple(decoys))


def standing(number: int) -> str:
    """Words for the side of the frame that a cell lies on; none for the middle and the corners."""
    row, column = divmod(number, BOARD)
    last = BOARD - 1
    sides = [name for name, at in (("left", column == 0), ("right", column == last)) if at]
    sides += [name for name, at in (("top", row == 0), ("bottom", row == last)) if at]
    return f" {sides[0]}" if len(sides) == 1 else ""


def describe_actor(color: str, shape: str, action: str | None) -> str:
    """What can be seen of a big thing; while it blinks, that it blinks."""
    if action == "blinks":
        return "a big thing blinks"
    return f"a big {color} {shape}" if action is None else f"a big {color} {shape} {action}"
