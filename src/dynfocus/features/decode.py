"""Frames of a video by index, decoded no further than needed.

Seeking per sample is slow on long groups of pictures and decoding all of a long film is slow on
short ones. Here all packets are demuxed, which costs little, and only the groups of pictures that
hold a wanted frame go through the decoder, each up to its last wanted frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from dynfocus.config.schema import Video
from dynfocus.errors import MediumError, UserError


def sample_indices(frames: int, rate: float, video: Video) -> np.ndarray:
    """Frames taken of a video with `frames` frames at `rate` frames a second: (T,) int64.

    One every `rate / fps` frames from the first on; of a video over the cap, evenly spread ones at
    round((i + 1) · n / kept − 1), as in the released code.
    """
    step = max(1, round(rate / video.fps))
    indices = np.arange(0, frames, step, dtype=np.int64)
    if len(indices) > video.max_frames:
        kept = video.capped_frames
        indices = indices[np.round((np.arange(kept) + 1) * len(indices) / kept - 1).astype(np.int64)]
    return indices


def frame_count(path: Path) -> int:
    """Frames of a video, counted by its packets."""
    with _opened(path) as container:
        return len(_packets(path, container))


def frame_rate(path: Path) -> float:
    """Average frames a second."""
    with _opened(path) as container:
        return _rate(path, container.streams.video[0])


def sample_frames(path: Path, video: Video) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3) uint8 of a video by the sampling of the configuration, and their indices (T,)."""
    with _opened(path) as container:
        packets = _packets(path, container)
        indices = sample_indices(len(packets), _rate(path, container.streams.video[0]), video)
        return _decode(path, container, packets, indices), indices


def read_frames(path: Path, indices: np.ndarray | list[int]) -> np.ndarray:
    """Frames (len(indices), H, W, 3) uint8, in display order counted from 0, repeats allowed."""
    with _opened(path) as container:
        packets = _packets(path, container)
        wanted = np.asarray(indices, dtype=np.int64)
        beyond = wanted[(wanted < 0) | (wanted >= len(packets))]
        if len(beyond):
            raise UserError(f"{path}: frame {beyond[0]} was asked for, but the video has {len(packets)}")
        return _decode(path, container, packets, wanted)


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (OSError, av.error.FFmpegError) as error:
        raise MediumError(
            "not a video", f"{path}: not a readable video ({error.strerror}); replace the file"
        ) from error
    if not container.streams.video:
        container.close()
        raise MediumError("no video stream", f"{path}: no video stream; replace the file")
    return container


def _packets(path: Path, container: av.container.InputContainer) -> list[av.Packet]:
    """All packets of the first video stream, in decoding order."""
    try:
        packets = [packet for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    except av.error.FFmpegError as error:
        raise MediumError("broken", f"{path}: broken video ({error.strerror}); replace the file") from error
    if not packets:
        raise MediumError("no frames", f"{path}: no frames; replace the file")
    if any(packet.is_corrupt for packet in packets):
        raise MediumError(
            "cut off", f"{path}: broken video (cut off after {len(packets) - 1} frames); replace the file"
        )
    return packets


def _rate(path: Path, stream: av.VideoStream) -> float:
    if not stream.average_rate:
        raise MediumError("no frame rate", f"{path}: no frame rate; convert the file to mp4")
    return float(stream.average_rate)


def _groups(packets: list[av.Packet], wanted: set[int]) -> Iterator[list[av.Packet]]:
    """Runs of packets that must be decoded together: groups of pictures with a wanted frame.

    Frames shown before their group's key frame lean on the group before, which then comes along.
    """
    starts = [number for number, packet in enumerate(packets) if packet.is_keyframe] or [0]
    if starts[0]:
        starts.insert(0, 0)
    groups = [packets[begin:end] for begin, end in zip(starts, [*starts[1:], len(packets)], strict=True)]
    run: list[av.Packet] = []
    for number, group in enumerate(groups):
        following = groups[number + 1] if number + 1 < len(groups) else []
        leading = [packet.pts for packet in following if packet.pts < following[0].pts]
        if any(packet.pts in wanted for packet in group) or wanted.intersection(leading):
            run += group
        if not wanted.intersection(leading) and run:
            yield run
            run = []


def _decode(
    path: Path, container: av.container.InputContainer, packets: list[av.Packet], indices: np.ndarray
) -> np.ndarray:
    """The frames at `indices` in display order; a frame that does not come out is an error, never replaced."""
    shown = sorted(packet.pts for packet in packets)
    wanted = {shown[index] for index in indices}
    codec = container.streams.video[0].codec_context
    codec.thread_type = "AUTO"
    found: dict[int, np.ndarray] = {}
    try:
        for run in _groups(packets, wanted):
            missing = wanted.intersection(packet.pts for packet in run)
            for packet in [*run, None]:
                for frame in codec.decode(packet):
                    if frame.pts in missing:
                        found[frame.pts] = frame.to_ndarray(format="rgb24")
                        missing.discard(frame.pts)
                if not missing:
                    break
            codec.flush_buffers()
    except av.error.FFmpegError as error:
        raise MediumError("broken", f"{path}: broken video ({error.strerror}); replace the file") from error
    lost = len(wanted) - len(found)
    if lost:
        raise MediumError(
            "undecodable", f"{path}: {lost} of {len(wanted)} sampled frames cannot be decoded; replace the file"
        )
    return np.stack([found[shown[index]] for index in indices])
