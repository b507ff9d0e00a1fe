"""Reading answers and verdicts back, by key; a gap or a duplicate stops the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.evaluation.lines import read_as
from dynfocus.evaluation.questions import Answer, Question, Verdict

AnswersByBenchmark = dict[str, dict[str, Answer]]
VerdictsByBenchmark = dict[str, dict[tuple[str, str], Verdict]]


def read_answers(files: Sequence[Path]) -> AnswersByBenchmark:
    """Answers of all shards, by benchmark and question id."""
    answers: AnswersByBenchmark = {}
    for file in files:
        for answer in read_as(Answer, file):
            known = answers.setdefault(answer.benchmark, {})
            if answer.question_id in known:
                raise UserError(
                    f"{file}: question {answer.question_id} of {answer.benchmark} is answered twice; "
                    "pass the shards of one run, made with one number of shards"
                )
            known[answer.question_id] = answer
    return answers


def read_verdicts(file: Path) -> VerdictsByBenchmark:
    """Verdicts by benchmark and (item id, criterion)."""
    verdicts: VerdictsByBenchmark = {}
    for verdict in read_as(Verdict, file):
        known = verdicts.setdefault(verdict.benchmark, {})
        key = verdict.item_id, verdict.criterion
        if key in known:
            raise UserError(
                f"{file}: {verdict.item_id} of {verdict.benchmark} is marked twice for {verdict.criterion}; "
                "delete the file and judge again"
            )
        known[key] = verdict
    return verdicts


def verdict_row(verdict: Verdict, question_ids: Iterable[str]) -> dict[str, Any]:
    """The line of a verdict file."""
    return {
        "benchmark": verdict.benchmark,
        "item_id": verdict.item_id,
        "criterion": verdict.criterion,
        "question_ids": list(question_ids),
        "judge": verdict.judge,
        "status": verdict.status,
        "marks": verdict.marks,
        "reply": verdict.reply,
    }


def require_complete(name: str, questions: Sequence[Question], answers: dict[str, Answer]) -> None:
    """Every question must have an answer line, and every line a question."""
    expected = {question.question_id for question in questions}
    lacking, foreign = expected - answers.keys(), answers.keys() - expected
    if lacking:
        raise UserError(
            f"{name}: {len(lacking)} of {len(expected)} questions have no line in the answer files, "
            f"for example {min(lacking)}; run the answer step to its end and pass all shards"
        )
    if foreign:
        raise UserError(
            f"{name}: the answer files have {len(foreign)} questions that the annotations lack, "
            f"for example {min(foreign)}; answers and annotations must be of one version"
        )
