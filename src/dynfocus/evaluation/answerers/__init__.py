"""Models that can answer: the project's own, and video LLMs that transformers carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import FORMS, model_type

if TYPE_CHECKING:
    from dynfocus.config.schema import Config
    from dynfocus.evaluation.answerers.base import Answerer


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
