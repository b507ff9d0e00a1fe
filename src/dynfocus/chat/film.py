"""A video in a conversation: sampled frames, what the visual encoder sees in them, and the pictures to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dynfocus.config.schema import Video
from dynfocus.features.decode import sample
from dynfocus.features.extract import fit

THUMBNAIL = (112, 84)
"""Largest width and height of a frame on the page, in pixels."""


@dataclass(frozen=True)
class Film:
    """A video of T sampled frames.

    seconds (T,): when each frame is shown; features (T, N, d); thumbnails: T JPEG files.
    """

    name: str
    seconds: NDArray[np.floating]
    features: torch.Tensor
    thumbnails: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.seconds)


def open_film(
    path: Path, sampling: Video, see: Callable[[torch.Tensor], torch.Tensor], name: str | None = None
) -> Film:
    """Decode and encode a video; `see` turns pixels (T, S, S, 3) uint8 into features (T, N, d).

    Frames are sampled and fitted as in feature extraction. Raises UserError for a file that is no readable video.
    """
    sampled = sample(path, sampling, lambda frame: (fit(Image.fromarray(frame), sampling.image_size), thumbnail(frame)))
    pixels, thumbnails = zip(*sampled.frames, strict=True)
    with torch.inference_mode():
        features = see(torch.from_numpy(np.stack(pixels))).cpu()
    return Film(name or path.name, sampled.seconds, features, thumbnails)


def thumbnail(frame: NDArray[np.uint8]) -> bytes:
    """A frame (H, W, 3) as a small JPEG."""
    image = Image.fromarray(frame)
    image.thumbnail(THUMBNAIL)
    stored = BytesIO()
    image.save(stored, "JPEG", quality=85)
    return stored.getvalue()
