"""CLEVRER: synthetic collisions, descriptive and multiple-choice questions.

    train.json                                           official file, or VideoChat2-IT's
    video_train/video_00000-01000/video_00000.mp4        a thousand films a folder

One record a video, one round a question. More than one option may be right: the answer names all their letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import Record, field, read_rows, talk
from dynfocus.datasets.videochat2 import first_turn_media, is_videochat2, videochat2_records
from dynfocus.errors import UserError

VIDEOS = "video_train"
FILMS_PER_FOLDER = 1000


def read_clevrer(folder: Path) -> list[Record]:
    """Records of `train.json`, one a video."""
    path = folder / "train.json"
    rows = read_rows(path)
    if is_videochat2(rows):
        return videochat2_records(rows, path, VIDEOS)
    return [_record(row, path, number) for number, row in enumerate(rows)]


def film_folder(scene: int) -> str:
    """Folder of a film in the official archive: `video_00000-01000` holds scenes 0 to 999."""
    first = scene // FILMS_PER_FOLDER * FILMS_PER_FOLDER
    return f"video_{first:05d}-{first + FILMS_PER_FOLDER:05d}"


def _record(row: Mapping[str, Any], path: Path, number: int) -> Record:
    scene, file = field(row, "scene_index", path, number, int), field(row, "video_filename", path, number)
    pairs = [_pair(question, path, number) for question in field(row, "questions", path, number, list)]
    if not pairs:
        raise UserError(f"{path}, row {number}: field `questions` is empty; correct the row")
    return {
        "id": Path(file).stem,
        "video": f"{VIDEOS}/{film_folder(scene)}/{file}",
        "conversations": talk(first_turn_media(pairs)),
    }


def _pair(row: Mapping[str, Any], path: Path, number: int) -> tuple[str, str]:
    question = field(row, "question", path, number)
    if "choices" not in row:
        return question, field(row, "answer", path, number)
    choices = field(row, "choices", path, number, list)
    options = [field(choice, "choice", path, number) for choice in choices]
    right = [index for index, choice in enumerate(choices) if field(choice, "answer", path, number) == "correct"]
    return with_options(question, options), answer_letters(right)
