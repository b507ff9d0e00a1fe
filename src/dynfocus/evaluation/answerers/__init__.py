"""Models that can answer: the project's own, and video LLMs that transformers carries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.errors import UserError

if TYPE_CHECKING:
    from dynfocus.config.schema import Config
    from dynfocus.evaluation.answer import Answerer


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


def load_answerer(config: Config, checkpoint: Path, data_dir: Path, features_dir: Path, seed: int) -> Answerer:
    """The answerer of a checkpoint folder, chosen by the `model_type` of its `config.json`."""
    kind = model_type(checkpoint)
    if kind == "dynfocus":
        from dynfocus.evaluation.answerers.own import OwnAnswerer

        return OwnAnswerer(config, checkpoint, data_dir, features_dir, seed)
    if kind in FORMS:
        from dynfocus.evaluation.answerers.foreign import ForeignAnswerer

        return ForeignAnswerer(config, checkpoint, kind, data_dir, seed)
    raise UserError(f"{checkpoint}: model type {kind} cannot be evaluated; known are dynfocus, {', '.join(FORMS)}")


def model_type(checkpoint: Path) -> str:
    """`model_type` of a checkpoint in save_pretrained form."""
    file = checkpoint / "config.json"
    if not file.is_file():
        raise UserError(f"{checkpoint}: no config.json, so no model to evaluate; train the run or pull its checkpoint")
    return json.loads(file.read_text(encoding="utf-8")).get("model_type", "")
