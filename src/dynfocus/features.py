"""What the frozen visual encoder sees: extraction, and the store that holds it.

A shard is one safetensors file: `{medium}` holds features (T, N, d), `{medium}.frames` the indices
(T,) of the sampled frames. Media are paths relative to `data/{set}/`; an image is T = 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import save_file

from dynfocus.backbones import clip
from dynfocus.config.schema import Config, Video
from dynfocus.datasets.media import IMAGE_SUFFIXES, locate, media_of
from dynfocus.datasets.registry import TRAINING_SETS, load_records
from dynfocus.errors import UserError
from dynfocus.network.vision import load_vision_tower
from dynfocus.video import sample_frames

FRAMES = ".frames"
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
READ_AHEAD = 4
"""Media decoded by other threads while the encoder is busy."""


class FeatureStore:
    """The features of one set, read from memory-mapped shards."""

    def __init__(self, folder: Path | str):
        self._folder = Path(folder)
        self._shards = [safe_open(path, framework="pt") for path in sorted(self._folder.glob("*.safetensors"))]
        self._where = {
            key: shard
            for shard in self._shards
            for key in shard.keys()  # noqa: SIM118 (the handle is not iterable)
            if not key.endswith(FRAMES)
        }

    def __contains__(self, medium: str) -> bool:
        return medium in self._where

    def ids(self) -> list[str]:
        """Every medium in the store."""
        return list(self._where)

    def get(self, medium: str) -> torch.Tensor:
        """Features (T, N, d) of a medium, in the type in which they are stored."""
        return self._shard(medium).get_tensor(medium)

    def frames(self, medium: str) -> torch.Tensor:
        """Indices (T,) of the frames that the features belong to."""
        return self._shard(medium).get_tensor(medium + FRAMES)

    def _shard(self, medium: str):
        if medium not in self._where:
            raise UserError(f"{self._folder}: no features of {medium}; run `dynfocus extract-features` for this set")
        return self._where[medium]


def media_of_set(name: str, folder: Path) -> list[str]:
    """Every video and image that a training set or benchmark uses, in the order of its files."""
    if name in TRAINING_SETS:
        return media_of(load_records(name, folder))
    from dynfocus.evaluation.benchmarks import benchmark

    return list(dict.fromkeys(question.video for question in benchmark(name).load(folder)))


def extract(config: Config, name: str, data: Path, clip_dir: Path, out: Path, shard: int, num_shards: int) -> None:
    """Write shard `shard` of `num_shards` of a set's features.

    Media that are not there or cannot be read are named on standard error and left out; if fewer than
    `video.min_readable` of the shard's media remain, nothing is written and a UserError says so.
    """
    torch.set_num_threads(config.hardware.threads)
    device = torch.device(config.hardware.device)
    tower = load_vision_tower(clip.load(clip_dir).visual, config.backbones.clip.layer).to(device)
    media = media_of_set(name, data)[shard::num_shards]
    features: dict[str, torch.Tensor] = {}
    faults: list[str] = []
    with Progress(refresh_per_second=1) as progress:
        task = progress.add_task(f"features of {name}", total=len(media))
        for medium, pixels, indices in read_media(data, media, config.video):
            progress.update(task, advance=1)
            if isinstance(pixels, UserError):
                faults.append(str(pixels))
                print(f"{name}: {pixels}", file=sys.stderr)
                continue
            seen = tower.videos(clip.normalize(pixels).to(device)[None])[0]
            features[medium] = seen.to("cpu", DTYPES[config.feature_precision]).contiguous()
            features[medium + FRAMES] = torch.from_numpy(indices)
    if media and (len(media) - len(faults)) / len(media) < config.video.min_readable:
        raise UserError(
            f"{name}: {len(faults)} of {len(media)} media cannot be read (video.min_readable is "
            f"{config.video.min_readable}); first: {faults[0]}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_suffix(".partial")
    save_file(features, unfinished, metadata={"unreadable": json.dumps(faults)})
    unfinished.replace(out)


def read_media(
    data: Path, media: list[str], video: Video
) -> Iterator[tuple[str, np.ndarray | UserError, np.ndarray | None]]:
    """(medium, frames (T, S, S, 3) uint8 or what is wrong with it, frame indices (T,)), decoded ahead by threads."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        waiting = []
        for medium in media:
            waiting.append((medium, pool.submit(read_medium, data, medium, video)))
            if len(waiting) > READ_AHEAD:
                yield _finished(*waiting.pop(0))
        for item in waiting:
            yield _finished(*item)


def _finished(medium, future) -> tuple[str, np.ndarray | UserError, np.ndarray | None]:
    try:
        return medium, *future.result()
    except UserError as error:
        return medium, error, None


def read_medium(data: Path, medium: str, video: Video) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, S, S, 3) uint8 of a video, or (1, S, S, 3) of an image, and their indices."""
    path = locate(data, medium)
    if path is None:
        raise UserError(f"{data / medium}: missing; fetch the set again")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        frames, indices = sample_frames(path, video)
        return np.stack([fit(Image.fromarray(frame), video.image_size) for frame in frames]), indices
    try:
        with Image.open(path) as image:
            return fit(pad(image.convert("RGB")), video.image_size)[None], np.zeros(1, dtype=np.int64)
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace the file") from error


def pad(image: Image.Image) -> Image.Image:
    """An image made square with CLIP's mean colour; videos are not padded."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(round(255 * value) for value in clip.MEAN.flatten().tolist()))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def fit(image: Image.Image, size: int) -> np.ndarray:
    """CLIP's preprocessing before normalisation: shortest edge to `size`, bicubic, centre crop; (S, S, 3) uint8."""
    if image.size == (size, size):
        return np.asarray(image)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))
