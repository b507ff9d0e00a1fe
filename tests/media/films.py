"""Small mp4 files whose every frame is different, made with chosen groups of pictures."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def pictures(count: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """Frames (count, height, width, 3) uint8 that differ in every block."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


def write_film(path: Path, frames: np.ndarray, rate: int = 4, movflags: str = "", **options: str) -> Path:
    """An H.264 file of the frames; `options` go to the encoder: g, bf, x264-params ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        stream.options = {"crf": "10", **{name.replace("_", "-"): value for name, value in options.items()}}
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every frame (T, H, W, 3), decoded one after the other from the start."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
