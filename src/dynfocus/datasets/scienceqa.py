"""ScienceQA: multiple-choice questions, about half of them with an image.

    problems.json, pid_splits.json
    images/{split}/{id}/image.png

One round a question, the train split: `<image>` where there is one, the question with its options, `The answer is A.`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import IMAGE_TOKEN, Record, field, read_json, talk
from dynfocus.errors import UserError

SPLIT = "train"


def read_scienceqa(folder: Path) -> list[Record]:
    """Records of the train split, in the order of `pid_splits.json`."""
    path, splits = folder / "problems.json", folder / "pid_splits.json"
    problems = read_json(path)
    ids = field(read_json(splits), SPLIT, splits, "top level", list)
    return [_record(str(number), problems.get(str(number)), path) for number in ids]


def _record(name: str, row: Mapping[str, Any] | None, path: Path) -> Record:
    if row is None:
        raise UserError(f"{path}: problem {name} of pid_splits.json is missing; restore the original file")
    question, choices = field(row, "question", path, name), field(row, "choices", path, name, list)
    answer = field(row, "answer", path, name, int)
    if not 0 <= answer < len(choices):
        raise UserError(f"{path}, row {name}: field `answer` is {answer}, beyond the {len(choices)} choices")
    text = with_options(question, choices)
    reply = answer_letters([answer])
    if row.get("image") is None:
        return {"id": name, "conversations": talk([(text, reply)])}
    image = f"images/{row.get('split', SPLIT)}/{name}/{row['image']}"
    return {"id": name, "image": image, "conversations": talk([(f"{IMAGE_TOKEN} {text}", reply)])}
