"""Figure 3: the spatial and event prototypes of one film, through the trained network."""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.questions import Question
from dynfocus.measuring.film import Explainer
from dynfocus.measuring.models import questions_by_video
from dynfocus.steps.jobs import Jobs


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """The first film of the item's benchmark under its first question, with all `questions` on it."""
    explainer = Explainer(jobs, item)
    video, questions = next(iter(questions_by_video(jobs, explainer.benchmark).items()))
    return {
        **explainer.film(video, questions[0].encoder_prompt),
        "questions": [
            {"id": one.question_id, "question": one.encoder_prompt, "truth": truth_of(one)} for one in questions
        ],
    }


def truth_of(question: Question) -> str:
    """The annotated answer in words: the text of the right option where there are options."""
    gold = question.gold or ""
    return question.options[ord(gold) - ord("A")] if question.options and len(gold) == 1 else gold
