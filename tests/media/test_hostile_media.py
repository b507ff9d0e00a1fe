"""Hostile media through coverage, sampling and extraction: each ends as frames or as a fault of its own."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from codings import CODINGS, Coding, moving, write
from PIL import Image

from dynfocus.config.schema import Video
from dynfocus.errors import MediumError
from dynfocus.features.decode import frame_count, sample
from dynfocus.features.extract import read_medium
from dynfocus.ledger.coverage import examine

VIDEO = Video(fps=5.0, max_frames=40, capped_frames=20, image_size=32)
H264 = CODINGS["H.264 without B-frames"]
LOSSLESS = CODINGS["FFV1"]
Make = Callable[[Path], object]
Change = Callable[[bytes], bytes]


def film(path: Path, count: int = 20, height: int = 32, width: int = 48, coding: Coding = H264, **more) -> bytes:
    """A good film of `count` frames, and its bytes."""
    return write(path, coding, moving(count, height, width), **more).read_bytes()


def changed(change: Change, name: str = "film.mp4") -> Make:
    """A good film with its bytes changed."""

    def make(path: Path) -> None:
        good = path.with_name(f"good-{name}")
        path.write_bytes(change(film(good)))
        good.unlink()

    return make


def cut(start: float, end: float) -> Change:
    return lambda data: data[int(len(data) * start) : int(len(data) * end)]


def zeroed(start: float, end: float) -> Change:
    return lambda data: data[: int(len(data) * start)] + bytes(int(len(data) * (end - start))) + cut(end, 1)(data)


def replaced(old: bytes, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new)

    return change


def noise_in_mdat(data: bytes) -> bytes:
    place = data.index(b"mdat") + 4
    size = struct.unpack(">I", data[place - 8 : place - 4])[0] - 8
    return data[:place] + np.random.default_rng(0).bytes(size) + data[place + size :]


def huge_count(kind: bytes) -> Change:
    """A table of an MP4 that claims to have two thousand million entries."""

    def change(data: bytes) -> bytes:
        place = data.index(kind) + 8 + (4 if kind == b"stsz" else 0)
        return data[:place] + struct.pack(">I", 0x7FFFFFFF) + data[place + 4 :]

    return change


def at_times(*times: float) -> Make:
    return lambda path: write(path, LOSSLESS, moving(len(times), 32, 48), times=times)


def of_size(height: int, width: int, coding: Coding = LOSSLESS) -> Make:
    return lambda path: film(path, 6, height, width, coding)


def with_aspect(aspect: Fraction) -> Make:
    def make(path: Path) -> None:
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", rate=5)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect
            for array in moving(6, 32, 48):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
            file.mux(stream.encode())

    return make


def of_pixels(pixels: str) -> Make:
    return lambda path: film(path, 6, coding=Coding("ffv1", {}, "mkv", pixels))


def joined(*pictures: tuple[int, int]) -> Make:
    """MJPEG in AVI whose frames have these heights and widths."""

    def make(path: Path) -> None:
        packets = []
        for height, width in pictures:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 5)
            frame = av.VideoFrame.from_ndarray(moving(1, height, width)[0], format="rgb24").reformat(format="yuvj420p")
            packets += [bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]]
        with av.open(str(path), "w", format="matroska") as file:
            stream = file.add_stream("mjpeg", rate=5)
            stream.height, stream.width = pictures[0]
            stream.pix_fmt = "yuvj420p"
            for number, content in enumerate(packets):
                packet = av.Packet(content)
                packet.pts = packet.dts = number
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 5), stream, True
                file.mux(packet)

    return make


def sound(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


def bomb(path: Path) -> None:
    """A PNG of 60000 x 60000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 16))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def picture(
    mode: str = "RGB", size: tuple[int, int] = (48, 32), change: Callable[[bytes], bytes] | None = None
) -> Make:
    def make(path: Path) -> None:
        Image.new(mode, size).save(path)
        if change:
            path.write_bytes(change(path.read_bytes()))

    return make


def text(content: str) -> Make:
    return lambda path: path.write_text(content)


