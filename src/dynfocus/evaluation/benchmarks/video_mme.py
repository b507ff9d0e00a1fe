"""Video-MME: 2,700 questions with four options on 900 videos, by duration, domain and task."""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.evaluation import official
from dynfocus.evaluation.annotations import VideoFolder, first_file
from dynfocus.evaluation.benchmarks.base import MultipleChoice, gold_letter
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import Metric, Question

FILES = ("videomme/test-*.parquet", "test-*.parquet", "test.jsonl", "test.json")
SUBTITLES = ("subtitle", "subtitles")
PROMPT = (
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)
TAIL = "The best answer is:"


class VideoMme(MultipleChoice):
    """Video-MME, without subtitles or (`evaluation.subtitles`) with them.

    Layout: `videomme/test-00000-of-00001.parquet` as on the hub, or the same rows in `test.jsonl` or
    `test.json`; columns `video_id`, `duration`, `domain`, `sub_category`, `videoID`, `question_id`,
    `task_type`, `question`, `options` (four strings "A. ..."), `answer` (letter). Videos
    `data/{videoID}.mp4`, subtitles `subtitle/{videoID}.srt`.
    Prompt: the official one. Official accuracy: right / answered, where a reply without a letter is
    not answered; ours counts it as wrong. `accuracy_official` follows the script's latest revision,
    `accuracy_official_2024_06_18` its first, which numbers of that month and harnesses with an early copy have.
    """

    name = "video_mme"
    title = "Video-MME"
    data_set = "video_mme"
    video_folders = ("data", "video", "videos")
    has_subtitles = True
    chance = 25.0
    metrics = (
        *MultipleChoice.metrics,
        Metric("accuracy_official_2024_06_18", "accuracy_official_2024_06_18"),
    )

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, self.video_folders)
        return [self._question(row, videos, folder) for row in read_rows(first_file(folder, FILES))]

    def _question(self, row: Row, videos: VideoFolder, folder: Path) -> Question:
        question, options, video = row.text("question"), row.texts("options"), row.text("videoID")
        bare = tuple(
            option.removeprefix(f"{letter}.").strip() for letter, option in zip(LETTERS, options, strict=False)
        )
        files = (f"{sub}/{video}.srt" for sub in SUBTITLES)
        subtitle = next((file for file in files if (folder / file).is_file()), None)
        return Question(
            benchmark=self.name,
            question_id=row.text("question_id"),
            video=videos(video),
            text="\n".join((PROMPT, question, *options, TAIL)),
            encoder_prompt=question,
            gold=gold_letter(row, "answer", len(options)),
            options=bare,
            groups={
                "duration": (row.text("duration"),),
                "domain": (row.text("domain"),),
                "sub_category": (row.text("sub_category"),),
                "task_type": (row.text("task_type"),),
            },
            details={} if subtitle is None else {"subtitle": subtitle},
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        latest, first = official.video_mme(reply), official.video_mme(reply, first_revision=True)
        return {
            "accuracy_official": None if latest is None else float(latest == gold),
            "accuracy_official_2024_06_18": None if first is None else float(first == gold),
        }
