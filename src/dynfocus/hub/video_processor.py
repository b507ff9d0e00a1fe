"""Media to pixels as in feature extraction: the same frames, the same resampling, the encoder's own normalisation.

Its configuration is saved with the model (`fps`, caps, size, mean and deviation), so that a model is asked with the
pixels that it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.processing_utils import VideosKwargs
from transformers.video_processing_utils import BaseVideoProcessor

from dynfocus.config.schema import Video
from dynfocus.datasets.media import IMAGE_SUFFIXES
from dynfocus.errors import UserError
from dynfocus.features.decode import sample_frames
from dynfocus.features.extract import fit, pad
from dynfocus.features.media import open_image
from dynfocus.network.processing import pad_videos
from dynfocus.network.vision import CLIP_MEAN, CLIP_STD

Medium = str | Path | Image.Image | np.ndarray | torch.Tensor | Sequence[Any]
"""A file, a picture, frames (T, H, W, 3) uint8, or a sequence of pictures."""


class DynFocusVideosKwargs(VideosKwargs, total=False):
    """`image_size`: side of the encoder's square; `max_frames`, `capped_frames`: as in `config.schema.Video`."""

    image_size: int
    max_frames: int
    capped_frames: int


class DynFocusVideoProcessor(BaseVideoProcessor):
    """Frames of films and pictures as normalised pixels (V, T, 3, S, S) with their mask (V, T)."""

    valid_kwargs = DynFocusVideosKwargs  # type: ignore[assignment]  # the base class wants those of images
    model_input_names = ["pixel_values_videos", "video_mask"]  # noqa: RUF012
    image_size = 224
    fps = 1.0
    max_frames = 1000
    capped_frames = 200
    image_mean = CLIP_MEAN
    image_std = CLIP_STD

    def preprocess(self, videos: Sequence[Medium], return_tensors: Any = "pt", **kwargs: Any) -> BatchFeature:
        """`pixel_values_videos` and `video_mask` of media. Files are sampled; frames that are given are all taken.

        Settings of the processor may be overridden by name. Raises UserError for what is no readable medium.
        """
        settings = {name: kwargs.get(name) or getattr(self, name) for name in DynFocusVideosKwargs.__annotations__}
        mean, std = (torch.tensor(kwargs.get(name) or getattr(self, name)) for name in ("image_mean", "image_std"))
        sampling = Video(
            fps=kwargs.get("fps") or self.fps,
            **{name: settings[name] for name in ("max_frames", "capped_frames", "image_size")},
        )
        videos = videos if isinstance(videos, list | tuple) else [videos]
        frames = [torch.tensor(frames_of(medium, sampling, mean.tolist())) for medium in videos]
        pixels = [(film.movedim(-1, -3).float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1) for film in frames]
        values, mask = pad_videos(pixels)
        return BatchFeature({"pixel_values_videos": values, "video_mask": mask}, tensor_type=return_tensors)


def frames_of(medium: Medium, sampling: Video, mean: Sequence[float]) -> np.ndarray:
    """Frames (T, S, S, 3) uint8 of a medium; a picture is one frame, made square with the colour `mean`."""
    if isinstance(medium, str | Path):
        path = Path(medium)
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the path of a video or an image")
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            return fitted(sample_frames(path, sampling)[0], sampling.image_size)
        medium = open_image(path)
    if isinstance(medium, Image.Image):
        return fit(pad(medium.convert("RGB"), mean), sampling.image_size)[None]
    if isinstance(medium, list | tuple):
        return fitted([np.asarray(frame) for frame in medium], sampling.image_size)
    values = medium.numpy() if isinstance(medium, torch.Tensor) else np.asarray(medium)
    if values.ndim == 3:
        return frames_of(Image.fromarray(values), sampling, mean)
    if values.ndim != 4 or values.shape[3] != 3 or values.dtype != np.uint8 or not len(values):
        raise UserError(f"videos: an array {values.shape} of {values.dtype}; give frames (T, H, W, 3) uint8")
    return fitted(values, sampling.image_size)


def fitted(frames: Sequence[np.ndarray] | np.ndarray, size: int) -> np.ndarray:
    """Frames resampled and cropped to a square of `size`."""
    return np.stack([fit(Image.fromarray(np.asarray(frame)), size) for frame in frames])
