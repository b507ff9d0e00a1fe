"""A decoded frame as it is meant to be seen."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

MOST_STRETCH = 16
"""Pixels wider or higher than this many times their other side are a fault of the file, and taken as square."""


def displayed(frame: VideoFrame, pixel_aspect: float) -> NDArray[np.uint8]:
    """A frame (H, W, 3) uint8 in RGB: its pixels square, rotated or mirrored as its display matrix says.

    pixel_aspect: width of a stored pixel over its height. Transparency is dropped, and both fields of an interlaced
    frame are kept, as other decoders do. One thread converts: more are no faster here, and on a busy machine a good
    frame then fails with EAGAIN.
    """
    matrix = _matrix(frame)
    width = displayed_width(frame, pixel_aspect)
    if width != frame.width:
        frame = frame.reformat(width=width, format="rgb24", interpolation="BICUBIC", threads=1)
    return _turned(cast(NDArray[np.uint8], frame.to_ndarray(format="rgb24", threads=1)), matrix)


def displayed_width(frame: VideoFrame, pixel_aspect: float) -> int:
    """Pixels of a row of a frame whose pixels are made square."""
    stretched = 1 / MOST_STRETCH <= pixel_aspect <= MOST_STRETCH
    return max(1, round(frame.width * pixel_aspect)) if stretched else frame.width


def _matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """(a, b, c, d) of x' = ax + cy, y' = bx + dy, with y downwards; None without a display matrix."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d = memoryview(cast(Any, data)).cast("B").cast("i")[:5]
    return a, b, c, d


def _turned(image: NDArray[np.uint8], matrix: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """An image by a display matrix, whose angle is taken as the nearest multiple of 90 degrees."""
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    if across < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
