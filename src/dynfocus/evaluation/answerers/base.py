"""What the loop over questions and a model under evaluation say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dynfocus.errors import UserError
from dynfocus.evaluation.questions import AnswerStatus, Question
from dynfocus.files import read_json


class VideoProblem(Exception):
    """A video that cannot be shown to a model: `status` says which way, the message why."""

    def __init__(self, status: AnswerStatus, reason: str):
        super().__init__(reason)
        self.status: AnswerStatus = status


@dataclass(frozen=True)
class Request:
    """A question with its video, in whatever form the answerer loaded it."""

    question: Question
    video: Any


@dataclass(frozen=True)
class Reply:
    """What a model said; `close` where another token was as good within rounding."""

    text: str
    close: bool = False


class Answerer(Protocol):
    """A model under evaluation."""

    def load(self, question: Question) -> Any:
        """The question's video in the model's own form; raises VideoProblem."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply per request, in their order; decided by these requests alone."""


@dataclass(frozen=True)
class Form:
    """How a model family is asked: its prompt, and the frames that it was trained with."""

    prompt: str
    frames: int


FORMS = {
    "video_llava": Form("USER: <video>\n{question} ASSISTANT:", 8),
    "llava_next_video": Form("USER: <video>\n{question} ASSISTANT:", 32),
}
"""Families of transformers that can be evaluated, by `model_type`."""


def model_type(checkpoint: Path) -> str:
    """`model_type` of a checkpoint in save_pretrained form."""
    file = checkpoint / "config.json"
    if not file.is_file():
        raise UserError(f"{checkpoint}: no config.json, so no model to evaluate; train the run or pull its checkpoint")
    kind = read_json(file, dict, "pull the checkpoint again").get("model_type", "")
    return kind if isinstance(kind, str) else ""
