"""LVBench: 1,549 questions with four options on 103 hour-long videos, by capability."""

from __future__ import annotations

import re
from pathlib import Path

from dynfocus.evaluation import parsing
from dynfocus.evaluation.annotations import Row, VideoFolder, read_rows
from dynfocus.evaluation.benchmarks.base import MultipleChoice
from dynfocus.evaluation.questions import Metric, Question

FILE = "video_info.meta.jsonl"
PROMPT = "Answer the question with the option letter"
_OPTION = re.compile(r"^\s*\(([A-F])\)\s*(.*)$")


class LvBench(MultipleChoice):
    """LVBench.

    Layout: `video_info.meta.jsonl`, one video a line: `key` (YouTube id), `type`, `qa`, a list of
    `uid`, `question` (the question, then lines "(A) ..."), `answer` (letter), `question_type` (list
    of one to three capabilities). Videos `videos/{key}.mp4`.
    The official repository gives no prompt; this is lmms-eval's. A question counts under each of
    its capabilities and once in the accuracy. Official accuracy: the reply must equal the letter,
    a question without a reply is left out; `accuracy_official_polished` first applies the official
    cleaning function, which the official scorer does not call.
    """

    name = "lvbench"
    data_set = "lvbench"
    metrics = (
        *MultipleChoice.metrics,
        Metric("accuracy_official_polished", "accuracy_official_polished"),
    )

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, ("videos",))
        return [
            self._question(row, qa, videos(row.text("key")))
            for row in read_rows(folder / FILE)
            for qa in row.rows("qa")
        ]

    def _question(self, row: Row, qa: Row, video: str) -> Question:
        lines = qa.text("question").split("\n")
        options = [match for match in map(_OPTION.match, lines) if match]
        if [match.group(1) for match in options] != list(parsing.LETTERS[: len(options)]) or len(options) < 2:
            raise qa.wrong("question", 'a question followed by lines "(A) ...", "(B) ...", in this order')
        if qa.text("answer") not in parsing.LETTERS[: len(options)]:
            raise qa.wrong("answer", f"a letter of the {len(options)} options")
        return Question(
            benchmark=self.name,
            question_id=qa.text("uid"),
            video=video,
            text=f"{qa.text('question')}\n{PROMPT}",
            encoder_prompt="\n".join(line for line in lines if not _OPTION.match(line)).strip(),
            gold=qa.text("answer"),
            options=tuple(match.group(2).strip() for match in options),
            groups={"capability": tuple(qa.texts("question_type")), "type": (row.text("type"),)},
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        def equal(prediction: str) -> float | None:
            return float(prediction == gold) if prediction else None

        return {
            "accuracy_official": equal(reply),
            "accuracy_official_polished": equal(parsing.lvbench_polished(reply)),
        }
