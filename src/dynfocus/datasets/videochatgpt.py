"""VideoChatGPT-100K: one question and answer a row, on ActivityNet videos.

    VideoInstruct100K.json                       {"q", "a", "video_id"}, or the converted LLaVA form
    activitynet/train/{video_id}.mp4

The raw rows put the media token after the question in even rows and before it in odd rows, as their own converter does;
in the converted form `<video>` reads as `<image>` and `{video_id}.pkl` as the video's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dynfocus.datasets.records import IMAGE_TOKEN, Record, checked_talk, field, read_rows, talk

FILE = "VideoInstruct100K.json"
VIDEOS = "activitynet/train"


def read_videochatgpt(folder: Path) -> list[Record]:
    """Records of `VideoInstruct100K.json`, one a row; repeated video ids are numbered."""
    path = folder / FILE
    return [
        _converted(row, path, number) if "conversations" in row else _raw(row, path, number)
        for number, row in enumerate(read_rows(path))
    ]


def _raw(row: Mapping[str, Any], path: Path, number: int) -> Record:
    question, answer, video = (field(row, name, path, number) for name in ("q", "a", "video_id"))
    text = f"{question}\n{IMAGE_TOKEN}" if number % 2 == 0 else f"{IMAGE_TOKEN}\n{question}"
    return {"id": f"{video}_{number}", "video": f"{VIDEOS}/{video}.mp4", "conversations": talk([(text, answer)])}


def _converted(row: Mapping[str, Any], path: Path, number: int) -> Record:
    file = PurePosixPath(field(row, "video", path, number))
    parent = VIDEOS if file.parent == PurePosixPath(".") else str(file.parent)
    suffix = ".mp4" if file.suffix in ("", ".pkl") else file.suffix
    turns = checked_talk(field(row, "conversations", path, number, list), path, number)
    for turn in turns:
        turn["value"] = turn["value"].replace("<video>", IMAGE_TOKEN)
    return {
        "id": f"{field(row, 'id', path, number, (str, int))}_{number}",
        "video": f"{parent}/{file.stem}{suffix}",
        "conversations": turns,
    }
