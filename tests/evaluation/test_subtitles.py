"""Video-MME with subtitles: the official prompt, with what is shown at the times of the sampled frames."""

from __future__ import annotations

import official_files
import pytest
from benchmark_films import film

from dynfocus.config.schema import Video
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.benchmarks.video_mme import PROMPT
from dynfocus.evaluation.subtitles import Caption, captions, frame_times, shown_at, with_subtitles

SRT = """\ufeff1
00:00:00,000 --> 00:00:01,500
<font color="white" size=".72c">Hello</font>

2
00:00:01,600 --> 00:00:01,900
never at a whole second

3
00:00:02,000 --> 00:00:02,800
two
lines

4
00:00:02,900 --> 00:01:02,900
two lines
"""


@pytest.fixture
def folder(tmp_path):
    """Three videos of three seconds; the first has subtitles, the last is not there."""
    official_files.video_mme(tmp_path, videos=3)
    for number in range(2):
        film(tmp_path / f"data/video00000{number}.mp4", frames=16)
    (tmp_path / "data/video000002.mp4").unlink()
    (tmp_path / "subtitle").mkdir()
    (tmp_path / "subtitle/video000000.srt").write_text(SRT, encoding="utf-8", newline="\r\n")
    (tmp_path / "subtitle/video000002.srt").write_text(SRT, encoding="utf-8")
    return tmp_path


def test_subtitles_stand_in_front_of_the_official_prompt_where_there_are_any(folder):
    plain = benchmark("video_mme").load(folder)
    asked = with_subtitles(plain, folder, Video())
    assert asked[0].text.split("\n")[:4] == [
        "This video's subtitles are listed below:",
        "Hello",
        "two lines",
        PROMPT,
    ]
    assert asked[0].text.endswith(plain[0].text) and asked[0].encoder_prompt == plain[0].encoder_prompt
    assert asked[3] == plain[3], "no subtitle file"
    assert asked[6] == plain[6], "no video, so no sampled frame"


def test_frames_are_those_that_the_configuration_samples(folder):
    path = folder / "data/video000000.mp4"
    assert frame_times(path, Video()) == [0.0, 1.0, 2.0, 3.0]
    assert frame_times(path, Video(fps=2, max_frames=4, capped_frames=2)) == [1.5, 3.5]


def test_captions_and_what_is_shown(folder):
    found = captions(folder / "subtitle/video000000.srt")
    assert found[0] == Caption(0.0, 1.5, "Hello") and found[2].text == "two lines" and found[3].end == 62.9
    assert shown_at(found, [1.7]) == "never at a whole second"
    assert shown_at(found, [0.5, 1.5]) == "Hello", "a caption ends before its end"
    assert shown_at(found, []) == ""


def test_a_set_without_subtitles_or_with_a_broken_file_says_so(folder):
    (folder / "subtitle/video000000.srt").write_text("no times here")
    with pytest.raises(UserError, match=r"video000000\.srt: no subtitle with times such as"):
        with_subtitles(benchmark("video_mme").load(folder), folder, Video())
    for file in (folder / "subtitle").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"no subtitle/\*\.srt of its videos found"):
        with_subtitles(benchmark("video_mme").load(folder), folder, Video())
