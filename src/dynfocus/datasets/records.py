"""The one record form of every training set, and the checks on its way in.

A record is LLaVA's form: an id, at most one medium, and a talk of human and gpt turns that alternate:

    {"id": "7", "video": "videos/a/7.mp4",
     "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}

`image` takes the place of `video` for a still; a text-only record has neither. Paths are relative to the set's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dynfocus.errors import UserError

IMAGE_TOKEN = "<image>"


# One side of a round; `from`, which is `human` or `gpt`, is a keyword, hence the functional form.
Turn = TypedDict("Turn", {"from": str, "value": str})


class Record(TypedDict):
    """One training sample before tokenisation."""

    id: str
    video: NotRequired[str]
    image: NotRequired[str]
    conversations: list[Turn]


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
    return [turn for q, a in pairs for turn in ({"from": "human", "value": q}, {"from": "gpt", "value": a})]


def cut_rounds(records: Iterable[Record], max_rounds: int) -> Iterator[Record]:
    """Cut talks of more than `max_rounds` rounds into consecutive records; piece k > 1 of `id` is `id#k`."""
    for record in records:
        turns = record["conversations"]
        pieces = [turns[start : start + 2 * max_rounds] for start in range(0, len(turns), 2 * max_rounds)]
        for number, piece in enumerate(pieces, start=1):
            name = record["id"] if number == 1 else f"{record['id']}#{number}"
            yield {**record, "id": name, "conversations": piece}


def read_json(path: Path) -> Any:
    """Parse a JSON annotation file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"annotation file missing: {path}; see the layout in dynfocus/datasets/LAYOUT.md") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); download it again") from None


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """Parse a JSON file that holds a list of objects."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of rows, found {type(rows).__name__}; is it the right file?")
    return rows


def field(row: Mapping[str, Any], name: str, path: Path, number: int | str, kind: type | tuple[type, ...] = str) -> Any:
    """Value of a required field of an annotation row.

    Args:
        row: one row of the file; `name`: the field; `path`, `number`: where the row stands, for the message.
        kind: accepted type(s) of the value.

    Raises:
        UserError: the field is missing or has another type.
    """
    value = row.get(name) if isinstance(row, Mapping) else None
    if value is None:
        raise UserError(f"{path}, row {number}: field `{name}` is missing; restore the row or the original file")
    if not isinstance(value, kind):
        raise UserError(
            f"{path}, row {number}: field `{name}` is {type(value).__name__}, not {_kind_name(kind)}; correct the row"
        )
    return value


def checked_talk(turns: Sequence[Mapping[str, Any]], path: Path, number: int | str) -> list[Turn]:
    """Turns of a chat row, which must be pairs of one human and one gpt turn.

    Raises:
        UserError: a turn lacks a field, or the sides do not alternate beginning with the human.
    """
    checked = [{name: field(turn, name, path, number) for name in ("from", "value")} for turn in turns]
    sides = [turn["from"] for turn in checked]
    if not sides or sides != ["human", "gpt"] * (len(sides) // 2):
        raise UserError(
            f"{path}, row {number}: field `conversations` must alternate human and gpt, "
            f"found {', '.join(sides) or 'nothing'}; correct the row"
        )
    return checked


def _kind_name(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(k.__name__ for k in kinds)
