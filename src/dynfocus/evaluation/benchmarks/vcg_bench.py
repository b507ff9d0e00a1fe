"""VCG-Bench (Video-ChatGPT's generative benchmark): five aspects of long answers, each marked 0-5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.evaluation.annotations import VideoFolder, first_file
from dynfocus.evaluation.benchmarks.base import Answers, Benchmark, Verdicts, answer_status, cluster_of
from dynfocus.evaluation.questions import JudgeItem, Metric, Question, Sample

PARTS = ("generic", "temporal", "consistency")
NO_QUESTION = "None"
"""What the hub's copy writes into the question field that a row does not use."""
ASPECTS = {
    "correctness": "generic",
    "detail": "generic",
    "context": "generic",
    "temporal": "temporal",
    "consistency": "consistency",
}
RELEASED_CONSISTENCY = "consistency_released"


class VcgBench(Benchmark):
    """Correctness, detail and context on the generic questions, temporal and consistency on their own.

    Layout: `generic_qa.json` and `temporal_qa.json` with rows `video_name`, `Q`, `A`;
    `consistency_qa.json` with rows `video_name`, `Q1`, `Q2`, `A`; or the hub's `Generic/test-*.parquet` and so on with
    `question` (`question_1` and `question_2` in a row each) and `answer`. Videos
    `Test_Videos/{video_name}.mp4`; `video_name` includes its `v_`.
    The prompt is the bare question. `score` is the mean of the five aspects with the consistency
    judge seeing both questions; `score_official` is what LLaMA-VID's and DynFocus's scripts give:
    scores cut to integers, and question 1 shown twice to the consistency judge (a second call).
    """

    name = "vcg_bench"
    title = "VCG-Bench"
    data_set = "vcg_bench"
    judged = True
    headline = "score"
    video_folders = ("Test_Videos", "videos")
    averaged_over = "part"
    metrics = (
        Metric("score", "score", scale=1.0, high=5.0, macro="aspect"),
        Metric("score_official", "score_official", scale=1.0, high=5.0, macro="aspect"),
    )

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, self.video_folders)
        questions = []
        for part in PARTS:
            files = (f"{part}_qa.json", f"{part.capitalize()}/test-*.parquet", f"{part}/test-*.parquet")
            seen: Counter[str] = Counter()
            for row, *asked in _asked(read_rows(first_file(folder, files)), part):
                name = row.text("video_name")
                unit = f"{part}/{name}_{seen[name]}"
                seen[name] += 1
                for number, text in enumerate(asked, 1):
                    suffix = f"/{number}" if part == "consistency" else ""
                    questions.append(self._question(row, text, unit, suffix, videos(name)))
        return questions

    def _question(self, row: Row, text: str, unit: str, suffix: str, video: str) -> Question:
        return Question(
            benchmark=self.name,
            question_id=unit + suffix,
            video=video,
            text=text,
            encoder_prompt=text,
            gold=row.text("A", "answer"),
            groups={"part": (unit.partition("/")[0],)},
            details={"unit": unit},
        )

    def judge_items(self, questions: Sequence[Question], answers: Answers) -> list[JudgeItem]:
        items = []
        for unit, members in _units(questions).items():
            if answer_status(answers, [member.question_id for member in members]) != "ok":
                continue
            fields = {"answer": members[0].gold}
            for number, member in enumerate(members, 1):
                fields[f"question_{number}"] = member.text
                fields[f"prediction_{number}"] = answers[member.question_id].reply
            part = unit.partition("/")[0]
            criteria = [aspect for aspect, aspect_part in ASPECTS.items() if aspect_part == part]
            for criterion in criteria:
                items.append(self._item(unit, criterion, members, fields))
            if part == "consistency":
                twice = {**fields, "question_2": fields["question_1"]}
                items.append(self._item(unit, RELEASED_CONSISTENCY, members, twice))
        return items

    def _item(self, unit: str, criterion: str, members: Sequence[Question], fields: dict[str, str | None]) -> JudgeItem:
        return JudgeItem(self.name, unit, criterion, tuple(member.question_id for member in members), fields)

    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        units = _units(questions)
        return [
            self._sample(unit, aspect, members, answers, verdicts)
            for aspect, part in ASPECTS.items()
            for unit, members in units.items()
            if unit.partition("/")[0] == part
        ]

    def _sample(
        self, unit: str, aspect: str, members: Sequence[Question], answers: Answers, verdicts: Verdicts
    ) -> Sample:
        question_ids = tuple(member.question_id for member in members)
        status = answer_status(answers, question_ids)
        ours = _score(verdicts, unit, aspect)
        official = _score(verdicts, unit, RELEASED_CONSISTENCY if aspect == "consistency" else aspect)
        if status != "ok":
            ours = official = None
        return Sample(
            sample_id=f"{aspect}:{unit}",
            cluster=cluster_of(members[0]),
            question_ids=question_ids,
            status="unjudged" if status == "ok" and None in (ours, official) else status,
            values={"score": ours, "score_official": None if official is None else float(int(official))},
            groups={"aspect": (aspect,)},
        )


def _asked(rows: Sequence[Row], part: str) -> Iterator[tuple[Row, str] | tuple[Row, str, str]]:
    """Each row with its question, or with the two of a pair, which the hub's copy has in two rows of one video."""
    if part != "consistency":
        yield from ((row, row.text("Q", "question")) for row in rows)
        return
    first: dict[str, list[tuple[Row, str]]] = {}
    for row in rows:
        if "question_1" not in row:
            yield row, row.text("Q1"), row.text("Q2")
        elif row.text("question_1") != NO_QUESTION:
            first.setdefault(row.text("video_name"), []).append((row, row.text("question_1")))
        elif waiting := first.get(row.text("video_name")):
            yield *waiting.pop(0), row.text("question_2")
        else:
            raise row.wrong("question_2", "that of a pair whose first question stands in a row before")


def _units(questions: Sequence[Question]) -> dict[str, list[Question]]:
    """Questions by unit: one question, or the two of a consistency pair."""
    units: dict[str, list[Question]] = {}
    for question in questions:
        units.setdefault(question.details["unit"], []).append(question)
    return units


def _score(verdicts: Verdicts, unit: str, criterion: str) -> float | None:
    verdict = verdicts.get((unit, criterion))
    if verdict is None or verdict.status != "ok" or verdict.marks is None:
        return None
    return float(verdict.marks["score"])
