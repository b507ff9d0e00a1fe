"""The codings and containers of the matrix: what FFmpeg writes and users have, each as a short film."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

os.environ.setdefault("SVT_LOG", "0")

FRAMES, RATE, GROUP = 40, 25, 12
CONTAINERS = {
    "mp4": "mp4",
    "mov": "mov",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "flv": "flv",
    "ts": "mpegts",
    "mpg": "mpeg",
    "wmv": "asf",
    "3gp": "3gp",
    "gif": "gif",
}


@dataclass(frozen=True)
class Coding:
    """An encoder, its options and pixels, and the containers of CONTAINERS that hold what it makes."""

    encoder: str
    options: dict[str, str]
    containers: str
    pixels: str = "yuv420p"


def _x264(parameters: str, pixels: str = "yuv420p", **options: str) -> Coding:
    options = {"preset": "veryfast", "g": str(GROUP), "x264-params": f"scenecut=0:b-adapt=0:{parameters}", **options}
    return Coding("libx264", options, "mp4 mov mkv avi flv ts mpg wmv 3gp", pixels)


def _x265(parameters: str, pixels: str = "yuv420p") -> Coding:
    fixed = f"log-level=none:keyint={GROUP}:min-keyint={GROUP}:scenecut=0:b-adapt=0:{parameters}"
    return Coding("libx265", {"preset": "ultrafast", "x265-params": fixed}, "mp4 mov mkv flv ts mpg", pixels)


G = {"g": str(GROUP)}
CODINGS = {
    "H.264 without B-frames": _x264("bframes=0"),
    "H.264 with B-frames": _x264("bframes=3:b-pyramid=normal"),
    "H.264 with open groups": _x264("bframes=3:open-gop=1"),
    "H.264 refreshed bit by bit": _x264("bframes=0:intra-refresh=1"),
    "H.264 interlaced": _x264("bframes=2:tff=1"),
    "H.264 of 10 bits": _x264("bframes=2", "yuv420p10le"),
    "HEVC without B-frames": _x265("bframes=0:open-gop=0"),
    "HEVC with B-frames": _x265("bframes=3:open-gop=0"),
    "HEVC with open groups": _x265("bframes=3:open-gop=1"),
    "HEVC with decodable leading frames": _x265("bframes=3:open-gop=0:radl=2"),
    "HEVC of 10 bits": _x265("bframes=2", "yuv420p10le"),
    "MPEG-4 without B-frames": Coding("mpeg4", G, "mp4 mov mkv avi ts mpg wmv 3gp"),
    "MPEG-4 with B-frames": Coding("mpeg4", {**G, "bf": "2"}, "mp4 mov mkv avi ts mpg wmv 3gp"),
    "MPEG-2 without B-frames": Coding("mpeg2video", G, "mp4 mov mkv avi ts mpg wmv"),
    "MPEG-2 with B-frames": Coding("mpeg2video", {**G, "bf": "2"}, "mp4 mov mkv avi ts mpg wmv"),
    "MPEG-2 interlaced": Coding("mpeg2video", {**G, "bf": "2", "flags": "+ildct+ilme"}, "mkv ts mpg"),
    "VP8": Coding("libvpx", {**G, "cpu-used": "8", "deadline": "realtime"}, "mkv webm avi wmv"),
    "VP8 with hidden frames": Coding(
        "libvpx", {**G, "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "12"}, "mkv webm avi wmv"
    ),
    "VP9": Coding("libvpx-vp9", {**G, "cpu-used": "8", "lag-in-frames": "8"}, "mp4 mkv webm avi flv wmv"),
    "VP9 with alpha": Coding("libvpx-vp9", {**G, "cpu-used": "8", "auto-alt-ref": "0"}, "mkv webm", "yuva420p"),
    "AV1": Coding("libsvtav1", {**G, "preset": "11"}, "mp4 mkv webm avi flv wmv"),
    "MJPEG": Coding("mjpeg", {}, "mp4 mov mkv avi wmv", "yuvj420p"),
    "ProRes": Coding("prores_ks", {}, "mov mkv", "yuv422p10le"),
    "ProRes with alpha": Coding("prores_ks", {"profile": "4444"}, "mov mkv", "yuva444p10le"),
    "GIF": Coding("gif", {}, "mov gif", "rgb8"),
    "WMV 2": Coding("wmv2", G, "avi wmv"),
    "H.263": Coding("h263", G, "mov avi wmv 3gp"),
    "Sorenson": Coding("flv", G, "avi flv wmv"),
    "FFV1": Coding("ffv1", G, "mkv avi"),
}


def moving(count: int = FRAMES, height: int = 96, width: int = 128) -> np.ndarray:
    """Frames (count, height, width, 3) of blocks that move sideways, so that pictures lean on each other."""
    blocks = np.random.default_rng(0).integers(
        0, 256, (height // 8 + 1, width // 8 + count // 2 + 2, 3), dtype=np.uint8
    )
    wide = blocks.repeat(8, 0).repeat(8, 1)
    return np.stack([wide[:height, 4 * k : 4 * k + width] for k in range(count)])


def write(
    path: Path,
    coding: Coding,
    frames: np.ndarray,
    times: Sequence[float] | None = None,
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A film of the frames, shown at `times` in seconds, or at RATE a second; `options` go to the container."""
    kind = container or CONTAINERS[path.suffix[1:]]
    with av.open(str(path), "w", format=kind, options=options or {}) as file:
        stream = file.add_stream(coding.encoder, rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = coding.pixels
        stream.bit_rate = 2_000_000
        stream.options = dict(coding.options)
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format=coding.pixels)
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_packed(path: Path, frames: np.ndarray) -> Path:
    """MPEG-4 in AVI as DivX 5 packed it: a B-frame travels with the frame before it; an empty one takes its place."""
    plain = path.with_suffix(".unpacked.avi")
    write(plain, Coding("mpeg4", {**G, "bf": "1", "b_strategy": "0"}, "avi"), frames)
    with av.open(str(plain)) as file:
        pictures = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    vop, signature, empty = b"\0\0\1\xb6", b"\0\0\1\xb2DivX503b1393p", b"\0\0\1\xb6\x50\x4f"
    head, picture = pictures[0].split(vop, 1)
    packed = [head + signature + vop + picture]
    rest = pictures[1:]
    while rest:
        first = rest.pop(0)
        second = rest[0][rest[0].index(vop) :] if rest else b""
        if second and second[4] >> 6 == 2:  # a B-frame
            rest.pop(0)
            packed += [first + second, empty]
        else:
            packed.append(first)
    with av.open(str(path), "w", format="avi") as file:
        stream = file.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for number, content in enumerate(packed):
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, RATE), stream
            packet.is_keyframe = content[content.index(vop) + 4] >> 6 == 0
            file.mux(packet)
    return path
