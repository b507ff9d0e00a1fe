"""Figures 1 and 2: several questions about a video, with the replies that were stored when the run answered them."""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.records import read_answers
from dynfocus.measuring.film import Explainer
from dynfocus.measuring.models import questions_by_video
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import answers_of

VIDEOS, TURNS = 2, 3
"""Videos shown, and questions on each."""


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`cases`: each of the first videos under its first question, and `turns`, question, reply and annotated answer."""
    explainer = Explainer(jobs, item)
    shards = answers_of(jobs, explainer.run, jobs.item_seeds(item)[0])
    answers = read_answers([shard.path(jobs) for shard in shards])[explainer.benchmark]
    cases = []
    for video, questions in list(questions_by_video(jobs, explainer.benchmark).items())[:VIDEOS]:
        turns = [
            {
                "question": question.encoder_prompt,
                "reply": answers[question.question_id].reply,
                "gold": question.gold or "",
            }
            for question in questions[:TURNS]
        ]
        cases.append({**explainer.film(video, questions[0].encoder_prompt), "turns": turns})
    return {"cases": cases}
