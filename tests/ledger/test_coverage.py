"""Every medium of a set is opened, and what fails is counted by kind."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dynfocus.config.schema import Evaluation
from dynfocus.errors import UserError
from dynfocus.ledger.coverage import inspect, media_of_set, require, summary, write_report


def film(path: Path, frames: int = 12, sound_only: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if sound_only:
            stream = container.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 8000
            packets = [*stream.encode(sound), *stream.encode()]
        else:
            stream = container.add_stream("libx264", rate=4)
            stream.width = stream.height = 32
            pixels = np.random.default_rng(0).integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8)
            packets = [packet for image in pixels for packet in stream.encode(av.VideoFrame.from_ndarray(image))]
            packets += stream.encode()
        container.mux(packets)
    return path


@pytest.fixture
def videos(tmp_path):
    """A WebVidQA of seven films, five of them faulty in different ways; one film has two records."""
    names = ["whole", "again", "missing", "empty", "page", "half", "sound"]
    rows = [{"video": f"{name}.mp4", "QA": [{"i": "", "q": "what?", "a": "this"}]} for name in [*names, "whole"]]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    folder = tmp_path / "videos"
    for name in ("whole", "again", "half"):
        film(folder / f"{name}.mp4")
    film(folder / "sound.mp4", sound_only=True)
    (folder / "empty.mp4").touch()
    (folder / "page.mp4").write_text("<html>sign in</html>" * 20)
    content = (folder / "half.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(content[: len(content) // 2])
    return tmp_path


def test_every_fault_of_a_video_is_counted_by_its_kind(videos):
    report = inspect("webvid_qa", videos, threads=2)
    assert (report.media, report.readable_media, report.samples, report.readable_samples) == (7, 2, 8, 3)
    kinds = {Path(fault.medium).stem: fault.kind for fault in report.faults}
    assert kinds["missing"] == "missing" and kinds["empty"] == "empty" and kinds["sound"] == "no video stream"
    assert kinds["page"] == "not a video" and kinds["half"] in ("not a video", "broken", "cut off", "undecodable")
    assert sum(report.failures.values()) == len(report.faults) == 5
    assert summary(report).startswith("webvid_qa: 2 of 7 media readable, 3 of 8 samples (")


@pytest.mark.parametrize(
    ("name", "kind"), [("cut.jpg", "broken"), ("text.jpg", "not an image"), ("gone.jpg", "missing")]
)
def test_every_fault_of_an_image_is_counted_by_its_kind(tmp_path, name, kind):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        tmp_path / "images/whole.jpg"
    )
    content = (tmp_path / "images/whole.jpg").read_bytes()
    (tmp_path / "images/cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "images/text.jpg").write_text("no image")
    talk = [{"from": "human", "value": "what?"}, {"from": "gpt", "value": "this"}]
    rows = [{"id": image, "image": image, "conversations": talk} for image in ("whole.jpg", name)]
    (tmp_path / "chat.json").write_text(json.dumps(rows))
    report = inspect("llava_cc3m", tmp_path, threads=1)
    assert report.failures == {kind: 1} and report.readable_media == 1
    assert name in report.faults[0].message and "\n" not in report.faults[0].message


def test_a_set_below_the_limit_is_refused_with_its_failures(videos, tmp_path):
    file = tmp_path / "coverage" / "webvid_qa.json"
    write_report(inspect("webvid_qa", videos, threads=1), file)
    assert json.loads(file.read_text())["share"] == pytest.approx(2 / 7, abs=1e-6)
    require(file, 0.2)
    with pytest.raises(
        UserError, match=r"webvid_qa: 2 of 7 media are readable \(.*1 missing.*\), below video\.min_readable 0\.9"
    ) as error:
        require(file, 0.9)
    assert "\n" not in str(error.value)


def test_a_set_of_which_all_media_are_missing_says_which_folders_were_searched(tmp_path):
    rows = [{"video_name": "clip", "question": "what?", "answer": "x"}]
    (tmp_path / "msrvtt_qa.json").write_text(json.dumps(rows))
    report = inspect("msrvtt_qa", tmp_path, threads=1)
    assert report.searched[:2] == [str(tmp_path / "videos"), str(tmp_path / "videos/all")]
    assert f"; searched {tmp_path / 'videos'}, {tmp_path / 'videos/all'}, " in summary(report)
    write_report(report, tmp_path / "report.json")
    with pytest.raises(UserError, match=r"0 of 1 media are readable \(1 missing; searched .*videos/all, .*\), below"):
        require(tmp_path / "report.json", 0.5)
    film(tmp_path / "videos/all/clip.mp4")
    assert inspect("msrvtt_qa", tmp_path, threads=1).searched == []


def test_media_of_a_sample_are_those_of_its_questions(tmp_path):
    rows = [{"video_name": f"clip{number}", "question": "what?", "answer": "x"} for number in range(9)]
    (tmp_path / "msvd_qa.json").write_text(json.dumps(rows))
    every = media_of_set("msvd_qa", tmp_path)
    few = media_of_set("msvd_qa", tmp_path, Evaluation(limit=3))
    assert len(every) == 9 and len(few) == 3 and set(few) < set(every)
