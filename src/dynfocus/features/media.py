"""The file of a medium, and an image decoded to its end."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dynfocus.datasets.media import locate
from dynfocus.errors import MediumError


def find(folder: Path, medium: str) -> Path:
    """The file of a medium; MediumError where it is missing or empty."""
    path = locate(folder, medium)
    if path is None:
        raise MediumError("missing", f"{folder / medium}: missing; fetch the set again")
    if path.stat().st_size == 0:
        raise MediumError("empty", f"{path}: an empty file; fetch it again")
    return path


def open_image(path: Path) -> Image.Image:
    """An image, decoded to its end; MediumError where that fails."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise MediumError("not an image", f"{path}: not a readable image ({error}); replace the file") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediumError("broken", f"{path}: not a readable image ({error}); replace the file") from error
