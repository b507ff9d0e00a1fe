"""The mini world's counterparts of every training set and benchmark, in the official files.

`prepare` renders the films of one set and writes its annotations; the readers of the real sets
read them unchanged. Sets never share a film: each draws its seeds from a range of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Literal, cast
from zlib import Z_RLE

from PIL import Image
from rich.progress import Progress

from dynfocus.config.extensions import installed
from dynfocus.config.schema import Config, World
from dynfocus.errors import UserError
from dynfocus.world import benchmark_sets, training_sets
from dynfocus.world.films import BEAT_SECONDS, CLIP_BEATS, SCENE_BEATS, Film, make_clip, make_film
from dynfocus.world.render import film_frames, show_frame, write_mp4
from dynfocus.world.seeds import film_seeds

Annotate = Callable[[list[Film], Path, random.Random], dict[Path, Film]]


@dataclass(frozen=True)
class WorldSet:
    """How a set is made: its writer, the setting of `World` with the number of its media, (scenes, stretch) in turn.

    The writer puts the annotation files into a folder and returns which film each medium shows. Without `lengths` the
    films are clips; `times` multiplies the number.
    """

    annotate: Annotate
    count: Literal["train_clips", "train_films", "extra_films", "train_images", "test_films"]
    lengths: Sequence[tuple[int, int]] = ((1, 1),)
    times: int = 1

    def media(self, world: World) -> int:
        """Number of films or images in a world."""
        return getattr(world, self.count) * self.times

    def films(self, name: str, world: World) -> list[Film]:
        """The films of the set of this name in a world."""
        seeds = film_seeds(name, world.seed, self.media(world))
        if not self.lengths:
            return [make_clip(seed) for seed in seeds]
        return [make_film(seed, *length) for seed, length in zip(seeds, cycle(self.lengths), strict=False)]

    @property
    def seconds(self) -> float:
        """Mean length of a film."""
        beats = [SCENE_BEATS * scenes * stretch for scenes, stretch in self.lengths]
        return BEAT_SECONDS * fmean(beats or [CLIP_BEATS])


SETS = {
    "webvid_cap": WorldSet(training_sets.webvid_cap, "train_clips", ()),
    "llava_cc3m": WorldSet(training_sets.llava_cc3m, "train_images"),
    "videochatgpt": WorldSet(training_sets.videochatgpt, "train_films", ((1, 1), (1, 1), (2, 1), (1, 1))),
    "llava_625k": WorldSet(training_sets.llava_625k, "train_images"),
    "scienceqa": WorldSet(training_sets.scienceqa, "train_images"),
    "clevrer": WorldSet(training_sets.clevrer, "extra_films"),
    "nextqa": WorldSet(training_sets.nextqa, "extra_films", ((1, 1), (2, 1))),
    "webvid_qa": WorldSet(training_sets.webvid_qa, "extra_films"),
    "llava_video_cap": WorldSet(training_sets.llava_video_cap, "train_films", ((1, 1), (1, 2))),
    "msvd_qa": WorldSet(benchmark_sets.zero_shot_qa, "test_films", times=5),
    "msrvtt_qa": WorldSet(benchmark_sets.zero_shot_qa, "test_films", ((1, 1), (1, 2))),
    "activitynet_qa": WorldSet(benchmark_sets.activitynet_qa, "test_films", ((1, 2), (2, 1))),
    "vcg_bench": WorldSet(benchmark_sets.vcg_bench, "test_films", ((1, 1), (1, 2))),
    "video_mme": WorldSet(benchmark_sets.video_mme, "test_films", ((1, 1), (2, 1), (4, 1)), times=3),
    "lvbench": WorldSet(benchmark_sets.lvbench, "test_films", ((2, 2),)),
    "mlvu": WorldSet(benchmark_sets.mlvu, "test_films", ((3, 1),)),
    "mlvu_test": WorldSet(benchmark_sets.mlvu_test, "test_films", ((3, 1),)),
    "videohallucer": WorldSet(benchmark_sets.videohallucer, "test_films"),
    "scienceqa_test": WorldSet(partial(training_sets.scienceqa, split="test"), "test_films"),
    "nextqa_test": WorldSet(partial(training_sets.nextqa, split="test"), "test_films", ((1, 1), (2, 1))),
}


def world_set(name: str) -> WorldSet:
    """How the mini world makes a set of this package, or of another one that names it in `dynfocus.world_sets`."""
    if name in SETS:
        return SETS[name]
    others = {point.name: point for point in installed("world_sets")}
    if name not in others:
        raise UserError(f"the mini world has no set {name}; it has {', '.join([*SETS, *others])}")
    return cast(WorldSet, others[name].load())


def prepare(config: Config, name: str, out: Path) -> None:
    """Render the media of a set and write its annotations below `out`."""
    made, world = world_set(name), config.world
    out.mkdir(parents=True, exist_ok=True)
    shown = made.annotate(made.films(name, world), out, random.Random(f"{name}-{world.seed}"))
    with Progress(refresh_per_second=1) as progress:
        task = progress.add_task(f"rendering {name}", total=len(shown))
        for path, film in shown.items():
            write_medium(out / path, film, world)
            progress.update(task, advance=1)


def write_medium(path: Path, film: Film, world: World) -> None:
    """A film as an mp4 file, or its frame with everything in it as an image file."""
    if path.suffix == ".mp4":
        write_mp4(path, film_frames(film, world.frame_size, world.frame_rate), world.frame_rate)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(show_frame(film, world.frame_size)).save(path, quality=95, compress_type=Z_RLE)
