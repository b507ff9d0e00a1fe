"""Figures 1 and 2: conversations about a video, several questions one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynfocus.errors import UserError
from dynfocus.evaluation.answer import Answerer, Request
from dynfocus.evaluation.questions import Question
from dynfocus.features.decode import sample_frames
from dynfocus.reporting.checkpoints import answerer_of, questions_by_video
from dynfocus.reporting.figures import use_style
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table

STRIP = 6
"""Frames shown of a video."""


@dataclass(frozen=True)
class Turn:
    """One question of a conversation, the model's reply and the answer of the annotation."""

    question: str
    reply: str
    gold: str


def converse(answerer: Answerer, questions: list[Question], turns: int = 3) -> list[Turn]:
    """Answers to the first questions on a video; every question is asked on its own, as in the evaluation."""
    return [
        Turn(
            question.encoder_prompt,
            answerer.answer([Request(question, answerer.load(question))])[0].text,
            question.gold or "",
        )
        for question in questions[:turns]
    ]


def conversation_table(id: str, video: str, turns: list[Turn]) -> Table:
    """A conversation as a table."""
    rows = [((str(number),), (turn.question, turn.reply, turn.gold)) for number, turn in enumerate(turns, 1)]
    return plain_table(id, f"Conversation about {video}", ("Turn",), ("Question", "Reply", "Annotated answer"), rows)


def strip_figure(frames: NDArray[np.uint8], numbers: NDArray[np.integer]) -> Figure:
    """A row of frames (n, H, W, 3) with their numbers (n,)."""
    use_style()
    figure, axes = pyplot.subplots(1, len(frames), figsize=(1.35 * max(len(frames), 2), 1.6), squeeze=False)
    for panel, image, number in zip(axes[0], frames, numbers, strict=True):
        panel.imshow(image)
        panel.set_axis_off()
        panel.set_title(f"frame {number}", fontsize=7)
    return figure


def case_studies(
    session: Session, item: str, run: str, name: str, videos: int = 2
) -> tuple[list[Table], dict[str, tuple[Figure, str]], list[str]]:
    """A conversation and a strip of frames for each of the first videos of a benchmark; or none and the reason."""
    tables, figures = [], {}
    try:
        answerer = answerer_of(session, item, run)
        for number, (video, questions) in enumerate(list(questions_by_video(session, name).items())[:videos], 1):
            sampled, indices = sample_frames(session.layout.data / name / video, session.config.video)
            shown = np.linspace(0, len(sampled) - 1, min(STRIP, len(sampled))).astype(int)
            tables.append(conversation_table(f"case_{number}", video, converse(answerer, questions)))
            figures[f"case_{number}"] = (strip_figure(sampled[shown], indices[shown]), f"Frames of {video}.")
    except UserError as error:
        return tables, figures, [f"missing: {error}"]
    return tables, figures, []
