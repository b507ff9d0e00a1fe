"""NExT-QA, multiple choice: causal, temporal and descriptive questions with five options; the test split."""

from __future__ import annotations

from pathlib import Path

from dynfocus.datasets.nextqa import MAP, OPTIONS, VIDEOS
from dynfocus.datasets.rows import Row, read_object, read_rows
from dynfocus.evaluation.annotations import VideoFolder, first_file
from dynfocus.evaluation.benchmarks.base import MultipleChoice, lettered
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import Metric, Question

FILES = ("test.csv", "MC/test-*.parquet", "mc/test-*.parquet")
PROMPT = "Answer with the option's letter from the given choices directly."
KINDS = {"C": "causal", "T": "temporal", "D": "descriptive"}
MERGED = {"TP": "TN"}
"""Types that the official script counts as one: before and after."""


class NextQaTest(MultipleChoice):
    """NExT-QA, 8,564 test questions on 1,000 videos.

    Layout: `test.csv` (columns as of the training set) or the hub's `MC/test-*.parquet`; videos
    `NExTVideo/{map[video]}.mp4` with `map_vid_vidorID.json`, or `NExTVideo/{video}.mp4`.
    There is no official prompt for a language model; this is lmms-eval's form with LLaVA's line. The official script
    compares indices of options and reads no text, so there is one accuracy, with its groupings: type and kind.
    """

    name = "nextqa_test"
    title = "NExT-QA"
    data_set = "nextqa_test"
    video_folders = (VIDEOS, "videos")
    chance = 20.0
    metrics = (Metric("accuracy", "accuracy"),)

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, self.video_folders)
        places = read_object(folder / MAP) if (folder / MAP).is_file() else None
        questions = []
        for row in read_rows(first_file(folder, FILES)):
            video = row.text("video")
            mapped = f"{VIDEOS}/{places.of(video, str)}.mp4" if places is not None else videos(video)
            if not (folder / mapped).is_file() and (folder / videos(video)).is_file():
                mapped = videos(video)
            questions.append(self._question(row, video, mapped))
        return questions

    def _question(self, row: Row, video: str, path: str) -> Question:
        question, options = row.text("question"), tuple(row.text(name) for name in OPTIONS)
        kind = row.text("type")
        if kind[:1] not in KINDS:
            raise row.wrong("type", f"a type that begins with {', '.join(KINDS)}")
        return Question(
            benchmark=self.name,
            question_id=f"{video}_{row.text('qid')}",
            video=path,
            text="\n".join((question, lettered(options, "{letter}. {text}"), PROMPT)),
            encoder_prompt=question,
            gold=LETTERS[row.index("answer", len(options))],
            options=options,
            groups={"type": (MERGED.get(kind, kind),), "kind": (KINDS[kind[:1]],)},
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        return {}
