"""MSVD-QA, MSRVTT-QA and ActivityNet-QA: one short reference answer, marked yes/no and 0-5 by a judge.

The three share two file layouts, the judge's prompt and the metrics (Video-ChatGPT's evaluation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.errors import UserError
from dynfocus.evaluation.annotations import VideoFolder, first_file, stem_of
from dynfocus.evaluation.benchmarks.base import Answers, Benchmark, Verdicts, answer_status, cluster_of
from dynfocus.evaluation.questions import JudgeItem, Metric, Question, Sample, Verdict
from dynfocus.files import read_text

CRITERION = "qa"
VIDEO = ("video_name", "video_id", "video")
ID = ("question_id", "id", "qid")
ONE_FILE = ("test_qa.json", "test.json", "test.jsonl", "test-*.parquet", "*/test-*.parquet")
YOUTUBE_ID = 11
"""Characters of a YouTube id."""


class ShortAnswer(Benchmark):
    """Questions with a reference of one or a few words.

    Two layouts are read. The zero-shot copy used by Video-LLaVA, Chat-UniVi and the paper:
    `test_q.json` (rows `video_name`, `question`, `question_id`) and `test_a.json` (rows
    `question_id`, `answer`, optional `type`), joined by `question_id`. Other copies: one file of rows with all fields
    (LLaMA-VID's `test_qa.json`, Chat-UniVi's `{set}.json`, parquet as on the hub), the video in `video_name`,
    `video_id` or `video`, with or without suffix, or a number; rows without an id are numbered by video.
    The prompt is the bare question, as in the released inference scripts.
    """

    judged = True
    headline = "accuracy"
    metrics = (
        Metric("accuracy", "accuracy"),
        Metric("score", "score", scale=1.0, high=5.0),
        Metric("accuracy_official", "accuracy_official"),
        Metric("score_official", "score_official", scale=1.0, high=5.0),
    )
    video_folders: ClassVar[tuple[str, ...]] = ("videos", "video")
    video_suffix = ".mp4"

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, self.video_folders, self.video_suffix)
        if (folder / "test_q.json").is_file():
            pairs = _joined(folder)
        else:
            file = first_file(folder, ("test_q.json", f"{self.name}.json", *ONE_FILE))
            pairs = [(row, row) for row in read_rows(file)]
        names = self.names_of(folder)
        seen: Counter[str] = Counter()
        questions = []
        for row, answer in pairs:
            video = row.text(*VIDEO)
            question_id = row.text(*ID) if any(field in row for field in ID) else f"{stem_of(video)}_{seen[video]}"
            seen[video] += 1
            questions.append(self._question(row, answer, question_id, videos(*names(stem_of(video)))))
        return questions

    def names_of(self, folder: Path) -> Callable[[str], Sequence[str]]:
        """The names that the file of a video may have, the official one first, by its name in a row."""
        return lambda name: (name,)

    def _question(self, row: Row, answer: Row, question_id: str, video: str) -> Question:
        text = row.text("question")
        return Question(
            benchmark=self.name,
            question_id=question_id,
            video=video,
            text=text,
            encoder_prompt=text,
            gold=answer.text("answer"),
            groups=self.groups(text, answer),
        )

    def groups(self, question: str, answer: Row) -> dict[str, tuple[str, ...]]:
        """Groupings of one question: its first word where the set has no types of its own."""
        first = question.split()[0].lower() if question.split() else ""
        known = ("what", "who", "how", "when", "where")
        return {"first_word": (first if first in known else "other",)}

    def judge_items(self, questions: Sequence[Question], answers: Answers) -> list[JudgeItem]:
        return [
            JudgeItem(
                benchmark=self.name,
                item_id=question.question_id,
                criterion=CRITERION,
                question_ids=(question.question_id,),
                fields={
                    "question": question.encoder_prompt,
                    "answer": question.gold,
                    "prediction": answers[question.question_id].reply,
                },
            )
            for question in questions
            if answers[question.question_id].status == "ok"
        ]

    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        samples = []
        for question in questions:
            status = answer_status(answers, [question.question_id])
            values: dict[str, float | None] = {metric.value: None for metric in self.metrics}
            verdict = verdicts.get((question.question_id, CRITERION))
            if status == "ok" and verdict is not None and verdict.status == "ok":
                values = yes_no_values(verdict)
            judged = status != "ok" or values["accuracy"] is not None
            samples.append(
                Sample(
                    sample_id=question.question_id,
                    cluster=cluster_of(question),
                    question_ids=(question.question_id,),
                    status=status if judged else "unjudged",
                    values=values,
                    groups=question.groups,
                )
            )
        return samples


def yes_no_values(verdict: Verdict) -> dict[str, float | None]:
    """The official and our reading of one judgement `{'pred': ..., 'score': ...}`.

    Official: "yes" anywhere in `pred` counts before "no", a row with neither leaves the accuracy,
    and the score is cut to an integer (4.8 counts as 4). Ours: `pred` must be yes or no, else the
    row is unjudged; the score is taken as it stands.
    """
    assert verdict.marks is not None, "a verdict with status ok has marks"
    pred, score = str(verdict.marks["pred"]).strip().lower(), float(verdict.marks["score"])
    official = 1.0 if "yes" in pred else 0.0 if "no" in pred else None
    strict = {"yes": 1.0, "no": 0.0}.get(pred)
    return {
        "accuracy": strict,
        "score": None if strict is None else score,
        "accuracy_official": official,
        "score_official": float(int(score)),
    }


def _joined(folder: Path) -> list[tuple[Row, Row]]:
    """Question rows with their answer rows, joined by `question_id`."""
    answers = {row.text("question_id"): row for row in read_rows(folder / "test_a.json")}
    pairs = []
    for row in read_rows(folder / "test_q.json"):
        question_id = row.text("question_id")
        if question_id not in answers:
            raise UserError(
                f"{folder / 'test_a.json'}: no row with `question_id` {question_id}, which {row.file.name}, "
                f"{row.position} asks for; take both files from the same copy"
            )
        pairs.append((row, answers[question_id]))
    return pairs


class MsvdQa(ShortAnswer):
    """MSVD-QA: 13,157 test questions on 504 videos `videos/{video_name}.avi`.

    The origin numbers its videos: 1451 and `vid1451` are one, and `youtube_mapping.txt` (lines "clip vid1451"), where
    it is there, gives the clip's name.
    """

    name = "msvd_qa"
    title = "MSVD-QA"
    data_set = "msvd_qa"
    video_suffix = ".avi"

    def names_of(self, folder: Path) -> Callable[[str], Sequence[str]]:
        mapping = folder / "youtube_mapping.txt"
        lines = read_text(mapping, "fetch it again").split("\n") if mapping.is_file() else []
        clips = {number: clip for clip, _, number in (line.strip().rpartition(" ") for line in lines) if number}

        def names(name: str) -> Sequence[str]:
            numbered = f"vid{name}" if name.isdecimal() else name
            return (numbered, clips.get(numbered, name), name)

        return names


class MsrvttQa(ShortAnswer):
    """MSRVTT-QA: about 72,820 test questions on 2,990 videos `videos/{video_name}.mp4`; 7010 is `video7010`."""

    name = "msrvtt_qa"
    title = "MSRVTT-QA"
    data_set = "msrvtt_qa"
    video_folders = ("videos", "videos/all", "video", "compressed_videos", "all")

    def names_of(self, folder: Path) -> Callable[[str], Sequence[str]]:
        return lambda name: (f"video{name}", name) if name.isdecimal() else (name,)


class ActivityNetQa(ShortAnswer):
    """ActivityNet-QA: 8,000 test questions on 800 videos `all_test/v_{video_name}.mp4`.

    `video_name` of `test_q.json` is the YouTube id without the `v_` of the file name; other copies include it. An id
    has eleven characters, so one that begins with "v_" itself is told apart. `type` is 0-8.
    """

    name = "activitynet_qa"
    title = "ActivityNet-QA"
    data_set = "activitynet_qa"
    video_folders = ("all_test", "videos")
    types = ("motion", "spatial", "temporal", "yes/no", "colour", "object", "location", "number", "other")

    def names_of(self, folder: Path) -> Callable[[str], Sequence[str]]:
        def names(name: str) -> Sequence[str]:
            has_prefix = name.startswith("v_") and len(name) == len("v_") + YOUTUBE_ID
            return (name,) if has_prefix else (f"v_{name}", name)

        return names

    def groups(self, question: str, answer: Row) -> dict[str, tuple[str, ...]]:
        kind = answer.get("type", answer.get("answer_type"))
        if kind is None:
            return {}
        if str(kind) not in {str(number) for number in range(len(self.types))}:
            raise answer.wrong("type", f"a number from 0 to {len(self.types) - 1}")
        label = self.types[int(kind)]
        return {"type": (label,), "free": ("free" if int(kind) >= 3 else label,)}
