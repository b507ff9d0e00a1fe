"""Frames by index are those of a full decode, whatever the groups of pictures; a bad file is one clear line."""

from __future__ import annotations

import itertools
import wave

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from films import decode_all, pictures, write_film

from dynfocus.config.schema import Video
from dynfocus.errors import UserError
from dynfocus.features.decode import frame_count, read_frames, sample_frames
from dynfocus.features.packets import survey
from dynfocus.features.timeline import sample_indices

FRAMES = 50
CODINGS = {
    "every frame a key frame": {"g": "1"},
    "short groups": {"g": "5", "bf": "0", "x264_params": "scenecut=0"},
    "short groups with B-frames": {"g": "6", "bf": "3", "x264_params": "scenecut=0:b-adapt=0"},
    "open groups with B-frames": {
        "g": "8",
        "bf": "3",
        "x264_params": "scenecut=0:open-gop=1:b-adapt=0:b-pyramid=normal",
    },
    "one long group": {"g": "250", "bf": "3", "x264_params": "scenecut=0:b-adapt=0"},
    "no B-frames, one long group": {"g": "250", "bf": "0", "x264_params": "scenecut=0"},
}


@pytest.fixture(scope="module", params=CODINGS)
def film(request, tmp_path_factory):
    """(path, all frames in display order) of one film in one coding."""
    path = tmp_path_factory.mktemp("coded") / "film.mp4"
    write_film(path, pictures(FRAMES), **CODINGS[request.param])
    return path, decode_all(path)


def picture_types(path) -> list[tuple[str, bool]]:
    """(type, is key frame) of every frame in display order."""
    with av.open(str(path)) as container:
        return [(PictureType(frame.pict_type).name, frame.key_frame) for frame in container.decode(video=0)]


def test_the_codings_are_what_they_are_called(tmp_path):
    types = {
        name: picture_types(write_film(tmp_path / f"{number}.mp4", pictures(FRAMES), **options))
        for number, (name, options) in enumerate(CODINGS.items())
    }
    keys = {name: sum(key for _, key in frames) for name, frames in types.items()}
    assert keys["every frame a key frame"] == FRAMES
    assert keys["one long group"] == keys["no B-frames, one long group"] == 1
    assert keys["short groups"] == 10 and keys["short groups with B-frames"] >= 8
    for name, frames in types.items():
        assert ("B" in {kind for kind, _ in frames}) == ("with B" in name or name == "one long group"), name
    opened = types["open groups with B-frames"]
    leading = [before for (before, _), (_, key) in itertools.pairwise(opened) if key]
    assert "B" in leading, "no frame leans on the key frame after it"


def test_all_frames_are_read_as_in_a_full_decode(film):
    path, frames = film
    assert frame_count(path) == len(frames) == FRAMES
    np.testing.assert_array_equal(read_frames(path, range(FRAMES)), frames)


def test_each_single_frame_is_read_as_in_a_full_decode(film):
    path, frames = film
    for index in range(FRAMES):
        np.testing.assert_array_equal(read_frames(path, [index]), frames[index : index + 1], err_msg=str(index))


def test_frames_come_in_the_order_asked_for_with_repeats(film):
    path, frames = film
    rng = np.random.default_rng(1)
    for size in (2, 7, 30):
        indices = rng.integers(0, FRAMES, size)
        np.testing.assert_array_equal(read_frames(path, indices), frames[indices])
    np.testing.assert_array_equal(read_frames(path, [9, 3, 3, 9, 0]), frames[[9, 3, 3, 9, 0]])


def test_sampled_frames_are_those_of_the_indices(film):
    path, frames = film
    taken, indices = sample_frames(path, Video(fps=1.0))
    assert indices.tolist() == list(range(0, FRAMES, 4))
    np.testing.assert_array_equal(taken, frames[indices])


