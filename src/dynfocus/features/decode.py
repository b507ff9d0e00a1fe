"""Frames of a video as decoding from the start gives them, decoded no further than needed.

Seeking per sample is slow on long groups of pictures and decoding all of a long film is slow on short ones. Here the
packets are walked first (`dynfocus.features.packets`); then only the groups that hold a wanted frame go through the
decoder, each up to its last wanted frame. What comes out is compared with what the packets announced. On any
difference, and where the packets tell too little, the film is decoded from its start, which is right by definition.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray
from PIL import Image

from dynfocus.config.schema import Video
from dynfocus.errors import MediumError
from dynfocus.features.media import require_of_file, require_size, ruled
from dynfocus.features.packets import Film, opened, packets_of, survey
from dynfocus.features.pixels import displayed, displayed_width
from dynfocus.features.timeline import Timeline

THINNEST = 64
"""Times that a frame may be as long as wide: its short side is fitted, and grows with it."""
SHORT_RUN = 8
"""Packets decoded in one go below which frames are not decoded side by side."""

Picture = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Sample(Generic[T]):
    """What was made of T sampled frames, their indices (T,), and when each appears (T,), in seconds from the first."""

    frames: list[T]
    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]


@ruled
def sample(path: Path, video: Video, prepare: Callable[[Picture], T]) -> Sample[T]:
    """Frames of a video by the sampling of the configuration.

    `prepare` turns a frame (H, W, 3) uint8 into what is kept of it, as soon as it is decoded: many large frames do not
    fit in memory.
    """
    film = survey(path)
    if video.sampling == "index" and not film.rate:
        raise MediumError("no frame rate", f"{path}: no frame rate; set video.sampling to time, or convert to mp4")
    line = film.timeline()
    indices = line.sample(video)
    if film.shown is not None:
        gathered = Gathered(film, indices, prepare)
        if _decode_groups(film, gathered):
            return Sample(gathered.result(), indices, line.seconds[indices])
    while True:  # until the frames are those of their own times; the packets' times are a guess, mostly right
        gathered = Gathered(film, indices, prepare)
        line = _decode_all(film, gathered)
        indices = line.sample(video)
        if np.array_equal(indices, gathered.indices):
            return Sample(gathered.result(), indices, line.seconds[indices])


def sample_frames(path: Path, video: Video) -> tuple[Picture, NDArray[np.int64]]:
    """Sampled frames (T, H, W, 3) uint8 of a video, of the size of the first, and their indices (T,)."""
    sampled = sample(path, video, _as_it_is)
    return _stacked(sampled.frames), sampled.indices


@ruled
def read_frames(path: Path, indices: Sequence[int] | NDArray[np.integer]) -> Picture:
    """Frames (len(indices), H, W, 3) uint8, in the order in which they are shown, counted from 0, repeats allowed."""
    film = survey(path)
    gathered = Gathered(film, indices, _as_it_is)
    frames = None if film.shown is None else len(film.shown)
    if frames is None or not _within(gathered, frames) or not _decode_groups(film, gathered):
        gathered = Gathered(film, indices, _as_it_is)
        frames = 0
        for frame in _all_frames(film):
            gathered.add(frames, frame)
            frames += 1
            if gathered.complete:
                break
    if not gathered.complete and not _within(gathered, frames):
        beyond = gathered.wanted[-1] if gathered.wanted[0] >= 0 else gathered.wanted[0]
        raise MediumError("too short", f"{path}: frame {beyond} was asked for, but the video has {frames}")
    return _stacked(gathered.result())


@ruled
def sampled_count(path: Path, video: Video) -> int:
    """Frames that `sample` gives of a video: counted by its packets where they tell, else decoded."""
    return len(sampled_seconds(path, video))


@ruled
def sampled_seconds(path: Path, video: Video) -> NDArray[np.float64]:
    """When the frames appear that `sample` gives of a video (T,), from its packets where they tell, else decoded."""
    film = survey(path)
    if film.shown is not None and (video.sampling == "time" or film.rate):
        line = film.timeline()
        return line.seconds[line.sample(video)]
    return sample(path, video, lambda _: None).seconds


@ruled
def frame_count(path: Path) -> int:
    """Frames of a video: counted by its packets where they tell, else decoded."""
    film = survey(path)
    return len(film.shown) if film.shown is not None else sum(1 for _ in _all_frames(film))


@ruled
def check_video(path: Path) -> None:
    """Walk the packets of a video and decode its ends, or all of it where they tell too little; else MediumError."""
    film = survey(path)
    if film.shown is None or not _decode_groups(film, Gathered(film, [0, len(film.shown) - 1], _as_it_is)):
        _decode_all(film, Gathered(film, [], _as_it_is))


class Gathered(Generic[T]):
    """Frames on their way out of the decoder: what is made of the wanted ones is kept, and of no other."""

    def __init__(self, film: Film, indices: Sequence[int] | NDArray[np.integer], prepare: Callable[[Picture], T]):
        self.indices = np.asarray(indices, dtype=np.int64)
        self.wanted = np.unique(self.indices)
        self._film = film
        self._prepare = prepare
        self._left = set(self.wanted.tolist())
        self._kept: dict[int, T] = {}

    @property
    def complete(self) -> bool:
        """Whether every wanted frame came."""
        return not self._left

    def add(self, index: int, frame: av.VideoFrame) -> None:
        """Take a frame by its index in the film."""
        width = displayed_width(frame, self._film.pixel_aspect)
        require_size(self._film.path, width, frame.height, THINNEST)
        if index in self._left:
            self._left.discard(index)
            self._kept[index] = self._prepare(displayed(frame, self._film.pixel_aspect))

    def result(self) -> list[T]:
        """The frames at the indices asked for; one that did not come out is an error, never replaced."""
        if self._left:
            count = f"{len(self._left)} of {len(self.wanted)}"
            raise MediumError("undecodable", f"{self._film.path}: {count} frames cannot be decoded; replace the file")
        return [self._kept[index] for index in self.indices.tolist()]


def _as_it_is(picture: Picture) -> Picture:
    return picture


def _stacked(pictures: list[Picture]) -> Picture:
    """Pictures (T, H, W, 3) of the size of the first: a film may change its size midway."""
    if not pictures:
        return np.empty((0, 0, 0, 3), dtype=np.uint8)
    height, width = pictures[0].shape[:2]
    return np.stack(
        [
            picture
            if picture.shape == pictures[0].shape
            else np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
            for picture in pictures
        ]
    )


def _within(gathered: Gathered, frames: int) -> bool:
    return not len(gathered.wanted) or (gathered.wanted[0] >= 0 and gathered.wanted[-1] < frames)


@dataclass(frozen=True)
class _Run:
    """Packets begin ... end - 1, decoded in one go."""

    begin: int
    end: int


def _runs(film: Film, wanted: NDArray[np.int64]) -> list[_Run]:
    """The packets to decode for the packets `wanted`, sorted.

    A frame that is shown before the entry of its group leans on the group before, which then comes along.
    """
    assert film.entries is not None, "a film without entries is decoded whole"
    runs: list[_Run] = []
    for packet in wanted.tolist():
        place = int(np.searchsorted(film.entries, packet, side="right")) - 1
        while place > 0 and film.pts[packet] < film.pts[film.entries[place]]:
            place -= 1
        begin = int(film.entries[place])
        while runs and begin < runs[-1].end:
            begin = min(begin, runs.pop().begin)
        runs.append(_Run(begin, packet + 1))
    return runs


def _decode_groups(film: Film, gathered: Gathered) -> bool:
    """Decode the groups of the wanted frames; False where anything but what the packets announced comes out."""
    assert film.shown is not None, "a film whose order is not known is decoded whole"
    announced: Iterator[int] = iter(())
    indices = {int(film.pts[film.shown[index]]): int(index) for index in gathered.wanted}
    planned = _runs(film, np.sort(film.shown[gathered.wanted]))
    length = float(np.mean([run.end - run.begin for run in planned])) if planned else 0.0
    runs = iter(planned)
    run = next(runs, None)
    seen = np.zeros(len(film.pts), dtype=bool)
    seen[film.shown] = True
    with opened(film.path) as container:
        codec = _decoder(container, film, length)
        for number, packet in enumerate(packets_of(container, film.stream)):
            if run is None:
                break
            if number < run.begin:
                continue
            if number == run.begin:
                times = film.pts[run.begin : run.end][seen[run.begin : run.end]]
                announced = iter(np.sort(times[times >= film.pts[run.begin]]).tolist())
            last = number == run.end - 1
            try:
                frames = [*codec.decode(packet), *(codec.decode(None) if last else ())]
            except av.error.FFmpegError as error:
                require_of_file(error)
                return False
            for frame in frames:
                if frame.pts is None:
                    return False
                if frame.pts < film.pts[run.begin]:
                    continue
                if frame.pts != next(announced, None):
                    return False
                gathered.add(indices.get(frame.pts, -1), frame)
            if last:
                if next(announced, None) is not None:
                    return False
                codec.flush_buffers()
                run = next(runs, None)
    return run is None


def _decode_all(film: Film, gathered: Gathered) -> Timeline:
    """Decode a film from its start, and tell when its frames are shown."""
    times = array("d")
    last = 0.0
    for frame in _all_frames(film):
        gathered.add(len(times), frame)
        times.append(np.nan if frame.pts is None else frame.pts * film.tick)
        last = frame.duration * film.tick
    return film.timeline_of(np.array(times), last)


def _all_frames(film: Film) -> Iterator[av.VideoFrame]:
    """The frames of a film decoded from its start; MediumError where there are none.

    A file that was cut out of a longer one may begin inside a group of pictures: what leans on the missing part is not
    part of the film.
    """
    start = _first_picture(film)
    leaning = bool(start) or (start == 0 and film.codec == "h264")
    none_yet = True
    with opened(film.path) as container:
        codec = _decoder(container, film)
        for number, packet in enumerate(chain(packets_of(container, film.stream), [None])):
            if start and number < start and packet is not None:
                continue
            try:
                frames = codec.decode(packet)
            except av.error.FFmpegError as error:
                require_of_file(error)
                if not none_yet:
                    raise
                frames = []
            for frame in frames:
                leaning = leaning and not _stands_alone(frame)
                if not leaning:
                    none_yet = False
                    yield frame
    if none_yet:
        raise MediumError("undecodable", f"{film.path}: no frame can be decoded; replace the file")


def _first_picture(film: Film) -> int | None:
    """The first packet that decodes by itself, into a picture that leans on no other; None where no packet does."""
    with opened(film.path) as container:
        codec = _decoder(container, film, run=1)
        for number, packet in enumerate(packets_of(container, film.stream)):
            try:
                frames = [*codec.decode(packet), *codec.decode(None)]
            except av.error.FFmpegError as error:
                require_of_file(error)
                frames = []
            codec.flush_buffers()
            if any(_stands_alone(frame) and not frame.is_corrupt for frame in frames):
                return number
    return None


def _stands_alone(frame: av.VideoFrame) -> bool:
    return frame.key_frame or frame.pict_type == PictureType.I


def _decoder(container: av.container.InputContainer, film: Film, run: float = math.inf) -> av.VideoCodecContext:
    """A decoder for runs of that many packets on average: in short ones, threads only wait for each other."""
    codec = container.streams[film.stream].codec_context
    assert isinstance(codec, av.VideoCodecContext), "the stream of a film"
    codec.thread_type = "AUTO"
    if run < SHORT_RUN:
        codec.thread_count = 1
    return codec
