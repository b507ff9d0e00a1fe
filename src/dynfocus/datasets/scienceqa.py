"""ScienceQA: multiple-choice questions, about half of them with an image.

    problems.json, pid_splits.json
    images/{split}/{id}/image.png

One round a question, the train split: `<image>` where there is one, the hint (if any) as context in front of the
question, the options, `The answer is A.` Half of the questions cannot be answered without their hint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import IMAGE_TOKEN, Record, TrainingSet, talk
from dynfocus.datasets.rows import Row, read_object


def read_scienceqa(folder: Path) -> list[Record]:
    """Records of the train split, in the order of `pid_splits.json`."""
    return [_record(name, problem) for name, problem in problems(folder, "train")]


SCIENCEQA = TrainingSet(read_scienceqa, "ScienceQA", "Image-Text", "VQA")


def problems(folder: Path, split: str) -> Iterator[tuple[str, Row]]:
    """Ids and rows of the problems of a split, in the order of `pid_splits.json`."""
    known = read_object(folder / "problems.json")
    for number in read_object(folder / "pid_splits.json").of(split, list):
        yield str(number), known.inner(str(number))


def context(problem: Row) -> str:
    """The hint of a problem as a line in front of its question; empty where it has none."""
    hint = str(problem.get("hint", "")).strip()
    return f"Context: {hint}\n" if hint else ""


def image_of(name: str, problem: Row, split: str) -> str | None:
    """Path of a problem's image below the set's folder; None where it has none."""
    image = problem.get("image")
    return f"images/{problem.get('split', split)}/{name}/{image}" if image else None


def _record(name: str, problem: Row) -> Record:
    choices = problem.texts("choices")
    text = context(problem) + with_options(problem.of("question", str), choices)
    reply = answer_letters([problem.index("answer", len(choices))])
    image = image_of(name, problem, "train")
    if image is None:
        return {"id": name, "conversations": talk([(text, reply)])}
    return {"id": name, "image": image, "conversations": talk([(f"{IMAGE_TOKEN} {text}", reply)])}
