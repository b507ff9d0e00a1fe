"""The file of a medium, an image decoded to its end, and the one way in which a medium fails."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dynfocus.datasets.media import locate
from dynfocus.errors import MachineError, MediumError, UserError
from dynfocus.machine import faults

MOST_SIDE = 16384
"""Pixels; the square of a picture of this side takes 0.8 GB."""
PAUSE = 0.5
"""Seconds after which a file is read again."""

P = ParamSpec("P")
T = TypeVar("T")


def ruled(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """`read`, whose first argument is a file, under the one rule of what its errors mean.

    Whatever a library raises over a file is a MediumError of that file: one bad medium never ends a set. A fault of the
    machine is a MachineError, which ends the step: no good medium is ever counted as bad. Where it may be either, the
    file is read again; it is the file's own if it comes again while the machine has enough.
    """

    @wraps(read)
    def read_by_rule(path: Path, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            try:
                return read(path, *args, **kwargs)
            except Exception as error:
                if not faults.in_doubt(error):
                    raise
                time.sleep(PAUSE)
                return read(path, *args, **kwargs)
        except (UserError, MachineError):
            raise
        except Exception as error:
            said = " ".join(faults.reason_of(error).split())
            remedy = faults.remedy_for(error, reading=True)
            if remedy and (not faults.in_doubt(error) or faults.is_short()):
                raise MachineError(f"{path}: {said}; {remedy}") from error
            what = said if getattr(error, "strerror", None) else f"{type(error).__name__}: {said}"
            raise MediumError("broken", f"{path}: broken ({what}); replace the file") from error

    return read_by_rule


def require_size(path: Path, width: int, height: int, thinnest: float = math.inf) -> None:
    """MediumError where a picture takes more memory than a step can give: it is made square, or its short side grown.

    thinnest: how many times as long as wide it may be.
    """
    long, short = max(width, height), min(width, height)
    if long > MOST_SIDE or long > thinnest * short:
        raise MediumError("unusable size", f"{path}: {width} x {height} pixels; scale or crop it")


def require_of_file(error: Exception) -> None:
    """Raise `error` again where it may be the machine's; what a reader goes on after must be the file's own fault."""
    if faults.remedy_for(error, reading=True):
        raise error


def find(folder: Path, medium: str) -> Path:
    """The file of a medium; MediumError where it is missing or empty."""
    return _found(folder / medium, folder, medium)


@ruled
def _found(named: Path, folder: Path, medium: str) -> Path:
    path = locate(folder, medium)
    if path is None:
        raise MediumError("missing", f"{named}: missing; fetch the set again")
    if path.stat().st_size == 0:
        raise MediumError("empty", f"{path}: an empty file; fetch it again")
    return path


@ruled
def open_image(path: Path) -> Image.Image:
    """An image as it is meant to be seen, decoded to its end, in 8-bit RGB; MediumError where that fails.

    It is turned as its EXIF orientation says; samples of more than 8 bits are scaled, never cut; what is transparent
    shows white.
    """
    try:
        with Image.open(path) as image:
            require_size(path, *image.size)
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
