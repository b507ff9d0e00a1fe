"""The file of a medium, an image decoded to its end, and the one way in which a medium fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dynfocus.datasets.media import locate
from dynfocus.errors import MediumError, UserError


def find(folder: Path, medium: str) -> Path:
    """The file of a medium; MediumError where it is missing or empty."""
    path = locate(folder, medium)
    if path is None:
        raise MediumError("missing", f"{folder / medium}: missing; fetch the set again")
    if path.stat().st_size == 0:
        raise MediumError("empty", f"{path}: an empty file; fetch it again")
    return path


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Turn whatever a library raises over a file into a MediumError of that file: one bad medium never ends a set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        what = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise MediumError("broken", f"{path}: broken ({' '.join(what.split())}); replace the file") from error


def open_image(path: Path) -> Image.Image:
    """An image as it is meant to be seen, decoded to its end, in 8-bit RGB; MediumError where that fails.

    It is turned as its EXIF orientation says; samples of more than 8 bits are scaled, never cut; what is transparent
    shows white.
    """
    with faults_of(path):
        try:
            with Image.open(path) as image:
                image.load()
                return _in_rgb(ImageOps.exif_transpose(image))
        except UnidentifiedImageError as error:
            raise MediumError("not an image", f"{path}: not a readable image ({error}); replace the file") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _scaled(values: np.ndarray) -> Image.Image:
    """Samples of more than 8 bits as 8 bits: 16-bit integers, or floats of which 1 is white."""
    white = 1.0 if values.dtype.kind == "f" else 65535.0
    return Image.fromarray(np.round(np.clip(values / white, 0, 1) * 255).astype(np.uint8))
