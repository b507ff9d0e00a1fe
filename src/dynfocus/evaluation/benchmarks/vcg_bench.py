"""VCG-Bench (Video-ChatGPT's generative benchmark): five aspects of long answers, each marked 0-5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dynfocus.evaluation.annotations import Row, VideoFolder, read_rows
from dynfocus.evaluation.benchmarks.base import Answers, Benchmark, Verdicts, answer_status, cluster_of
from dynfocus.evaluation.questions import JudgeItem, Metric, Question, Sample

FILES = {"generic": "generic_qa.json", "temporal": "temporal_qa.json", "consistency": "consistency_qa.json"}
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
    `consistency_qa.json` with rows `video_name`, `Q1`, `Q2`, `A`. Videos
    `Test_Videos/{video_name}.mp4`; `video_name` includes its `v_`.
    The prompt is the bare question. `score` is the mean of the five aspects with the consistency
    judge seeing both questions; `score_official` is what LLaMA-VID's and DynFocus's scripts give:
    scores cut to integers, and question 1 shown twice to the consistency judge (a second call).
    """

    name = "vcg_bench"
    data_set = "vcg_bench"
    judged = True
    headline = "score"
    metrics = (
        Metric("score", "score", scale=1.0, high=5.0, macro="aspect"),
        Metric("score_official", "score_official", scale=1.0, high=5.0, macro="aspect"),
    )

    def load(self, folder: Path) -> list[Question]:
        videos = VideoFolder(folder, ("Test_Videos", "videos"))
        questions = []
        for part, file in FILES.items():
            seen: Counter[str] = Counter()
            for row in read_rows(folder / file):
                name = row.text("video_name")
                unit = f"{part}/{name}_{seen[name]}"
                seen[name] += 1
                for field, suffix in (("Q1", "/1"), ("Q2", "/2")) if part == "consistency" else (("Q", ""),):
                    questions.append(self._question(row, field, unit, suffix, videos(name)))
        return questions

    def _question(self, row: Row, field: str, unit: str, suffix: str, video: str) -> Question:
        text = row.text(field)
        return Question(
            benchmark=self.name,
            question_id=unit + suffix,
            video=video,
            text=text,
            encoder_prompt=text,
            gold=row.text("A"),
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
