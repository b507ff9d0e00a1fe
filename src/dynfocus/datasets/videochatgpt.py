"""VideoChatGPT-100K: one question and answer a row, on ActivityNet videos.

    VideoInstruct100K.json                       {"q", "a", "video_id"}, or the converted LLaVA form
    activitynet/train/{video_id}.mp4

The raw rows put the media token after the question in even rows and before it in odd rows, as their own converter does;
in the converted form `<video>` reads as `<image>` and `{video_id}.pkl` as the video's file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from dynfocus.datasets.records import IMAGE_TOKEN, Record, TrainingSet, checked_talk, talk
from dynfocus.datasets.rows import Row, read_rows

FILE = "VideoInstruct100K.json"
VIDEOS = "activitynet/train"


def read_videochatgpt(folder: Path) -> list[Record]:
    """Records of `VideoInstruct100K.json`, one a row; repeated video ids are numbered."""
    return [
        _converted(row, number) if "conversations" in row else _raw(row, number)
        for number, row in enumerate(read_rows(folder / FILE))
    ]


VIDEOCHATGPT = TrainingSet(read_videochatgpt, "VideoChatGPT", "Video-Text", "Instruction")


def _raw(row: Row, number: int) -> Record:
    question, answer, video = (row.of(name, str) for name in ("q", "a", "video_id"))
    text = f"{question}\n{IMAGE_TOKEN}" if number % 2 == 0 else f"{IMAGE_TOKEN}\n{question}"
    return {"id": f"{video}_{number}", "video": f"{VIDEOS}/{video}.mp4", "conversations": talk([(text, answer)])}


def _converted(row: Row, number: int) -> Record:
    file = PurePosixPath(row.of("video", str))
    parent = VIDEOS if file.parent == PurePosixPath(".") else str(file.parent)
    suffix = ".mp4" if file.suffix in ("", ".pkl") else file.suffix
    turns = checked_talk(row)
    for turn in turns:
        turn["value"] = turn["value"].replace("<video>", IMAGE_TOKEN)
    return {
        "id": f"{row.text('id')}_{number}",
        "video": f"{parent}/{file.stem}{suffix}",
        "conversations": turns,
    }
