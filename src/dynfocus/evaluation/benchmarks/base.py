"""What every benchmark adapter provides, and the two shapes that most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from dynfocus.datasets.rows import Row
from dynfocus.evaluation.parsing import LETTERS, option_letter
from dynfocus.evaluation.questions import (
    Answer,
    AnswerStatus,
    JudgeItem,
    Metric,
    Question,
    Sample,
    SampleStatus,
    Verdict,
)

Answers = Mapping[str, Answer]
"""Answers of one benchmark by question id."""
Verdicts = Mapping[tuple[str, str], Verdict]
"""Verdicts of one benchmark by (item id, criterion)."""


class Benchmark(ABC):
    """One benchmark: how its files become questions, and how replies become samples.

    `name` is the key of the registry, `title` what the report calls it (the name where it is empty), `data_set` the
    folder below `data/`, `headline` the metric of the paper's tables. A metric whose name has `_official` in it
    reproduces the official script. `video_folders` are the folders below `data_set` in which videos are looked for,
    the official one first; `averaged_over` is the grouping over whose labels the headline is a mean, if it is one;
    `chance` is the accuracy of guessing in per cent, where every question has as many options.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    data_set: ClassVar[str]
    headline: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    judged: ClassVar[bool] = False
    video_folders: ClassVar[tuple[str, ...]] = ("videos",)
    averaged_over: ClassVar[str] = ""
    chance: ClassVar[float | None] = None
    has_subtitles: ClassVar[bool] = False

    def unit_of(self, question: Question) -> str:
        """What a question is sampled with: itself, or the pair that it is half of."""
        return question.details.get("unit", question.question_id)

    @abstractmethod
    def load(self, folder: Path) -> list[Question]:
        """Questions of the official files below `folder` (`data/{data_set}`)."""

    def judge_items(self, questions: Sequence[Question], answers: Answers) -> list[JudgeItem]:
        """Calls to the judge for the answers that have a reply; none for rule-scored benchmarks."""
        return []

    @abstractmethod
    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        """One sample per scored unit. `answers` holds an answer of every question."""


def cluster_of(question: Question) -> str:
    """The video that rows are resampled by: its path without suffix; a question without a video is its own."""
    if question.video is None:
        return question.question_id
    return question.video.rpartition(".")[0] or question.video


def answer_status(answers: Answers, question_ids: Sequence[str]) -> AnswerStatus:
    """The worst status of several answers: a unit is answered when all of its questions are."""
    statuses = [answers[question_id].status for question_id in question_ids]
    return next((status for status in statuses if status != "ok"), "ok")


class MultipleChoice(Benchmark):
    """A benchmark answered by an option letter.

    `accuracy` reads the letter with `option_letter`, an unreadable reply is wrong.
    `accuracy_official` asks `official_value`, which may leave a row out (None).
    """

    headline = "accuracy"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "accuracy"),
        Metric("accuracy_official", "accuracy_official"),
    )

    def official_values(self, reply: str, gold: str) -> dict[str, float | None]:
        """Values of the official rules on one reply, by metric."""
        raise NotImplementedError

    def official_names(self) -> tuple[str, ...]:
        """The metrics that `official_values` fills."""
        return tuple(metric.value for metric in self.metrics if "_official" in metric.value)

    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        return [self.choice_sample(question, answers[question.question_id]) for question in questions]

    def choice_sample(self, question: Question, answer: Answer) -> Sample:
        """The sample of one multiple-choice question.

        `details["accepted"]` lists the right letters where they are not just `gold`; an empty list
        with a gold letter is a question whose right answer is none of its options.
        """
        assert question.options is not None, "a multiple-choice question has options"
        values: dict[str, float | None] = dict.fromkeys(("accuracy", *self.official_names()))
        predicted, status = None, cast(SampleStatus, answer.status)
        accepted = question.details.get("accepted", (question.gold,))
        if answer.status == "ok":
            predicted = option_letter(answer.reply, question.options)
            status = "ok" if accepted and question.gold is not None else "withheld"
            if question.gold is not None:
                values |= self.official_values(answer.reply, question.gold)
        if status == "ok":
            values["accuracy"] = float(predicted in accepted)
        return Sample(
            sample_id=question.question_id,
            cluster=cluster_of(question),
            question_ids=(question.question_id,),
            status=status,
            values=values,
            groups=question.groups,
            unparsed=answer.status == "ok" and predicted is None,
            predicted=predicted,
            correct=question.gold,
        )


def gold_letter(row: Row, field: str, count: int) -> str:
    """The right letter of a row with `count` options, which must be one of theirs."""
    letter = row.text(field)
    if letter not in tuple(LETTERS[:count]):
        raise row.wrong(field, f"a letter of the {count} options")
    return letter


def lettered(options: Sequence[str], form: str = "({letter}) {text}") -> str:
    """Option lines, for example `(A) a dog`, joined by newlines."""
    return "\n".join(form.format(letter=LETTERS[i], text=text) for i, text in enumerate(options))
