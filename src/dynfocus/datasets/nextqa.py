"""NExT-QA: causal and temporal multiple-choice questions on daily-life videos.

    train.csv                     video, frame_count, width, height, question, answer (index), qid, type, a0 ... a4
    map_vid_vidorID.json          video id -> "0101/2909445186"
    NExTVideo/0101/2909445186.mp4

`train.json` in VideoChat2-IT's form is read in place of the first two where it exists and `train.csv` does not.
One record a video, one round a question, in the order of the file.
"""

from __future__ import annotations

import csv
from pathlib import Path

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import Record, field, read_json, read_rows, talk
from dynfocus.datasets.videochat2 import first_turn_media, videochat2_records
from dynfocus.errors import UserError

VIDEOS = "NExTVideo"
OPTIONS = ("a0", "a1", "a2", "a3", "a4")


def read_nextqa(folder: Path) -> list[Record]:
    """Records of the train split, one a video."""
    path = folder / "train.csv"
    if not path.exists() and (folder / "train.json").exists():
        file = folder / "train.json"
        return videochat2_records(read_rows(file), file, VIDEOS)
    map_file = folder / "map_vid_vidorID.json"
    places = read_json(map_file)
    talks: dict[str, list[tuple[str, str]]] = {}
    for number, row in enumerate(_read_csv(path), start=1):
        talks.setdefault(field(row, "video", path, number), []).append(_pair(row, path, number))
    return [
        {
            "id": video,
            "video": f"{VIDEOS}/{field(places, video, map_file, video)}.mp4",
            "conversations": talk(first_turn_media(pairs)),
        }
        for video, pairs in talks.items()
    ]


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise UserError(f"annotation file missing: {path}; see the layout in dynfocus/datasets/LAYOUT.md")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _pair(row: dict[str, str], path: Path, number: int) -> tuple[str, str]:
    options = [field(row, name, path, number) for name in OPTIONS]
    answer = field(row, "answer", path, number)
    if answer not in {str(index) for index in range(len(options))}:
        raise UserError(f"{path}, row {number}: field `answer` is {answer!r}, not an index from 0 to 4")
    return with_options(field(row, "question", path, number), options), answer_letters([int(answer)])
