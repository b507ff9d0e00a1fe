"""NExT-QA: causal and temporal multiple-choice questions on daily-life videos.

    train.csv                     video, frame_count, width, height, question, answer (index), qid, type, a0 ... a4
    map_vid_vidorID.json          video id -> "0101/2909445186"
    NExTVideo/0101/2909445186.mp4

`train.json` in VideoChat2-IT's form is read in place of the first two where it exists and `train.csv` does not.
One record a video, one round a question, in the order of the file.
"""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import Record, TrainingSet, talk
from dynfocus.datasets.rows import Row, read_object, read_rows
from dynfocus.datasets.videochat2 import first_turn_media, videochat2_records

VIDEOS = "NExTVideo"
MAP = "map_vid_vidorID.json"
OPTIONS = ("a0", "a1", "a2", "a3", "a4")


def read_nextqa(folder: Path) -> list[Record]:
    """Records of the train split, one a video."""
    path = folder / "train.csv"
    if not path.exists() and (folder / "train.json").exists():
        return videochat2_records(read_rows(folder / "train.json"), VIDEOS)
    places = read_object(folder / MAP)
    talks: dict[str, list[tuple[str, str]]] = {}
    for row in read_rows(path):
        talks.setdefault(row.text("video"), []).append(_pair(row))
    return [
        {
            "id": video,
            "video": f"{VIDEOS}/{places.of(video, str)}.mp4",
            "conversations": talk(first_turn_media(pairs)),
        }
        for video, pairs in talks.items()
    ]


NEXTQA = TrainingSet(read_nextqa, "NExT-QA", "Video-Text", "VQA")


def _pair(row: Row) -> tuple[str, str]:
    options = [row.text(name) for name in OPTIONS]
    return with_options(row.text("question"), options), answer_letters([row.index("answer", len(options))])
