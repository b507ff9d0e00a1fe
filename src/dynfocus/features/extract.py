"""What the frozen visual encoder sees, extracted into shards (`dynfocus.features.store`).

A shard is one safetensors file: `{medium}` holds features (T, N, d), `{medium}.frames` the indices (T,)
of the sampled frames, `{medium}.scale` what 8 bits are worth. Media are paths relative to `data/{set}/`;
an image is T = 1.

Threads decode ahead, the frames of several media go through the encoder together, and each medium is
appended to the shard as it is done: memory does not grow with the shard, and a killed job goes on.
One job a shard and a GPU a job: as many GPUs work at once as there are.

The store holds all N patches of a frame. The 38 tokens that clustering and pooling leave of it are no
substitute in any configuration with a text encoder, which reads all N patches under each question.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import Progress

from dynfocus.config.names import CROPPED_IMAGES
from dynfocus.config.schema import Config, Video
from dynfocus.datasets.media import IMAGE_SUFFIXES
from dynfocus.errors import MediumError, UserError
from dynfocus.features.decode import sample
from dynfocus.features.media import find, open_image
from dynfocus.features.precision import READ, pack
from dynfocus.features.store import ShardWriter
from dynfocus.network import clip
from dynfocus.network.vision import CLIP_MEAN, VisionTower, load_vision_tower

TOGETHER = {"cpu": 1, "cuda": 128}
"""Frames gathered for one pass: a GPU wants many, on a CPU each medium alone gives the same bits in any shard."""
READ_AHEAD = 2
"""Media per decoding thread that wait decoded for the encoder."""

Decoded = tuple[str, np.ndarray, np.ndarray]
"""A medium, its frames (T, S, S, 3) uint8 and their indices (T,)."""


def extract(
    config: Config, name: str, media: Sequence[str], data: Path, clip_dir: Path, out: Path, made_of: str
) -> None:
    """Write the features of some media of a set, one shard of them, or go on with it.

    `made_of` says what decides the shard; an unfinished one with another is begun anew.

    Media that are not there or cannot be read are named on standard error and left out; if fewer than
    `video.min_readable` of the shard's media remain, no shard is written and a UserError says so.
    """
    torch.set_num_threads(config.hardware.threads)
    device = torch.device(config.hardware.device)
    media = list(media)
    writer = ShardWriter(out, media, made_of)
    left = [medium for medium in media if medium not in writer.finished]
    if len(left) < len(media):
        print(f"{name}: going on after {len(media) - len(left)} of {len(media)} media", file=sys.stderr)
    tower = load_vision_tower(clip.load(clip_dir).visual, config.backbones.clip.layer)
    tower = tower.to(device, compute_type(config))
    with closing(writer), Progress(refresh_per_second=1) as progress:
        task = progress.add_task(f"features of {name}", total=len(media))
        decoded = read_media(data, left, config.video, config.hardware.threads, padding(name, tower.mean))
        readable = _noting_faults(name, writer, decoded)
        for group in gathered(readable, TOGETHER[device.type]):
            for (medium, _, indices), values in zip(group, encode(tower, group, device), strict=True):
                stored, scale = pack(values, config.feature_precision)
                writer.add(medium, stored, torch.from_numpy(indices), scale)
            progress.update(task, completed=writer.count)
        faults = list(writer.state.faults.values())
        if media and (len(media) - len(faults)) / len(media) < config.video.min_readable:
            raise UserError(
                f"{name}: {len(faults)} of {len(media)} media cannot be read (video.min_readable is "
                f"{config.video.min_readable}); first: {faults[0]}"
            )
        writer.finish()


def compute_type(config: Config) -> torch.dtype:
    """Type in which the encoder computes: half on a GPU where features are stored in half, as in the released code."""
    on_gpu = config.hardware.device == "cuda"
    return READ[config.feature_precision] if on_gpu else torch.float32


def encode(tower: VisionTower, group: list[Decoded], device: torch.device) -> Iterator[torch.Tensor]:
    """Features (T, N, d) of each medium of a group, all frames in common passes; pixels travel as bytes."""
    pixels = torch.from_numpy(np.concatenate([frames for _, frames, _ in group]))
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return iter(seen(tower, pixels).split([len(frames) for _, frames, _ in group]))


def seen(tower: VisionTower, pixels: torch.Tensor) -> torch.Tensor:
    """Features (T, N, d) of frames (T, S, S, 3) uint8 on the encoder's device."""
    weight = next(tower.parameters())
    return tower.videos(tower.normalise(pixels).to(weight.dtype)[None])[0]


