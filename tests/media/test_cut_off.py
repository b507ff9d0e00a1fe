"""A file that was cut off is noticed in every container; a whole one never is."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest
from codings import CODINGS, CONTAINERS, Coding, moving, write

from dynfocus.config.schema import Video
from dynfocus.errors import MediumError
from dynfocus.features.decode import check_video, sample_frames
from dynfocus.features.extract import read_media
from dynfocus.features.whole import is_cut_off
from dynfocus.ledger.coverage import examine

SHARES = (0.2, 0.5, 0.8, 0.9, 0.97, 0.99)
USUAL = {suffix: "H.264 with B-frames" for suffix in CONTAINERS} | {
    "webm": "VP9",
    "avi": "MPEG-4 with B-frames",
    "mpg": "MPEG-2 with B-frames",
    "wmv": "WMV 2",
    "gif": "GIF",
}
LIVE = {
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "live.webm": {"live": "1"},
    "faststart.mov": {"movflags": "faststart"},
}


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_file_cut_off_anywhere_is_a_fault_of_that_file(suffix, tmp_path):
    whole = write(tmp_path / f"whole.{suffix}", CODINGS[USUAL[suffix]], moving(60))
    check_video(whole)
    content = whole.read_bytes()
    for share in SHARES:
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(content[: int(share * len(content)) | 1])
        fault = examine(tmp_path, path.name)
        assert fault is not None and str(path) in fault.message and "\n" not in fault.message, share
        with pytest.raises(MediumError):
            sample_frames(path, Video())


@pytest.mark.parametrize("name", LIVE)
def test_a_part_cut_in_two_is_noticed_in_a_live_file_too(name, tmp_path):
    coding = CODINGS["VP9" if name.endswith("webm") else "H.264 with B-frames"]
    path = write(tmp_path / name, coding, moving(60), options=LIVE[name])
    check_video(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    with pytest.raises(MediumError):
        check_video(path)


def test_tags_missing_at_the_end_are_noticed_by_the_duration(tmp_path):
    """FLV without its last tags: each tag is whole, but the file says how long it is."""
    path = write(tmp_path / "film.flv", CODINGS["Sorenson"], moving(200))
    content = path.read_bytes()
    tags, place = [], 13
    while place < len(content):
        tags.append(place)
        place += 15 + int.from_bytes(content[place + 1 : place + 4], "big")
    path.write_bytes(content[: tags[len(tags) // 2]])
    with pytest.raises(MediumError, match=r"cut off after 3\.9 of 8\.0 s") as error:
        check_video(path)
    assert error.value.kind == "cut off"


def test_sound_that_goes_on_is_no_cut(tmp_path):
    path = tmp_path / "film.flv"
    with av.open(str(path), "w") as file:
        picture = file.add_stream("flv", rate=25)
        picture.height, picture.width, picture.pix_fmt = 96, 128, "yuv420p"
        sound = file.add_stream("aac", rate=44100)
        for array in moving(25):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        file.mux(picture.encode())
        for number in range(200):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * number
            file.mux(sound.encode(frame))
        file.mux(sound.encode())
    check_video(path)


@pytest.mark.parametrize("name", ["avi", "gif", "flv", "ogg", "asf", "mpegts", "mpeg", "matroska,webm"])
def test_no_content_brings_the_walk_down(name, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "file"
    whole = [write(tmp_path / f"{s}.{s}", CODINGS[USUAL[s]], moving(4)).read_bytes() for s in ("avi", "gif", "webm")]
    for size in (0, 1, 3, 7, 12, 13, 40, 300, 5000):
        for head in (b"", *(content[:size] for content in whole)):
            path.write_bytes(head + rng.bytes(size))
            assert is_cut_off(path, name) in (True, False, None)


def test_an_error_of_any_library_is_a_fault_of_one_medium(tmp_path, monkeypatch):
    for name in ("a.mkv", "b.mkv", "c.mkv"):
        write(tmp_path / name, Coding("mjpeg", {}, "mkv", "yuvj420p"), moving(4))
    from dynfocus.features import decode

    kept = decode.displayed

    def failing(frame, aspect):
        if failing.calls == 4:
            failing.calls += 1
            raise ValueError("a plane\nof a kind that nobody foresaw")
        failing.calls += 1
        return kept(frame, aspect)

    failing.calls = 3
    monkeypatch.setattr(decode, "displayed", failing)
    read = dict(read_media(tmp_path, ["a.mkv", "b.mkv", "c.mkv"], Video(fps=25.0, image_size=32)))
    faults = {name: result for name, result in read.items() if isinstance(result, MediumError)}
    assert list(faults) == ["a.mkv"] and faults["a.mkv"].kind == "broken"
    assert "\n" not in str(faults["a.mkv"]) and str(tmp_path / "a.mkv") in str(faults["a.mkv"])


def test_packets_are_not_all_held(tmp_path):
    """200 MB of packets walked and sampled by a process that grows by a fraction of that."""
    import subprocess
    import sys

    code = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from dynfocus.config.schema import Video\n"
        "from dynfocus.features.decode import sample\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "small = sample(Path(sys.argv[1]), Video(), lambda frame: frame[0, 0]); before = peak()\n"
        "large = sample(Path(sys.argv[2]), Video(), lambda frame: frame[0, 0])\n"
        "print(len(small.frames), len(large.frames), peak() - before)\n"
    )
    raw = Coding("rawvideo", {}, "mkv")
    small = write(tmp_path / "small.mkv", raw, np.zeros((2, 720, 960, 3), np.uint8))
    frames = np.broadcast_to(np.zeros((1, 720, 960, 3), np.uint8), (210, 720, 960, 3))
    large = write(tmp_path / "large.mkv", raw, frames)
    assert large.stat().st_size > 200 << 20
    made = subprocess.run(
        [sys.executable, "-c", code, str(small), str(large)], capture_output=True, text=True, env=os.environ, check=True
    )
    few, many, grown = map(int, made.stdout.split())
    assert (few, many) == (1, 9) and grown < 60, f"{grown} MiB"
