"""Frames inside a measurement: PNG as base64 text, and back."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def to_text(frame: NDArray[np.uint8]) -> str:
    """A frame (H, W, 3) as text."""
    stream = BytesIO()
    Image.fromarray(frame).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def from_text(text: str) -> NDArray[np.uint8]:
    """The frame (H, W, 3) of a text."""
    with Image.open(BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))
