"""Which training sets are worth a cache of features, and which are encoded anew whenever they are read.

Both ways cost in proportion to the frames: a cache its terabytes, encoding on the fly a pass of the encoder for every
read but the first. So it is the reads that decide: the samples of all trainings of a profile for each of its media.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dynfocus.planning.models import backbones
from dynfocus.planning.rates import Gpu, encoding_seconds
from dynfocus.planning.sizes import set_size
from dynfocus.planning.work import feature_gigabytes
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.step import Step
from dynfocus.steps.table import TrainAlignment, TrainInstruction

HOURS_PER_TERABYTE = 30
"""GPU hours that a terabyte of fast shared storage is worth for the months of a reproduction."""
SMALL = 0.02
"""Terabytes below which a cache is no matter."""
HOUR, GIGABYTES = 3600, 1000


@dataclass(frozen=True)
class Encoding:
    """One training set: its `frames`, how often all `trainings` together read each (`reads`), and both ways.

    `terabytes` and `hours_cached` of a cache, `hours_live` of encoding at every read (GPU hours of the encoder alone);
    `measured`: a report item reads its features, so they are stored anyway; `live`: on the fly is the better way.
    """

    set: str
    frames: float
    trainings: int
    reads: float
    terabytes: float
    hours_cached: float
    hours_live: float
    measured: bool
    live: bool


def encodings(jobs: Jobs, steps: Iterable[Step], card: Gpu) -> list[Encoding]:
    """Every training set of the trainings among `steps`, the most terabytes first."""
    reads: dict[str, float] = {}
    trainings: dict[str, int] = {}
    for step in steps:
        if isinstance(step, TrainAlignment | TrainInstruction):
            run, stage = step.trained(jobs)
            settings = getattr(jobs.run(run), stage)
            for name in settings.datasets:
                size = set_size(jobs.config, name)
                reads[name] = reads.get(name, 0.0) + settings.epochs * size.samples / size.media
                trainings[name] = trainings.get(name, 0) + 1
    shown = (item for item in jobs.items if "features" in jobs.item(item).reads)
    measured = {name for item in shown for name in jobs.item_sets(item)}
    found = [_encoding(jobs, name, reads[name], trainings[name], name in measured, card) for name in reads]
    return sorted(found, key=lambda one: -one.terabytes)


def _encoding(jobs: Jobs, name: str, reads: float, trainings: int, measured: bool, card: Gpu) -> Encoding:
    frames = set_size(jobs.config, name).all_frames
    terabytes = feature_gigabytes(jobs.config, frames) / GIGABYTES
    once = encoding_seconds(frames * backbones(jobs.config).clip.gflops, card) / HOUR
    live = not measured and terabytes > SMALL and once * (reads - 1) <= HOURS_PER_TERABYTE * terabytes
    return Encoding(name, frames, trainings, reads, terabytes, once, once * reads, measured, live)
