"""Seeds of the films of every set and of the LLM's reading, never shared by two of them."""

from __future__ import annotations

from dynfocus.config.schema import DATASETS

RANGE = 1_000_000
SPLITS = ("reading", *DATASETS)


def film_seeds(split: str, world_seed: int, count: int) -> range:
    """`count` film seeds of a split in the world of a seed."""
    start = (world_seed * len(SPLITS) + SPLITS.index(split)) * RANGE
    return range(start, start + min(count, RANGE))
