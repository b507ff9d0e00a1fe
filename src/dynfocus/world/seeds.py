"""Seeds of the films of every set and of the LLM's reading, never shared by two of them."""

from __future__ import annotations

from hashlib import sha256

from dynfocus.config.names import OWN_SETS
from dynfocus.config.schema import LARGEST_SEED

RANGE = 1_000_000
SPLITS = ("reading", *OWN_SETS)
FIRST_OUTSIDE = (LARGEST_SEED + 1) * len(SPLITS)
"""The first range that no set of this package takes in the world of any seed."""


def film_seeds(split: str, world_seed: int, count: int) -> range:
    """`count` film seeds of a split in the world of a seed.

    A set of another package has a range by the hash of its name, so it moves the films of no other set.
    """
    if split in SPLITS:
        place = world_seed * len(SPLITS) + SPLITS.index(split)
    else:
        place = FIRST_OUTSIDE + int(sha256(f"{world_seed}/{split}".encode()).hexdigest()[:12], 16)
    return range(place * RANGE, place * RANGE + min(count, RANGE))
