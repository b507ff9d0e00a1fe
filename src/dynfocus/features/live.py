"""Films decoded when they are asked for, where nothing is stored of them: a set's pixels in place of its features.

How many frames a film gives must be known before it is read. Its packets tell; the counts are kept in a file beside the
training's work, by the size and time of each medium's file, so that one process of a training counts and once.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from dynfocus.config.schema import Video
from dynfocus.datasets.media import IMAGE_SUFFIXES
from dynfocus.errors import MediumError, UserError
from dynfocus.features.decode import sampled_count
from dynfocus.features.extract import padding, read_medium
from dynfocus.features.media import find
from dynfocus.files import hash_of, read_json, write_json
from dynfocus.machine.locks import open_lock, take
from dynfocus.network.vision import CLIP_MEAN

Count = list[int]
"""Bytes of a file, its time in nanoseconds, and the frames that are sampled from it."""


class FilmStore:
    """The media of a set as pixels; of the same form as `FeatureStore`, and without what cannot be read."""

    def __init__(
        self,
        folder: Path,
        media: Iterable[str],
        video: Video,
        counts: Path,
        threads: int = 1,
        mean: tuple[float, ...] = CLIP_MEAN,
    ):
        """`folder` of the set, `media` of its samples; `counts`: folder for the file of frame counts.

        `mean`: colour with which the encoder's images are padded, where those of this set are.
        """
        self._folder, self._video, self._mean = folder, video, padding(folder.name, mean)
        self._frames = _counted(folder, list(dict.fromkeys(media)), video, counts, threads)

    def __contains__(self, medium: str) -> bool:
        return medium in self._frames

    def get(self, medium: str) -> Tensor:
        """Frames (T, S, S, 3) uint8 of a medium.

        Raises:
            UserError: it cannot be read after all.
        """
        try:
            return torch.from_numpy(read_medium(self._folder, medium, self._video, self._mean)[0])
        except MediumError as error:
            raise UserError(str(error)) from error

    def frames(self, medium: str) -> Tensor:
        """Places (T,) of the sampled frames: their number is what counts."""
        return torch.arange(self._frames[medium])


def _counted(folder: Path, media: list[str], video: Video, counts: Path, threads: int) -> dict[str, int]:
    """Frames of each readable medium. Of several processes the first counts, the others wait and read."""
    file = counts / f"frames-{folder.name}-{hash_of(video.model_dump(mode='json'))}.json"
    with open_lock(file.with_suffix(".lock")) as lock:
        take(lock, wait=True)
        known: dict[str, Count] = read_json(file, dict, f"remove {file}") if file.is_file() else {}
        with ThreadPoolExecutor(max(1, threads)) as pool:
            found = pool.map(lambda medium: _count(folder, medium, video, known.get(medium)), media)
            now = {medium: count for medium, count in zip(media, found, strict=True) if count is not None}
        if any(known.get(medium) != count for medium, count in now.items()):
            write_json(file, known | now)
    return {medium: count[-1] for medium, count in now.items()}


def _count(folder: Path, medium: str, video: Video, known: Count | None) -> Count | None:
    """What is to be kept of a medium; None where it cannot be read."""
    try:
        path = find(folder, medium)
        state = path.stat()
        file = [state.st_size, state.st_mtime_ns]
        if known is not None and known[:-1] == file:
            return known
        return [*file, 1 if path.suffix.lower() in IMAGE_SUFFIXES else sampled_count(path, video)]
    except MediumError:
        return None
