"""MLVU: nine tasks on long videos; seven multiple-choice (M-Avg) and two generation tasks (G-Avg)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.errors import UserError
from dynfocus.evaluation import official
from dynfocus.evaluation.annotations import VideoFolder
from dynfocus.evaluation.benchmarks.base import Answers, MultipleChoice, Verdicts, cluster_of, lettered
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import JudgeItem, Metric, Question, Sample, Verdict

CHOICE_FILES = {
    "1_plotQA": "plotQA",
    "2_needle": "needle",
    "3_ego": "ego",
    "4_count": "count",
    "5_order": "order",
    "6_anomaly_reco": "anomaly_reco",
    "7_topic_reasoning": "topic_reasoning",
}
GENERATION_FILES = {"8_sub_scene": "subPlot", "9_summary": "summary"}
CRITERIA = {"subPlot": "mlvu_sub_scene", "summary": "mlvu_summary"}
MARKS = {"subPlot": ("score_accuracy", "score_relevance"), "summary": ("score_completeness", "score_reliability")}
TEST_TASKS = (*(task for task in CHOICE_FILES.values() if task != "needle"), "needleQA", "sportsQA", "tutorialQA")
_WATCH = "Carefully watch this video and pay attention to every detail. Based on your observations, "
CHOICE_PROMPT = _WATCH + "select the best option that accurately addresses the question."
GENERATION_PROMPT = _WATCH + "answer the given questions."
NO_SUCH_OPTION = "@"
"""The letter that the official script computes for an answer that is none of the candidates."""

_CHOICE_METRICS = (
    Metric("m_avg", "accuracy", macro="task"),
    Metric("m_avg_official", "accuracy_official", macro="task"),
    Metric("m_avg_micro", "accuracy"),
)


class Mlvu(MultipleChoice):
    """The dev set, whose nine tasks the paper reports.

    Layout: `json/1_plotQA.json` ... `json/9_summary.json`, videos `video/1_plotQA/{video}` and so on.
    Choice rows: `video`, `question`, `candidates` (texts), `answer` (text); generation rows:
    `video`, `question`, `answer`, and `scoring_points` (list) in `8_sub_scene.json`.
    Prompts: the official ones; the official pre-filled reply "Best Option: (" ends the user turn, as
    in lmms-eval, since the vicuna_v1 template leaves the reply open.
    M-Avg is the mean of the task accuracies (official and lmms-eval), `m_avg_micro` that of all
    questions (VLMEvalKit). A generation answer has two marks, 2-10 together; G-Avg is the mean of
    the two tasks. Official: an unreadable judgement counts 0 and stays in the count.
    """

    name = "mlvu"
    title = "MLVU"
    data_set = "mlvu"
    judged = True
    headline = "m_avg"
    video_folders = tuple(f"video/{stem}" for stem in (*CHOICE_FILES, *GENERATION_FILES))
    averaged_over = "task"
    chance = 25.0
    metrics: ClassVar[tuple[Metric, ...]] = (
        *_CHOICE_METRICS,
        Metric("g_avg", "score", scale=1.0, low=2.0, high=10.0, macro="task"),
        Metric("g_avg_official", "score_official", scale=1.0, low=0.0, high=10.0, macro="task"),
        Metric("g_avg_micro", "score", scale=1.0, low=2.0, high=10.0),
    )

    def load(self, folder: Path) -> list[Question]:
        questions = []
        for stem, task in {**CHOICE_FILES, **GENERATION_FILES}.items():
            for number, row in enumerate(read_rows(folder / "json" / f"{stem}.json")):
                build = self._choice if stem in CHOICE_FILES else self._generation
                questions.append(build(row, f"{stem}/{number}", f"video/{stem}/{row.text('video')}", task))
        return questions

    def _choice(self, row: Row, question_id: str, video: str, task: str) -> Question:
        return choice_question(self.name, row, question_id, video, task, row.text("answer"))

    def _generation(self, row: Row, question_id: str, video: str, task: str) -> Question:
        question = row.text("question")
        points = {"scoring_points": tuple(row.texts("scoring_points"))} if task == "subPlot" else {}
        return Question(
            benchmark=self.name,
            question_id=question_id,
            video=video,
            text=f"{GENERATION_PROMPT}\n{question}",
            encoder_prompt=question,
            gold=row.text("answer"),
            groups={"task": (task,)},
            details=points,
        )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        return {"accuracy_official": float(official.mlvu(reply) == gold)}

    def official_names(self) -> tuple[str, ...]:
        return ("accuracy_official",)

    def judge_items(self, questions: Sequence[Question], answers: Answers) -> list[JudgeItem]:
        return [
            JudgeItem(
                benchmark=self.name,
                item_id=question.question_id,
                criterion=CRITERIA[question.groups["task"][0]],
                question_ids=(question.question_id,),
                fields={
                    "question": question.encoder_prompt,
                    "answer": question.gold,
                    "prediction": answers[question.question_id].reply,
                    **question.details,
                },
            )
            for question in questions
            if question.options is None and answers[question.question_id].status == "ok"
        ]

    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        return [
            self._generation_sample(question, answers, verdicts)
            if question.options is None
            else self._choice_sample(question, answers)
            for question in questions
        ]

    def _choice_sample(self, question: Question, answers: Answers) -> Sample:
        return self.choice_sample(question, answers[question.question_id])

    def _generation_sample(self, question: Question, answers: Answers, verdicts: Verdicts) -> Sample:
        task, answer = question.groups["task"][0], answers[question.question_id]
        verdict = verdicts.get((question.question_id, CRITERIA[task]))
        ours = official = None
        if answer.status == "ok" and verdict is not None:
            official = official_generation_value(verdict, MARKS[task])
            if verdict.status == "ok" and verdict.marks is not None:
                ours = sum(float(verdict.marks[mark]) for mark in MARKS[task])
        return Sample(
            sample_id=question.question_id,
            cluster=cluster_of(question),
            question_ids=(question.question_id,),
            status="unjudged" if answer.status == "ok" and ours is None else answer.status,
            values={"score": ours, "score_official": official},
            groups=question.groups,
        )


class MlvuTest(Mlvu):
    """The test set: 502 choice questions in nine tasks, up to six options, no generation part.

    Layout: `test_question.json` with rows `question_id`, `question_type`, `video`, `question`,
    `candidates`; optionally `test_answer.json` with rows `question_id` and `answer` (the candidate's
    text or its letter): without it every question counts as withheld. Videos `video/{video}`.
    """

    name = "mlvu_test"
    title = "MLVU test"
    data_set = "mlvu_test"
    judged = False
    video_folders = ("video",)
    metrics = _CHOICE_METRICS

    def load(self, folder: Path) -> list[Question]:
        answers = {}
        if (folder / "test_answer.json").is_file():
            rows = read_rows(folder / "test_answer.json")
            answers = {row.text("question_id"): row.text("answer") for row in rows}
        videos = VideoFolder(folder, self.video_folders)
        return [self._test_question(row, answers, videos) for row in read_rows(folder / "test_question.json")]

    def _test_question(self, row: Row, answers: dict[str, str], videos: VideoFolder) -> Question:
        kind, question_id = row.text("question_type"), row.text("question_id")
        if kind not in TEST_TASKS:
            raise row.wrong("question_type", f"one of {', '.join(TEST_TASKS)}")
        if answers and question_id not in answers:
            raise UserError(f"{row.file.parent / 'test_answer.json'}: no row with `question_id` {question_id}")
        return choice_question(self.name, row, question_id, videos(row.text("video")), kind, answers.get(question_id))


def choice_question(benchmark: str, row: Row, question_id: str, video: str, task: str, answer: str | None) -> Question:
    """A multiple-choice question; `answer` is a candidate's text or, if it is none of them, a letter.

    The official script takes the last of several equal candidates as the gold letter, and "@" where
    the answer is no candidate; ours accepts each of the equal ones, and has no gold in the second case.
    """
    question, candidates = row.text("question"), tuple(text.strip() for text in row.texts("candidates"))
    letters = LETTERS[: len(candidates)]
    if len(letters) < len(candidates):
        raise row.wrong("candidates", f"at most {len(LETTERS)} texts")
    equal = tuple(letter for letter, text in zip(letters, candidates, strict=True) if text == answer)
    if not equal and answer is not None and len(answer) == 1 and answer in letters:
        equal = (answer,)
    return Question(
        benchmark=benchmark,
        question_id=question_id,
        video=video,
        text=choice_prompt(question, candidates),
        encoder_prompt=question,
        gold=equal[-1] if equal else None if answer is None else NO_SUCH_OPTION,
        options=candidates,
        groups={"task": (task,)},
        details={"accepted": equal},
    )


def choice_prompt(question: str, candidates: Sequence[str]) -> str:
    """The official prompt of a choice; the reply goes on after its last bracket."""
    head, tail = (CHOICE_PROMPT, f"Question: {question}", "Options:"), ("Only give the best option.", "Best Option: (")
    return "\n".join((*head, lettered(candidates), *tail))


def official_generation_value(verdict: Verdict, marks: tuple[str, str]) -> float:
    """The official reading of a generation judgement: the sum of the marks that it finds.

    Each number runs from two characters after the colon that follows its key to the next comma, or
    to the last character but one. A key that is not there adds 0 (so does text that is no number,
    at which the official script stops).
    """
    total = 0.0
    for mark in marks:
        start = verdict.reply.find(mark)
        if start >= 0:
            begin = verdict.reply.find(":", start) + 2
            with suppress(ValueError):
                total += float(verdict.reply[begin : verdict.reply.find(",", begin)])
    return total
