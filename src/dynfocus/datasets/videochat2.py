"""VideoChat2-IT rows: `{"video", "QA": [{"i": instruction, "q": question, "a": answer}, ...]}`.

Several QA of a row become several rounds. The human turn is the question alone, as at evaluation; the instruction
stands in where the question is empty. (How the authors turned these rows into talks is not published.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynfocus.datasets.records import IMAGE_TOKEN, Record, TrainingSet, talk
from dynfocus.datasets.rows import Row, read_rows
from dynfocus.errors import UserError


def read_webvid_qa(folder: Path) -> list[Record]:
    """Records of WebVid-QA's `train.json`, videos below `videos/`."""
    return videochat2_records(read_rows(folder / "train.json"), "videos")


WEBVID_QA = TrainingSet(read_webvid_qa, "WebVidQA", "Video-Text", "VQA")


def is_videochat2(rows: Sequence[Row]) -> bool:
    """True if the rows are in VideoChat2-IT's form."""
    return bool(rows) and "QA" in rows[0]


def videochat2_records(rows: Sequence[Row], videos: str) -> list[Record]:
    """Records of the rows of a VideoChat2-IT file whose videos lie under `videos`, a folder of the set."""
    return [_record(row, number, videos) for number, row in enumerate(rows)]


def first_turn_media(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put the media token in front of the first question."""
    return [(f"{IMAGE_TOKEN}\n{pairs[0][0]}", pairs[0][1]), *pairs[1:]]


def _record(row: Row, number: int, videos: str) -> Record:
    video, qa = row.of("video", str), row.rows("QA")
    if not qa:
        raise UserError(f"{row.file}, {row.position}: field `QA` is empty; correct the row")
    pairs = [(_question(item), item.of("a", str)) for item in qa]
    return {"id": f"{video}_{number}", "video": f"{videos}/{video}", "conversations": talk(first_turn_media(pairs))}


def _question(row: Row) -> str:
    question = next((text for name in ("q", "i") if name in row and (text := row.of(name, str).strip())), "")
    if not question:
        raise UserError(f"{row.file}, {row.position}: fields `q` and `i` are both empty; correct the row")
    return question
