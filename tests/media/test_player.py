"""What a player does with a film: turns it, cuts its lead-in, keeps its shape, leaves out what leans on nothing."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from codings import CODINGS, RATE, Coding, moving, write
from films import decode_all
from PIL import Image

from dynfocus.config.schema import Video
from dynfocus.errors import MediumError
from dynfocus.features.decode import frame_count, read_frames, sample, sample_frames
from dynfocus.features.extract import read_medium
from dynfocus.features.packets import survey

SHARP = Coding("libx264", {"g": "12", "bf": "2", "qp": "4", "preset": "veryfast"}, "mp4 mkv")


def corners(count: int = 4, height: int = 64, width: int = 96) -> np.ndarray:
    """Frames whose corners are red, green, blue and white, clockwise from the upper left, on grey."""
    frame = np.full((height, width, 3), 90, np.uint8)
    half = height // 4
    frame[:half, :half] = 255, 0, 0
    frame[:half, -half:] = 0, 255, 0
    frame[-half:, -half:] = 0, 0, 255
    frame[-half:, :half] = 255, 255, 255
    return np.broadcast_to(frame, (count, *frame.shape))


def copied(source, path, first: int = 0, options=None, prepare=lambda stream: None, shift: int = 0, cover=None):
    """The packets of a film from the packet `first` on in another file."""
    with av.open(str(source)) as old, av.open(str(path), "w", options=options or {}) as new:
        origin = old.streams.video[0]
        if cover is not None:
            picture = new.add_stream("mjpeg", rate=RATE)
            picture.height, picture.width, picture.pix_fmt = 96, 128, "yuvj420p"
            picture.disposition = cover
        stream = new.add_stream_from_template(origin)
        prepare(stream)
        if cover is not None:
            frame = av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")
            new.mux(picture.encode(frame))
            new.mux(picture.encode())
        for number, packet in enumerate(old.demux(origin)):
            if packet.size and number >= first:
                packet.stream = stream
                packet.pts = packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                new.mux(packet)
    return path


def with_matrix(path, *values: float):
    """Put a display matrix (a, b, c, d) into the track header of an mp4 file."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (int(value * 65536) for value in values)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), lambda x: x),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),  # a phone held upright: a quarter clockwise
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
        ((0.99, 0.1, -0.1, 0.99), lambda x: x),
    ],
)
def test_a_film_is_turned_as_its_display_matrix_says(matrix, seen, tmp_path):
    path = write(tmp_path / "film.mp4", SHARP, corners())
    stored = decode_all(path)
    with_matrix(path, *matrix)
    np.testing.assert_array_equal(read_frames(path, [2])[0], seen(stored[2]))
    np.testing.assert_array_equal(sample_frames(path, Video(fps=25.0))[0], [seen(frame) for frame in stored])


@pytest.mark.parametrize(("aspect", "width"), [("4:3", 128), ("1:2", 48), ("16:11", 140), ("1:300", 96)])
def test_pixels_become_square(aspect, width, tmp_path):
    coding = Coding("libx264", {**SHARP.options, "aspect": "x"}, "mp4")
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt, stream.options = 64, 96, "yuv420p", dict(SHARP.options)
        stream.codec_context.sample_aspect_ratio = Fraction(*map(int, aspect.split(":")))
        for array in corners():
            file.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        file.mux(stream.encode())
    frame = read_frames(path, [1])[0]
    assert frame.shape == (64, width, 3), coding
    stored = np.asarray(Image.fromarray(decode_all(path)[1]).resize((width, 64), Image.Resampling.BICUBIC))
    assert np.abs(frame.astype(int) - stored).mean() < 4


def test_a_discarded_lead_in_is_decoded_and_not_counted(tmp_path):
    """A clip trimmed without encoding begins inside a group: an edit list hides what is before the cut."""
    source = write(tmp_path / "film.mp4", SHARP, moving())
    path = copied(source, tmp_path / "cut.mp4", shift=-15 * 512)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    if not any(packet.is_discard for packet in packets):
        pytest.fail("the film has no lead-in to discard")
    frames = decode_all(path)
    assert frame_count(path) == len(frames) < len(packets)
    assert survey(path).shown is not None
    np.testing.assert_array_equal(read_frames(path, range(len(frames))), frames)
    taken = sample(path, Video(fps=5.0), lambda frame: frame)
    np.testing.assert_array_equal(np.stack(taken.frames), frames[taken.indices])
    assert taken.seconds[0] == 0 and np.diff(taken.seconds).min() > 0.15


