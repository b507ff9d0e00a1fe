"""Frames are taken by when they are shown: each film here writes its own time into every frame."""

from __future__ import annotations

import av
import numpy as np
import pytest
from codings import Coding, write

from dynfocus.config.schema import Video
from dynfocus.features.decode import sample, sampled_seconds
from dynfocus.features.timeline import sample_times, timeline

BITS, SIDE = 15, 16
RNG = np.random.default_rng(0)
STEADY = np.arange(0, 20, 0.04)


def clocks(times: np.ndarray) -> np.ndarray:
    """Frames (T, 32, 240, 3) whose columns of blocks are the bits of their time in milliseconds."""
    bits = (np.round(times * 1000).astype(int)[:, None] >> np.arange(BITS)) & 1
    row = (bits * 255).astype(np.uint8).repeat(SIDE, 1)
    return np.broadcast_to(row[:, None, :, None], (len(times), 32, BITS * SIDE, 3))


def clock(frame: np.ndarray) -> float:
    """The time that a frame shows, in seconds."""
    bits = frame[8:24].mean((0, 2)).reshape(BITS, SIDE)[:, 4:12].mean(1) > 127
    return int((bits << np.arange(BITS)).sum()) / 1000


KINDS = {
    "even": STEADY,
    "a pause in the middle": np.concatenate([STEADY[:100], STEADY[100:200] + 9]),
    "one frame in five seconds, then many": np.concatenate([np.arange(0, 25, 5.0), 25 + STEADY[:150]]),
    "a phone that slows in the dark": np.concatenate([np.arange(0, 6, 1 / 30), 6 + np.arange(0, 8, 1 / 12)]),
    "a screen recording": np.concatenate([[0, 0.1, 7.3, 7.35, 7.4, 15.0], 15.1 + STEADY[:50]]),
    "random gaps": np.cumsum(np.concatenate([[0], 0.01 + RNG.exponential(0.2, 100)])),
    "lost frames": STEADY[np.sort(RNG.choice(500, 250, replace=False))],
    "slower and slower": np.cumsum(np.linspace(0.02, 0.5, 60)) - 0.02,
    "bursts": np.concatenate([start + np.arange(0, 0.3, 0.02) for start in range(0, 20, 3)]),
    "late start": 1.7 + np.concatenate([STEADY[:50], 4 + STEADY[:50]]),
}
CODINGS = {
    "mp4": Coding("libx264", {"g": "50", "bf": "2", "preset": "ultrafast", "qp": "10"}, "mp4"),
    "mkv": Coding("libx264", {"g": "50", "bf": "0", "preset": "ultrafast", "qp": "10"}, "mkv"),
    "webm": Coding("libvpx", {"g": "50", "cpu-used": "8", "deadline": "realtime"}, "webm"),
    "flv": Coding("libx264", {"g": "50", "bf": "2", "preset": "ultrafast", "qp": "10"}, "flv"),
    "ts": Coding("libx264", {"g": "50", "bf": "2", "preset": "ultrafast", "qp": "10"}, "ts"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", CODINGS)
def test_each_second_shows_the_frame_that_was_on_the_screen(suffix, kind, tmp_path):
    times = np.round(KINDS[kind], 3)
    path = write(tmp_path / f"film.{suffix}", CODINGS[suffix], clocks(times), times)
    sampled = sample(path, Video(fps=1.0), clock)
    np.testing.assert_array_equal(sampled_seconds(path, Video(fps=1.0)), sampled.seconds)
    own = times - times[0]
    shown = np.array(sampled.frames) - times[0]
    np.testing.assert_allclose(shown, sampled.seconds, atol=0.0021)
    np.testing.assert_allclose(own[sampled.indices], sampled.seconds, atol=0.0021)
    moments = np.arange(len(shown))
    due = own[np.searchsorted(own, moments + 0.0015, side="right") - 1]
    np.testing.assert_allclose(shown, due, atol=0.0021)
    assert own[-1] - 1 < moments[-1] <= own[-1] + 5


def test_the_way_of_the_released_code_misses_what_the_clock_shows(tmp_path):
    times = KINDS["a pause in the middle"]
    path = write(tmp_path / "film.mkv", CODINGS["mkv"], clocks(times), times)
    by_index = sample(path, Video(fps=1.0, sampling="index"), clock)
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
    assert np.diff(by_index.indices).tolist() == [round(rate)] * (len(by_index.indices) - 1)
    by_time = sample(path, Video(fps=1.0), clock)
    assert len(by_time.indices) == 17 and max(np.diff(by_time.frames)) > 8


@pytest.mark.parametrize("rate", [1, 2, 5, 10, 24, 25, 30, 50, 60])
def test_at_an_even_whole_rate_both_ways_take_the_same_frames(rate):
    seconds = np.arange(13 * rate + 1) / rate
    taken = sample_times(seconds, seconds[-1] + 1 / rate, Video(fps=1.0))
    assert taken.tolist() == list(range(0, 13 * rate + 1, rate))


@pytest.mark.parametrize("places", [1000, 90000])
def test_times_rounded_to_milliseconds_change_nothing(places):
    exact = 0.0335 + np.arange(3000) / 30
    seconds = np.round(exact * places) / places
    seconds -= seconds[0]
    assert sample_times(seconds, seconds[-1] + 1 / 30, Video(fps=2.0)).tolist() == list(range(0, 3000, 15))


def test_the_cap_thins_by_time():
    seconds = np.concatenate([np.arange(10.0), [1000.0]])
    taken = sample_times(seconds, 1001.0, Video(fps=1.0, max_frames=100, capped_frames=10))
    assert len(taken) == 10 and taken[-1] == 10 and taken[:-1].tolist() == [9] * 9


def test_a_clock_set_anew_in_a_broadcast_does_not_stop_the_film():
    times = np.concatenate([100 + np.arange(50) / 25, np.arange(50) / 25, 5e4 + np.arange(50) / 25])
    line = timeline(times, 0.04, 25.0, decode_times=False, broadcast=True)
    np.testing.assert_allclose(line.seconds, np.arange(150) / 25)
    assert line.end == pytest.approx(6.0)


def test_unknown_times_lie_between_the_known():
    times = np.array([np.nan, 0.5, np.nan, np.nan, 0.8, np.nan])
    line = timeline(times, 0.0, 10.0, decode_times=False, broadcast=False)
    np.testing.assert_allclose(line.seconds, np.arange(6) / 10)
    assert len(timeline(np.full(4, np.nan), 0.0, None, False, False)) == 4


def test_times_of_decoding_are_put_in_order():
    line = timeline(np.array([0.0, 0.12, 0.04, 0.08, 0.16]), 0.04, 25.0, decode_times=True, broadcast=False)
    np.testing.assert_allclose(line.seconds, np.arange(5) / 25)
