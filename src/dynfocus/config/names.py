"""The names of training sets and benchmarks, and where each is implemented.

The one list of both: the configuration checks names against it, the registries (`datasets.registry.training_set`,
`evaluation.benchmarks.benchmark`) import `module:attribute` when a set is used. Nothing heavy is imported here.
A new name goes to the end of its list: the mini world draws each set's films by its place. Other installed packages add
theirs by entry points of the groups `dynfocus.training_sets` and `dynfocus.benchmarks` (docs/new_package.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dynfocus.config.extensions import installed

TRAINING_SETS: dict[str, str] = {
    "webvid_cap": "dynfocus.datasets.webvid:WEBVID_CAP",
    "llava_cc3m": "dynfocus.datasets.llava:LLAVA_CC3M",
    "videochatgpt": "dynfocus.datasets.videochatgpt:VIDEOCHATGPT",
    "llava_625k": "dynfocus.datasets.llava:LLAVA_625K",
    "scienceqa": "dynfocus.datasets.scienceqa:SCIENCEQA",
    "clevrer": "dynfocus.datasets.clevrer:CLEVRER",
    "nextqa": "dynfocus.datasets.nextqa:NEXTQA",
    "webvid_qa": "dynfocus.datasets.videochat2:WEBVID_QA",
    "llava_video_cap": "dynfocus.datasets.llava:LLAVA_VIDEO_CAP",
}
"""Training sets: a `datasets.records.TrainingSet` each."""

CROPPED_IMAGES = ("llava_cc3m",)
"""Sets of stage 1 whose images are cropped; all other images are padded to a square."""

BENCHMARKS: dict[str, str] = {
    "msvd_qa": "dynfocus.evaluation.benchmarks.short_answer:MsvdQa",
    "msrvtt_qa": "dynfocus.evaluation.benchmarks.short_answer:MsrvttQa",
    "activitynet_qa": "dynfocus.evaluation.benchmarks.short_answer:ActivityNetQa",
    "vcg_bench": "dynfocus.evaluation.benchmarks.vcg_bench:VcgBench",
    "video_mme": "dynfocus.evaluation.benchmarks.video_mme:VideoMme",
    "lvbench": "dynfocus.evaluation.benchmarks.lvbench:LvBench",
    "mlvu": "dynfocus.evaluation.benchmarks.mlvu:Mlvu",
    "mlvu_test": "dynfocus.evaluation.benchmarks.mlvu:MlvuTest",
    "videohallucer": "dynfocus.evaluation.benchmarks.videohallucer:VideoHallucer",
    "scienceqa_test": "dynfocus.evaluation.benchmarks.scienceqa:ScienceQaTest",
    "nextqa_test": "dynfocus.evaluation.benchmarks.nextqa:NextQaTest",
}
"""Benchmarks: a subclass of `evaluation.benchmarks.Benchmark` each."""

OWN_SETS = (*TRAINING_SETS, *BENCHMARKS)
"""The sets of this package; those of others never move them."""

for _names, _kind in ((TRAINING_SETS, "training_sets"), (BENCHMARKS, "benchmarks")):
    _names |= {point.name: point.value for point in installed(_kind) if point.name not in OWN_SETS}


def imported(place: str) -> Any:
    """The object at `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
