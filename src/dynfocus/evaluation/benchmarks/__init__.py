"""Benchmarks by the names that runs and tables use (`config/names.py`), and their questions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.config.names import BENCHMARKS, imported
from dynfocus.config.nearest import require_known
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks.base import Benchmark
from dynfocus.evaluation.questions import Question

if TYPE_CHECKING:
    from dynfocus.config.schema import Evaluation


@cache
def benchmark(name: str) -> Benchmark:
    """The adapter of that name; UserError with the nearest one where there is none."""
    require_known("benchmarks", [name], BENCHMARKS, "benchmark")
    return imported(BENCHMARKS[name])()


@dataclass(frozen=True)
class Selection:
    """What of a benchmark is asked: `asked` of its `of` units, chosen by `seed`."""

    asked: int
    of: int
    seed: int


def load_questions(adapter: Benchmark, data_dir: Path, evaluation: Evaluation | None = None) -> list[Question]:
    """Questions of a benchmark below the folder of all data sets; their ids must be unique.

    With the settings of an evaluation, only those of its sample (`limit`) are given.
    """
    folder = data_dir / adapter.data_set
    questions = adapter.load(folder)
    twice = [key for key, count in Counter(question.question_id for question in questions).items() if count > 1]
    if twice:
        raise UserError(
            f"{folder}: question id {twice[0]} occurs more than once "
            f"({len(twice)} such ids); take the official annotation file"
        )
    if evaluation is None or evaluation.limit is None:
        return questions
    return sampled(adapter, questions, evaluation.limit, evaluation.limit_seed)


def sampled(adapter: Benchmark, questions: Sequence[Question], limit: int, seed: int) -> list[Question]:
    """The questions of `limit` units (a question, a pair), in their order.

    Units are ordered by a hash of seed and id and taken in turn from the labels of the grouping over which the
    benchmark averages, so that no label is left out. A greater limit adds to a smaller one.
    """
    places: dict[str, list[str]] = {}
    for question in questions:
        labels = question.groups.get(adapter.averaged_over, ("",))
        units = places.setdefault(labels[0], [])
        if not units or units[-1] != adapter.unit_of(question):
            units.append(adapter.unit_of(question))
    ranked = [
        (rank, label, unit)
        for label, units in places.items()
        for rank, unit in enumerate(sorted(dict.fromkeys(units), key=lambda unit: _place(seed, adapter.name, unit)))
    ]
    chosen = {unit for _, _, unit in sorted(ranked)[:limit]}
    return [question for question in questions if adapter.unit_of(question) in chosen]


def selection(adapter: Benchmark, data_dir: Path, evaluation: Evaluation) -> Selection | None:
    """What a sample leaves of a benchmark; None where all of it is asked."""
    if evaluation.limit is None:
        return None
    units = {adapter.unit_of(question) for question in load_questions(adapter, data_dir)}
    return Selection(evaluation.limit, len(units), evaluation.limit_seed) if evaluation.limit < len(units) else None


def searched(adapter: Benchmark, folder: Path) -> str:
    """Where the videos of a benchmark are looked for, in words."""
    names = ", ".join(str(folder / sub) for sub in adapter.video_folders)
    return f"searched {names}; accepted layouts are in docs/benchmarks/LAYOUT.md"


def require_some_video(adapter: Benchmark, questions: Sequence[Question], folder: Path) -> None:
    """Raise a UserError with the folders searched where no video of any question is there."""
    videos = {question.video for question in questions if question.video is not None}
    if videos and not any((folder / video).is_file() for video in videos):
        example = min(videos).rpartition("/")[2]
        raise UserError(
            f"{adapter.name}: none of its {len(videos)} videos is there, for example {example}; "
            + searched(adapter, folder)
        )


def _place(seed: int, name: str, unit: str) -> str:
    return hashlib.sha256(f"{seed}/{name}/{unit}".encode()).hexdigest()


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Selection",
    "benchmark",
    "load_questions",
    "require_some_video",
    "sampled",
    "searched",
    "selection",
]
