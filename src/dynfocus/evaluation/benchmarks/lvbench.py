"""LVBench: 1,549 questions with four options on 103 hour-long videos, by capability."""

from __future__ import annotations

import re
from pathlib import Path

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.evaluation import official
from dynfocus.evaluation.annotations import VideoFolder, first_file
from dynfocus.evaluation.benchmarks.base import MultipleChoice, gold_letter, lettered
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import Metric, Question

FILES = ("video_info.meta.jsonl", "data/train-*.parquet", "train-*.parquet")
PROMPT = "Answer the question with the option letter"
_OPTION = re.compile(r"^\s*\(([A-F])\)\s*(.*)$")


class LvBench(MultipleChoice):
    """LVBench.

    Layout: `video_info.meta.jsonl`, one video a line: `key` (YouTube id), `type`, `qa`, a list of
    `uid`, `question` (the question, then lines "(A) ..."), `answer` (letter), `question_type` (list
    of one to three capabilities). Videos `videos/{key}.mp4`. lmms-eval's copy has one question a row, the
    video in `video_path`, perhaps the options in `options`; labels and ids that it lacks stay empty.
    The official repository gives no prompt; this is lmms-eval's. A question counts under each of
    its capabilities and once in the accuracy. Official accuracy: the reply must equal the letter,
    an empty reply is wrong; `accuracy_official_polished` first applies the official
    cleaning function, which the official scorer does not call.
    """

    name = "lvbench"
    title = "LVBench"
    data_set = "lvbench"
    video_folders = ("videos", "video", ".")
    chance = 25.0
    metrics = (
        *MultipleChoice.metrics,
        Metric("accuracy_official_polished", "accuracy_official_polished"),
    )

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, self.video_folders)
        questions = []
        for number, row in enumerate(read_rows(first_file(folder, FILES))):
            video = videos(row.text("key", "video_path", "video"))
            for qa in row.rows("qa") if "qa" in row else [row]:
                questions.append(self._question(row, qa, video, str(number)))
        return questions

    def _question(self, row: Row, qa: Row, video: str, number: str) -> Question:
        text = qa.text("question")
        if "options" in qa:
            text = f"{text}\n{lettered(qa.texts('options'))}"
        lines = text.split("\n")
        options = [match for match in map(_OPTION.match, lines) if match]
        if [match.group(1) for match in options] != list(LETTERS[: len(options)]) or len(options) < 2:
            raise qa.wrong("question", 'a question followed by lines "(A) ...", "(B) ...", in this order')
        return Question(
            benchmark=self.name,
            question_id=qa.text("uid") if "qa" in row or "uid" in qa else number,
            video=video,
            text=f"{text}\n{PROMPT}",
            encoder_prompt="\n".join(line for line in lines if not _OPTION.match(line)).strip(),
            gold=gold_letter(qa, "answer", len(options)),
            options=tuple(match.group(2).strip() for match in options),
            groups=self._groups(row, qa),
        )

    def _groups(self, row: Row, qa: Row) -> dict[str, tuple[str, ...]]:
        """Capabilities and kind of video; the official file must have them."""
        groups = {}
        if "qa" in row or "question_type" in qa:
            groups["capability"] = tuple(qa.texts("question_type"))
        if "qa" in row or "type" in row:
            groups["type"] = (row.text("type"),)
        return groups

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        return {
            "accuracy_official": float(reply == gold),
            "accuracy_official_polished": float(official.lvbench_polished(reply) == gold),
        }