def test_the_rate_is_that_of_the_file(tmp_path):
    assert survey(write_film(tmp_path / "film.mp4", pictures(6), rate=3)).rate == 3.0


@pytest.mark.parametrize("index", [-1, 50, 1000])
def test_a_frame_beyond_the_end_is_an_error(index, tmp_path):
    path = write_film(tmp_path / "film.mp4", pictures(FRAMES))
    with pytest.raises(UserError, match=rf"film\.mp4: frame {index} .* the video has 50"):
        read_frames(path, [0, index])


@pytest.mark.parametrize(
    ("frames", "rate", "fps", "expected"),
    [
        (30, 10.0, 1.0, [0, 10, 20]),
        (31, 10.0, 1.0, [0, 10, 20, 30]),
        (61, 29.97, 1.0, [0, 30, 60]),
        (9, 25.0, 10.0, [0, 2, 4, 6, 8]),
        (3, 0.4, 1.0, [0, 1, 2]),
        (4, 2.0, 4.0, [0, 1, 2, 3]),
        (1, 30.0, 1.0, [0]),
    ],
)
def test_one_frame_every_rate_over_fps_frames_from_the_first_on(frames, rate, fps, expected):
    indices = sample_indices(frames, rate, Video(fps=fps))
    assert indices.dtype == np.int64
    assert indices.tolist() == expected


@pytest.mark.parametrize(
    ("frames", "rate", "expected"),
    [
        (10, 1.0, list(range(10))),  # at the cap, not over it
        (12, 1.0, [2, 5, 8, 11]),  # (i + 1) * 12 / 4 - 1
        (11, 1.0, [2, 4, 7, 10]),  # 1.75, 4.5 (to even), 7.25, 10
        (36, 3.0, [6, 15, 24, 33]),  # places 2, 5, 8, 11 of 0, 3, ..., 33
    ],
)
def test_a_video_over_the_cap_is_thinned_evenly(frames, rate, expected):
    video = Video(fps=1.0, max_frames=10, capped_frames=4)
    assert sample_indices(frames, rate, video).tolist() == expected


def test_the_paper_keeps_200_of_a_video_of_more_than_1000_seconds():
    assert len(sample_indices(1000 * 25, 25.0, Video())) == 1000
    indices = sample_indices(1001 * 25, 25.0, Video())
    assert len(indices) == len(set(indices.tolist())) == 200
    assert indices[-1] == 1000 * 25


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_a_truncated_video_is_named_and_never_read_as_a_shorter_one(share, movflags, tmp_path):
    path = write_film(tmp_path / "film.mp4", pictures(FRAMES, 64, 96), movflags=movflags, g="10")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError) as error:
        sample_frames(path, Video(fps=1.0))
    assert str(path) in one_line(error)


def test_a_video_with_broken_frames_is_named(tmp_path):
    path = write_film(tmp_path / "film.mp4", pictures(FRAMES, 64, 96), g="10", bf="0")
    content = bytearray(path.read_bytes())
    start, length = content.index(b"mdat") + 2000, len(content) // 2
    content[start : start + length] = bytes(length)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError) as error:
        read_frames(path, range(FRAMES))
    assert str(path) in one_line(error)


def test_a_text_file_with_the_name_of_a_video_is_named(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("not a film\n" * 100)
    for read in (frame_count, lambda file: read_frames(file, [0])):
        with pytest.raises(UserError, match=r"film\.mp4: not a readable video .*; replace the file") as error:
            read(path)
        assert str(path) in one_line(error)


def test_an_empty_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for name in ("empty.mp4", "missing.mp4"):
        with pytest.raises(UserError, match=f"{name}: not a readable video") as error:
            frame_count(tmp_path / name)
        one_line(error)


def test_a_file_with_sound_alone_has_no_video_stream(tmp_path):
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with pytest.raises(UserError, match=r"sound\.wav: no video stream; replace the file") as error:
        frame_count(path)
    one_line(error)
