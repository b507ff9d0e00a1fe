"""Table 4: seconds per answer of LLaMA-VID, Flash-VStream and DynFocus on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import Answerer, Request, VideoProblem
from dynfocus.evaluation.questions import Question
from dynfocus.measuring.models import answerer_of, questions_by_video
from dynfocus.steps.jobs import Jobs

QUESTIONS = 6
"""Questions timed per run and benchmark, one of each of the first videos but the very first, which warms up."""


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`seconds`: run -> benchmark -> of each question; `gaps`: run -> benchmark -> why there are none."""
    names = jobs.item_benchmarks(item)
    asked = {name: sample_questions(jobs, name) for name in names}
    seconds: dict[str, dict[str, list[float]]] = {}
    gaps: dict[str, dict[str, str]] = {}
    for run in jobs.item_runs(item):
        answerer = answerer_of(jobs, item, run)
        for name in names:
            try:
                seconds.setdefault(run, {})[name] = time_answers(answerer, asked[name])
            except UserError as error:
                gaps.setdefault(run, {})[name] = str(error)
    return {"questions": QUESTIONS, "seconds": seconds, "gaps": gaps}


def sample_questions(jobs: Jobs, name: str) -> list[Question]:
    """The first question of each of the first videos of a benchmark, one for warming up and those to be timed."""
    return [questions[0] for questions in questions_by_video(jobs, name).values()][: QUESTIONS + 1]


def time_answers(answerer: Answerer, questions: Sequence[Question]) -> list[float]:
    """Seconds from cached features to the finished answer, one question at a time.

    The first one warms up and is not among them: no video is asked about twice, since a model keeps what it knows of
    one. A video that cannot be shown is left out.

    Raises:
        UserError: fewer than two could be shown.
    """
    seconds = []
    for question in questions:
        started = time.perf_counter()
        try:
            answerer.answer([Request(question, answerer.load(question))])
        except VideoProblem:
            continue
        seconds.append(time.perf_counter() - started)
    if len(seconds) < 2:
        raise UserError(f"{len(seconds)} videos could be shown; the first one warms up, so it takes two")
    return seconds[1:]
