"""When the frames of a film are shown, and which of them are sampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynfocus.config.schema import Video

ROUNDING = 0.0015
"""Seconds by which a time is off where a container counts in milliseconds: two roundings, and a little."""
LONGEST_PAUSE = 10.0
"""Seconds between two frames of a broadcast above which its clock was set anew (FFmpeg's own limit)."""
USUAL_RATE = 25.0
"""Frames a second where nothing in the file tells."""


@dataclass(frozen=True)
class Timeline:
    """The n frames of a film in the order in which they are shown.

    seconds (n,): when each appears, from the first frame on; end: when the last one disappears; rate: average frames a
    second by the container's word, None where it gives none.
    """

    seconds: NDArray[np.float64]
    end: float
    rate: float | None

    def __len__(self) -> int:
        return len(self.seconds)

    def sample(self, video: Video) -> NDArray[np.int64]:
        """Indices (T,) of the sampled frames, by `video.sampling`; the way of the index needs a rate."""
        if video.sampling == "time":
            return sample_times(self.seconds, self.end, video)
        assert self.rate is not None, "a video without a rate is refused before"
        return sample_indices(len(self), self.rate, video)


def sample_times(seconds: NDArray[np.float64], end: float, video: Video) -> NDArray[np.int64]:
    """The frames on the screen at 0, 1/fps, 2/fps ... before `end`: (T,) int64; a frame that stays comes repeatedly."""
    moments = _thinned(int(max(1.0, np.ceil((end - ROUNDING) * video.fps))), video) / video.fps
    return np.maximum(np.searchsorted(seconds, moments + ROUNDING, side="right") - 1, 0).astype(np.int64)


def sample_indices(frames: int, rate: float, video: Video) -> NDArray[np.int64]:
    """One frame every `rate / fps` frames from the first on, as in the released code: (T,) int64."""
    step = max(1, round(rate / video.fps))
    return _thinned(-(-frames // step), video) * step


def _thinned(count: int, video: Video) -> NDArray[np.int64]:
    """Places 0 ... count - 1; over the cap, evenly spread ones at round((i + 1) · count / kept − 1)."""
    if count <= video.max_frames:
        return np.arange(count, dtype=np.int64)
    kept = video.capped_frames
    return np.round((np.arange(kept) + 1) * count / kept - 1).astype(np.int64)


def timeline(
    times: NDArray[np.float64], last: float, rate: float | None, decode_times: bool, broadcast: bool
) -> Timeline:
    """The timeline of frames in the order in which they come out of the decoder.

    times (n,) in seconds, NaN where unknown; last: how long the last frame stays, 0 where unknown. With `decode_times`
    the container holds only when a frame is decoded: the k-th frame shown has the k-th smallest of these times. In a
    `broadcast` the clock may be set anew, back or far ahead; there the film goes on after its usual pause.
    """
    step = 1 / rate if rate else 1 / USUAL_RATE
    times = _filled(times, step)
    pauses = np.diff(times)
    forward = pauses[pauses > 0]
    step = float(np.median(forward)) if len(forward) else step
    if broadcast:
        anew = (pauses > LONGEST_PAUSE) | (pauses < 0)
        times = np.concatenate([times[:1], times[0] + np.cumsum(np.where(anew, step, pauses))])
    if decode_times or (np.diff(times) < 0).any():
        times = np.sort(times)
    seconds = times - times[0]
    return Timeline(seconds, float(seconds[-1]) + (last if last > 0 else step), rate)


def _filled(times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Times with the unknown ones put evenly between the known, and `step` apart beyond them."""
    places = np.arange(len(times))
    known = np.flatnonzero(~np.isnan(times))
    if not len(known):
        return places.astype(np.float64) * step
    filled = np.interp(places, known, times[known])
    filled[: known[0]] = times[known[0]] + (places[: known[0]] - known[0]) * step
    filled[known[-1] :] = times[known[-1]] + (places[known[-1] :] - known[-1]) * step
    return filled