def test_negative_first_times_are_counted_from_the_first_frame(tmp_path):
    """Offsets of presentation in FLV are signed; its muxer writes none that lead below 0, so they are set here."""
    path = write(tmp_path / "film.flv", CODINGS["H.264 with B-frames"], moving())
    content, place = bytearray(path.read_bytes()), 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                place = content.index(bytes(packet), place + 4) - 3
                content[place : place + 3] = (packet.pts - packet.dts - 500).to_bytes(3, "big", signed=True)
    path.write_bytes(bytes(content))
    with av.open(str(path)) as container:
        assert min(packet.pts for packet in container.demux(video=0) if packet.size) < -300
    taken = sample(path, Video(fps=5.0), lambda frame: frame)
    assert taken.indices.tolist() == list(range(0, 40, 5))
    np.testing.assert_allclose(taken.seconds, np.arange(8) / 5, atol=1e-3)
    np.testing.assert_array_equal(np.stack(taken.frames), decode_all(path)[taken.indices])


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
@pytest.mark.parametrize("coding", ["H.264 with B-frames", "MPEG-2 with B-frames"])
def test_a_size_that_changes_midway(coding, suffix, tmp_path):
    first = write(tmp_path / f"a.{suffix}", CODINGS[coding], moving(20))
    second = write(tmp_path / f"b.{suffix}", CODINGS[coding], moving(20, 64, 80))
    path = tmp_path / f"both.{suffix}"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    sizes = {read_frames(path, [index]).shape[1:3] for index in (0, frame_count(path) - 1)}
    assert sizes == {(96, 128), (64, 80)}
    frames, indices = sample_frames(path, Video(fps=5.0))
    assert frames.shape[1:] == (96, 128, 3) and len(frames) == len(indices) >= 8
    fitted, _ = read_medium(tmp_path, path.name, Video(fps=5.0, image_size=32))
    assert fitted.shape == (len(frames), 32, 32, 3)


@pytest.mark.parametrize("coding", ["H.264 with B-frames", "H.264 with open groups", "HEVC with open groups"])
@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_stream_that_starts_inside_a_group_begins_with_its_first_whole_picture(coding, suffix, tmp_path):
    source = write(tmp_path / f"film.{suffix}", CODINGS[coding], moving())
    whole = decode_all(source)
    path = copied(source, tmp_path / f"inside.{suffix}", first=4)
    count = frame_count(path)
    assert 24 <= count <= 31
    np.testing.assert_array_equal(read_frames(path, range(count)), whole[-count:])


@pytest.mark.parametrize("coding", ["MPEG-2 with B-frames", "MPEG-4 with B-frames"])
def test_a_stream_of_an_older_coding_that_starts_inside_a_group(coding, tmp_path):
    source = write(tmp_path / "film.ts", CODINGS[coding], moving())
    whole = decode_all(source)
    path = copied(source, tmp_path / "inside.ts", first=4)
    count = frame_count(path)
    assert 24 <= count <= 31
    np.testing.assert_array_equal(read_frames(path, range(count)), whole[-count:])


@pytest.mark.parametrize("cover", [Disposition.attached_pic, Disposition.default])
def test_a_picture_before_the_film_is_its_cover(cover, tmp_path):
    source = write(tmp_path / "film.mp4", CODINGS["H.264 with B-frames"], moving())
    path = copied(source, tmp_path / "covered.mp4", cover=cover)
    with av.open(str(path)) as container:
        first = next(stream.codec_context.name for stream in container.streams.video)
    assert first == "mjpeg" or cover is Disposition.attached_pic  # which an mp4 file keeps behind its film
    assert frame_count(path) == 40
    np.testing.assert_array_equal(read_frames(path, [3, 39]), decode_all(source)[[3, 39]])


def test_a_cover_alone_is_no_film(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        picture = file.add_stream("mjpeg", rate=1)
        picture.height, picture.width, picture.pix_fmt = 96, 128, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        sound = file.add_stream("aac", rate=44100)
        file.mux(picture.encode(av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")))
        file.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        file.mux([*sound.encode(frame), *sound.encode()])
    with pytest.raises(MediumError, match="no video stream but a cover") as error:
        frame_count(path)
    assert error.value.kind == "no video stream"
