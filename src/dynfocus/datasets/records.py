"""The one record form of every training set, and the checks on its way in.

A record is LLaVA's form: an id, at most one medium, and a talk of human and gpt turns that alternate:

    {"id": "7", "video": "videos/a/7.mp4",
     "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}

`image` takes the place of `video` for a still; a text-only record has neither. Paths are relative to the set's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from dynfocus.datasets.rows import Row
from dynfocus.errors import UserError

IMAGE_TOKEN = "<image>"
SIDES = ("human", "gpt")


# One side of a round; `from`, which is `human` or `gpt`, is a keyword, hence the functional form.
Turn = TypedDict("Turn", {"from": str, "value": str})


class Record(TypedDict):
    """One training sample before tokenisation."""

    id: str
    video: NotRequired[str]
    image: NotRequired[str]
    conversations: list[Turn]


@dataclass(frozen=True)
class TrainingSet:
    """How a training set is read from its folder, and where the paper lists it (Tables 9 and 10)."""

    read: Callable[[Path], list[Record]]
    title: str
    modality: str
    task: str


def media_path(record: Record) -> str | None:
    """Path of the record's video or image, relative to its set's folder; None for a text-only record."""
    return record.get("video") or record.get("image")


def modality(record: Record) -> str:
    """`video`, `image` or `text`."""
    return next((kind for kind in ("video", "image") if kind in record), "text")


def rounds(record: Record) -> list[tuple[str, str]]:
    """(question, answer) pairs of a record."""
    values = [turn["value"] for turn in record["conversations"]]
    return list(zip(values[::2], values[1::2], strict=True))


def talk(pairs: Iterable[tuple[str, str]]) -> list[Turn]:
    """Turns of (question, answer) pairs."""
    return [Turn({"from": side, "value": said}) for pair in pairs for side, said in zip(SIDES, pair, strict=True)]


def cut_rounds(records: Iterable[Record], max_rounds: int) -> Iterator[Record]:
    """Cut talks of more than `max_rounds` rounds into consecutive records; piece k > 1 of `id` is `id#k`."""
    for record in records:
        turns = record["conversations"]
        pieces = [turns[start : start + 2 * max_rounds] for start in range(0, len(turns), 2 * max_rounds)]
        for number, piece in enumerate(pieces, start=1):
            name = record["id"] if number == 1 else f"{record['id']}#{number}"
            yield {**record, "id": name, "conversations": piece}


def checked_talk(row: Row) -> list[Turn]:
    """Turns of a chat row's `conversations`, which must be pairs of one human and one gpt turn.

    Raises:
        UserError: a turn lacks a field, or the sides do not alternate beginning with the human.
    """
    checked = [
        Turn({"from": turn.of("from", str), "value": turn.of("value", str)}) for turn in row.rows("conversations")
    ]
    sides = [turn["from"] for turn in checked]
    if not sides or sides != [*SIDES] * (len(sides) // 2):
        raise UserError(
            f"{row.file}, {row.position}: field `conversations` must alternate human and gpt, "
            f"found {', '.join(sides) or 'nothing'}; correct the row"
        )
    return checked
