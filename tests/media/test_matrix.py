"""Any frame reached at random is the frame that decoding from the start gives, in every container and coding."""

from __future__ import annotations

import shutil
import subprocess

import av
import numpy as np
import pytest
from codings import CODINGS, CONTAINERS, FRAMES, moving, write, write_packed
from films import decode_all

from dynfocus.features.decode import frame_count, read_frames
from dynfocus.features.packets import survey
from dynfocus.features.pixels import displayed

PROGRAM = {
    "Theora in Ogg": ("ogv", "-c:v libtheora -g 12"),
    "Xvid in AVI": ("avi", "-c:v libxvid -g 12 -bf 2"),
    "AV1 of libaom in Matroska": ("mkv", "-c:v libaom-av1 -cpu-used 8 -g 12 -lag-in-frames 8"),
    "MPEG-1 in a program stream": ("mpg", "-c:v mpeg1video -g 12 -bf 2"),
    "MS MPEG-4 in AVI": ("avi", "-c:v msmpeg4v2 -g 12"),
    "H.264 with joined fields": ("ts", "-c:v libx264 -g 12 -bf 2 -flags +ildct+ilme -x264opts bff=1"),
    "VP9 in a live stream": ("webm", "-c:v libvpx-vp9 -cpu-used 8 -g 12 -f webm -live 1"),
    "fragments": ("mp4", "-c:v libx264 -g 12 -bf 2 -movflags frag_keyframe+empty_moov"),
}


def compare(path, every: int = 1) -> None:
    """All frames at once, and each alone, against a decode from the start."""
    with av.open(str(path)) as container:
        aspect = container.streams.video[0].sample_aspect_ratio or 1
        frames = np.stack([displayed(frame, float(aspect)) for frame in container.decode(video=0)])
    count = len(frames)
    assert frame_count(path) == count, path
    np.testing.assert_array_equal(read_frames(path, range(count)), frames, err_msg=str(path))
    for index in range(0, count, every):
        np.testing.assert_array_equal(read_frames(path, [index])[0], frames[index], err_msg=f"{path}: {index}")
    few = np.random.default_rng(0).choice(count, 5)
    np.testing.assert_array_equal(read_frames(path, few), frames[few], err_msg=str(path))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_frame_reached_at_random_is_that_of_a_decode_from_the_start(coding, tmp_path):
    for suffix in CODINGS[coding].containers.split():
        compare(write(tmp_path / f"film.{suffix}", CODINGS[coding], moving()), every=3)


def test_the_matrix_names_every_container_that_takes_a_coding():
    kept = {suffix for coding in CODINGS.values() for suffix in coding.containers.split()}
    assert kept == set(CONTAINERS)


def test_packed_frames_are_those_of_a_decode_from_the_start(tmp_path):
    path = write_packed(tmp_path / "film.avi", moving())
    assert len(decode_all(path)) == FRAMES
    compare(path)


@pytest.mark.parametrize("coding", PROGRAM)
def test_what_the_ffmpeg_program_writes(coding, tmp_path):
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no ffmpeg program on this machine")
    suffix, options = PROGRAM[coding]
    path = tmp_path / f"film.{suffix}"
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1.6", "-pix_fmt", "yuv420p"]
    made = subprocess.run(
        [program, "-v", "error", *source, *options.split(), str(path)], capture_output=True, text=True
    )
    if "Unknown encoder" in made.stderr:
        pytest.skip(f"this ffmpeg program has no {options.split()[1]}")
    assert made.returncode == 0, made.stderr
    compare(path, every=3)


def test_a_short_way_exists_where_the_packets_tell_enough(tmp_path):
    for coding in ("H.264 with B-frames", "H.264 with open groups", "HEVC with open groups", "VP9", "AV1", "MJPEG"):
        for suffix in {"mkv"}.intersection(CODINGS[coding].containers.split()):
            film = survey(write(tmp_path / f"film.{suffix}", CODINGS[coding], moving()))
            assert film.shown is not None and len(film.entries) >= 3, coding


def test_a_key_frame_that_is_none_is_not_believed(tmp_path):
    film = survey(write(tmp_path / "film.mp4", CODINGS["H.264 refreshed bit by bit"], moving()))
    with av.open(str(film.path)) as container:
        marked = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert sum(marked) > 1 and film.entries.tolist() == [0]
