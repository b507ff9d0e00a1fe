"""CLEVRER: synthetic collisions, descriptive and multiple-choice questions.

    train.json                                           official file, or VideoChat2-IT's
    video_train/video_00000-01000/video_00000.mp4        a thousand films a folder

One record a video, one round a question. More than one option may be right: the answer names all their letters.
"""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.options import answer_letters, with_options
from dynfocus.datasets.records import Record, TrainingSet, talk
from dynfocus.datasets.rows import Row, read_rows
from dynfocus.datasets.videochat2 import first_turn_media, is_videochat2, videochat2_records
from dynfocus.errors import UserError

VIDEOS = "video_train"
FILMS_PER_FOLDER = 1000


def read_clevrer(folder: Path) -> list[Record]:
    """Records of `train.json`, one a video."""
    rows = read_rows(folder / "train.json")
    return videochat2_records(rows, VIDEOS) if is_videochat2(rows) else [_record(row) for row in rows]


CLEVRER = TrainingSet(read_clevrer, "CLEVRER", "Video-Text", "VQA")


def film_folder(scene: int) -> str:
    """Folder of a film in the official archive: `video_00000-01000` holds scenes 0 to 999."""
    first = scene // FILMS_PER_FOLDER * FILMS_PER_FOLDER
    return f"video_{first:05d}-{first + FILMS_PER_FOLDER:05d}"


def _record(row: Row) -> Record:
    scene, file = row.of("scene_index", int), row.of("video_filename", str)
    pairs = [_pair(question) for question in row.rows("questions")]
    if not pairs:
        raise UserError(f"{row.file}, {row.position}: field `questions` is empty; correct the row")
    return {
        "id": Path(file).stem,
        "video": f"{VIDEOS}/{film_folder(scene)}/{file}",
        "conversations": talk(first_turn_media(pairs)),
    }


def _pair(row: Row) -> tuple[str, str]:
    question = row.of("question", str)
    if "choices" not in row:
        return question, row.of("answer", str)
    choices = row.rows("choices")
    right = [place for place, choice in enumerate(choices) if choice.of("answer", str) == "correct"]
    return with_options(question, [choice.of("choice", str) for choice in choices]), answer_letters(right)
