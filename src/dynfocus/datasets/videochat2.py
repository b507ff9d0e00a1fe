"""VideoChat2-IT rows: `{"video", "QA": [{"i": instruction, "q": question, "a": answer}, ...]}`.

Several QA of a row become several rounds. The human turn is the question alone, as at evaluation; the instruction
stands in where the question is empty. (How the authors turned these rows into talks is not published.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.datasets.records import IMAGE_TOKEN, Record, field, talk
from dynfocus.errors import UserError


def is_videochat2(rows: list[Mapping[str, Any]]) -> bool:
    """True if the rows are in VideoChat2-IT's form."""
    return bool(rows) and "QA" in rows[0]


def videochat2_records(rows: list[Mapping[str, Any]], path: Path, videos: str) -> list[Record]:
    """Records of the rows of a VideoChat2-IT file `path` whose videos lie under `videos`, a folder of the set."""
    return [_record(row, path, number, videos) for number, row in enumerate(rows)]


def first_turn_media(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put the media token in front of the first question."""
    return [(f"{IMAGE_TOKEN}\n{pairs[0][0]}", pairs[0][1]), *pairs[1:]]


def _record(row: Mapping[str, Any], path: Path, number: int, videos: str) -> Record:
    video, qa = field(row, "video", path, number), field(row, "QA", path, number, list)
    if not qa:
        raise UserError(f"{path}, row {number}: field `QA` is empty; correct the row")
    pairs = [(_question(item, path, number), field(item, "a", path, number)) for item in qa]
    return {"id": f"{video}_{number}", "video": f"{videos}/{video}", "conversations": talk(first_turn_media(pairs))}


def _question(item: Mapping[str, Any], path: Path, number: int) -> str:
    question = field(item, "q", path, number).strip() or item.get("i", "").strip()
    if not question:
        raise UserError(f"{path}, row {number}: fields `q` and `i` are both empty; correct the row")
    return question
