"""Video-MME: 2,700 questions with four options on 900 videos, by duration, domain and task."""

from __future__ import annotations

from pathlib import Path

from dynfocus.evaluation import parsing
from dynfocus.evaluation.annotations import Row, VideoFolder, first_file, read_rows
from dynfocus.evaluation.benchmarks.base import MultipleChoice
from dynfocus.evaluation.questions import Question

FILES = ("videomme/test-00000-of-00001.parquet", "test.jsonl", "test.json")
PROMPT = (
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)
TAIL = "The best answer is:"


class VideoMme(MultipleChoice):
    """Video-MME without subtitles.

    Layout: `videomme/test-00000-of-00001.parquet` as on the hub, or the same rows in `test.jsonl` or
    `test.json`; columns `video_id`, `duration`, `domain`, `sub_category`, `videoID`, `question_id`,
    `task_type`, `question`, `options` (four strings "A. ..."), `answer` (letter). Videos
    `data/{videoID}.mp4`.
    Prompt: the official one. Official accuracy: right / answered, where a reply without a letter is
    not answered; ours counts it as wrong.
    """

    name = "video_mme"
    data_set = "video_mme"

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, ("data", "video", "videos"))
        return [self._question(row, videos) for row in read_rows(first_file(folder, FILES))]

    def _question(self, row: Row, videos: VideoFolder) -> Question:
        question, options = row.text("question"), row.texts("options")
        bare = tuple(
            option.removeprefix(f"{letter}.").strip() for letter, option in zip("ABCDEF", options, strict=False)
        )
        if row.text("answer") not in parsing.LETTERS[: len(options)]:
            raise row.wrong("answer", f"a letter of the {len(options)} options")
        return Question(
            benchmark=self.name,
            question_id=row.text("question_id"),
            video=videos(row.text("videoID")),
            text="\n".join((PROMPT, question, *options, TAIL)),
            encoder_prompt=question,
            gold=row.text("answer"),
            options=bare,
            groups={
                "duration": (row.text("duration"),),
                "domain": (row.text("domain"),),
                "sub_category": (row.text("sub_category"),),
                "task_type": (row.text("task_type"),),
            },
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        letter = parsing.video_mme_official(reply)
        return {"accuracy_official": None if letter is None else float(letter == gold)}
