"""Seeds of the films of every set and of the LLM's reading, never shared by two of them."""

from __future__ import annotations

RANGE = 1_000_000
SPLITS = (
    "reading",
    "webvid_cap",
    "llava_cc3m",
    "videochatgpt",
    "llava_625k",
    "scienceqa",
    "clevrer",
    "nextqa",
    "webvid_qa",
    "msvd_qa",
    "msrvtt_qa",
    "activitynet_qa",
    "vcg_bench",
    "video_mme",
    "lvbench",
    "mlvu",
    "mlvu_test",
    "videohallucer",
)


def film_seeds(split: str, world_seed: int, count: int) -> range:
    """`count` film seeds of a split in the world of a seed."""
    start = (world_seed * len(SPLITS) + SPLITS.index(split)) * RANGE
    return range(start, start + min(count, RANGE))