# The name of the file, how it is made, and its end: frames sampled at five a second, or the kind of the fault.
MEDIA: dict[str, tuple[str, Make, int | str]] = {
    # No film at all
    "nothing": ("a.mp4", lambda path: path.touch(), "empty"),
    "a byte": ("a.mp4", lambda path: path.write_bytes(b"a"), "not a video"),
    "a page that says 404": ("a.mp4", text("<html><body>404 Not Found</body></html>"), "not a video"),
    "zeros": ("a.mp4", lambda path: path.write_bytes(bytes(1 << 16)), "not a video"),
    "noise": ("a.mp4", lambda path: path.write_bytes(np.random.default_rng(0).bytes(1 << 16)), "not a video"),
    "sound alone": ("a.mp4", sound, "no video stream"),
    "a folder": ("a.mp4", lambda path: path.mkdir(), "missing"),
    "a link to nowhere": ("a.mp4", lambda path: path.symlink_to("none"), "missing"),
    "a link to itself": ("a.mp4", lambda path: path.symlink_to(path), "missing"),
    "a pipe": ("a.mp4", os.mkfifo, "missing"),
    "a name of 300 letters": ("a" * 300 + ".mp4", lambda path: None, "broken"),
    "a name with a zero": ("a\0b.mp4", lambda path: None, "missing"),
    # What names other files
    "a playlist of addresses": (
        "a.mp4",
        text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        "fault",
    ),
    "a playlist of a file": (
        "a.mp4",
        lambda path: (
            film(path.with_name("x.ts")),
            path.write_text(
                f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path.with_name('x.ts')}\n#EXT-X-ENDLIST\n"
            ),
        ),
        "fault",
    ),
    "a script that joins files": (
        "a.mp4",
        lambda path: (film(path.with_name("x.mp4")), path.write_text("ffconcat version 1.0\nfile x.mp4\n")),
        "playlist",
    ),
    # Cut, overwritten, joined
    "its beginning alone": ("a.mp4", changed(cut(0, 0.5)), "not a video"),
    "its end alone": ("a.mp4", changed(cut(0.5, 1)), "not a video"),
    "all but its last byte": ("a.mp4", changed(lambda data: data[:-1]), "fault"),
    "zeros in its middle": ("a.mp4", changed(zeroed(0.3, 0.5)), "any"),
    "noise for pictures": ("a.mp4", changed(noise_in_mdat), "fault"),
    "noise behind it": ("a.mp4", changed(lambda data: data + bytes(range(200))), 4),
    "noise before it": ("a.mp4", changed(lambda data: bytes(range(200)) + data), "fault"),
    "two films in one file": ("a.mp4", changed(lambda data: data + data), 4),
    "two streams in one file": ("a.ts", changed(lambda data: data + data, "film.ts"), 8),
    "a stream without every third packet": (
        "a.ts",
        changed(
            lambda d: b"".join(d[k : k + 188] for k in range(0, len(d), 188) if k // 188 % 3 or k < 1880), "film.ts"
        ),
        "any",
    ),
    "matroska without its end": ("a.mkv", changed(cut(0, 0.7), "film.mkv"), "cut off"),
    "matroska with noise behind it": ("a.mkv", changed(lambda data: data + bytes(range(200)), "film.mkv"), 4),
    "avi without its index": ("a.avi", changed(replaced(b"idx1", b"JUNK"), "film.avi"), "any"),
    # A container that lies
    "an unknown coding": ("a.mp4", changed(replaced(b"avc1", b"zzzz")), "fault"),
    "no settings of its decoder": ("a.mp4", changed(replaced(b"avcC", b"zzzz")), "any"),
    "two thousand million samples": ("a.mp4", changed(huge_count(b"stsz")), "any"),
    "two thousand million times": ("a.mp4", changed(huge_count(b"stts")), "any"),
    "two thousand million places": ("a.mp4", changed(huge_count(b"stco")), "any"),
    "two thousand million blocks": ("a.mp4", changed(huge_count(b"stsc")), "any"),
    "mp4 under another name": ("a.avi", changed(lambda data: data), 4),
    "a picture under a film's name": ("a.mp4", lambda path: Image.new("RGB", (48, 32)).save(path, "PNG"), 1),
    "a film under a picture's name": ("a.png", changed(lambda data: data), "not an image"),
    "bare H.264": ("a.mp4", lambda path: path.write_bytes(_bare()), 4),
    # Times
    "a single frame": ("a.mkv", lambda path: film(path, 1), 1),
    "all frames at once": ("a.mkv", at_times(0, 0, 0, 0), "any"),
    "a pause of ten hours": ("a.mkv", at_times(0, 36_000), 20),
    "an end after three hundred years": ("a.mkv", at_times(0, 9e9), 20),
    "a beginning before zero": ("a.mkv", at_times(-3, -2.8, -2.6), 3),
    # Sizes and pixels
    "one pixel": ("a.mkv", of_size(1, 1, Coding("ffv1", {}, "mkv", "yuv444p")), 2),
    "odd sides": ("a.mkv", of_size(33, 17, Coding("ffv1", {}, "mkv", "yuv444p")), 2),
    "a line": ("a.mkv", of_size(2, 4096), "unusable size"),
    "a column": ("a.mkv", of_size(4096, 16), "unusable size"),
    "pixels a hundred times as wide": ("a.mp4", with_aspect(Fraction(100, 1)), 6),
    "pixels sixteen times as high": ("a.mp4", with_aspect(Fraction(1, 16)), 6),
    "grey": ("a.mkv", of_pixels("gray"), 2),
    "grey of 16 bits": ("a.mkv", of_pixels("gray16le"), 2),
    "RGB with alpha": ("a.mkv", of_pixels("bgra"), 2),
    "4:1:0": ("a.mkv", of_pixels("yuv410p"), 2),
    "a size that grows": ("a.mkv", joined((32, 48), (96, 16), (480, 640)), 3),
    "a size that becomes a line": ("a.mkv", joined((32, 48), (2, 2048)), "unusable size"),
    # Pictures
    "a bomb": ("a.png", bomb, "fault"),
    "a picture cut off": ("a.jpg", picture(size=(640, 480), change=lambda data: data[: len(data) // 2]), "fault"),
    "a thread": ("a.png", picture(size=(1, 20_000)), "unusable size"),
    "a short thread": ("a.png", picture(size=(1, 200)), 1),
    "a drawing": ("a.png", text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), "not an image"),
    "two colours": ("a.png", picture("1"), 1),
    "Lab": ("a.tif", picture("LAB"), "any"),
    "floats that are no numbers": (
        "a.tiff",
        lambda path: Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(path),
        "any",
    ),
    "a film as a picture": (
        "a.gif",
        lambda path: Image.new("L", (8, 8)).save(
            path, save_all=True, append_images=[Image.new("L", (8, 8), 200)] * 3, duration=0
        ),
        "any",
    ),
}


def _bare() -> bytes:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 48, 32, "yuv420p", Fraction(1, 25)
    frames = [
        av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p") for array in moving(20, 32, 48)
    ]
    return b"".join(bytes(packet) for frame in [*frames, None] for packet in encoder.encode(frame))


def outcome(read: Callable[[], int]) -> int | str:
    """Frames, or the kind of the fault, whose message is one line."""
    try:
        return read()
    except MediumError as error:
        assert str(error).isprintable() and "; " in str(error)
        return error.kind


@pytest.mark.parametrize("name", MEDIA)
def test_a_hostile_medium_ends_as_frames_or_as_one_fault(name, tmp_path):
    file, make, expected = MEDIA[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(tmp_path / file)
        extracted = outcome(lambda: len(read_medium(tmp_path, file, VIDEO)[0]))
        fault = examine(tmp_path, file)
    print(f"{name}: {extracted}, {fault.kind if fault else 'readable'}")
    if isinstance(expected, int):
        assert extracted == expected and fault is None
    elif expected == "fault":
        assert isinstance(extracted, str) and fault is not None
    elif expected != "any":
        assert expected in str(extracted) and fault is not None
    if isinstance(extracted, int) and file.endswith((".mp4", ".mkv", ".avi", ".ts")):
        assert len(sample(tmp_path / file, VIDEO, lambda frame: frame.shape).frames) == extracted
        assert frame_count(tmp_path / file) >= 1


NAMES = [
    "[red]a[b]",
    "-rf",
    "a\nb",
    "'\"`$(x)",
    "\x1b[31ma",
    "a b",
    "{set}",
    "%03d",
    "concat:a|b",
    "pipe:0",
    "file:x",
    "\u2028",
    "é",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_film_of_any_name_is_read_and_its_fault_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(Path("good.mp4"))
    Path("good.mp4").rename(f"{name}.mp4")
    assert len(read_medium(Path(), f"{name}.mp4", VIDEO)[0]) == 4 and examine(Path(), f"{name}.mp4") is None
    Path(f"{name}.mp4").write_bytes(b"broken")
    fault = examine(Path(), f"{name}.mp4")
    assert fault is not None and fault.message.isprintable()