def gathered(media: Iterable[Decoded], frames: int) -> Iterator[list[Decoded]]:
    """Media in groups of at least `frames` frames; the last group may have fewer."""
    group: list[Decoded] = []
    count = 0
    for item in media:
        group.append(item)
        count += len(item[1])
        if count >= frames:
            yield group
            group, count = [], 0
    if group:
        yield group


def _noting_faults(
    name: str, writer: ShardWriter, media: Iterable[tuple[str, Decoded | MediumError]]
) -> Iterator[Decoded]:
    """The media that could be read; the others go to the writer and to standard error."""
    for medium, read in media:
        if isinstance(read, MediumError):
            print(f"{name}: {read}", file=sys.stderr)
            writer.fault(medium, str(read))
        else:
            yield read


def padding(name: str, mean: Sequence[float]) -> Sequence[float] | None:
    """The colour that images of a set are padded with; None where they are cropped as frames are.

    The released scripts pad in stage 2 alone (`image_aspect_ratio pad`).
    """
    return None if name in CROPPED_IMAGES else mean


def read_media(
    data: Path, media: list[str], video: Video, threads: int = 1, mean: Sequence[float] | None = CLIP_MEAN
) -> Iterator[tuple[str, Decoded | MediumError]]:
    """Each medium with its frames or with what is wrong with it, in order, decoded ahead by `threads` threads."""
    waiting: deque[tuple[str, Future[Decoded]]] = deque()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for medium in media:
            waiting.append((medium, pool.submit(_decoded, data, medium, video, mean)))
            if len(waiting) > READ_AHEAD * max(1, threads):
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())


def _decoded(data: Path, medium: str, video: Video, mean: Sequence[float] | None) -> Decoded:
    return medium, *read_medium(data, medium, video, mean)


def _result(medium: str, future: Future[Decoded]) -> tuple[str, Decoded | MediumError]:
    try:
        return medium, future.result()
    except MediumError as error:
        return medium, error


def read_medium(
    data: Path, medium: str, video: Video, mean: Sequence[float] | None = CLIP_MEAN
) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, S, S, 3) uint8 of a video, or (1, S, S, 3) of an image, and their indices.

    An image is padded with the colour `mean`, or cropped where there is none.
    """
    path = find(data, medium)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        image = open_image(path)
        return fit(image if mean is None else pad(image, mean), video.image_size)[None], np.zeros(1, dtype=np.int64)
    sampled = sample(path, video, lambda frame: fit(Image.fromarray(frame), video.image_size))
    return np.stack(sampled.frames), sampled.indices


def pad(image: Image.Image, mean: Sequence[float] = CLIP_MEAN) -> Image.Image:
    """An image made square with the encoder's mean colour; videos are not padded."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(round(255 * value) for value in mean))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def fit(image: Image.Image, size: int) -> np.ndarray:
    """CLIP's preprocessing before normalisation: shortest edge to `size`, bicubic, centre crop; (S, S, 3) uint8.

    The longer edge is rounded down, as CLIP's processors do it.
    """
    if image.size == (size, size):
        return np.asarray(image)
    shortest = min(image.size)
    image = image.resize((size * image.width // shortest, size * image.height // shortest), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))
