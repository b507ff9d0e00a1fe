"""A video LLM that transformers carries, through the same loop: its own processor, frames and template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from dynfocus.datasets.media import IMAGE_SUFFIXES
from dynfocus.errors import MediumError, UserError
from dynfocus.evaluation.answerers.base import FORMS, Reply, Request, VideoProblem
from dynfocus.evaluation.answerers.decoding import device_of, dtype_of, generate_replies, seed_sampling
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features.decode import frame_count, read_frames
from dynfocus.features.media import open_image
from dynfocus.machine.faults import reason_of

if TYPE_CHECKING:
    from dynfocus.config.schema import Config


def fetch(name: str, out: Path) -> None:
    """Leave the model and the processor of a hub id or folder in `out`; UserError where it cannot be evaluated."""
    try:
        kind = AutoConfig.from_pretrained(name).model_type
        if kind not in FORMS:
            raise UserError(f"{name}: model type {kind} cannot be evaluated; known are {', '.join(FORMS)}")
        model = AutoModelForImageTextToText.from_pretrained(name, dtype="auto")
        processor = AutoProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: cannot be loaded: {reason_of(error)}") from error
    model.save_pretrained(out)
    processor.save_pretrained(out)


class ForeignAnswerer:
    """Video-LLaVA or LLaVA-NeXT-Video from a checkpoint folder in save_pretrained form."""

    def __init__(self, config: Config, checkpoint: Path, kind: str, data_dir: Path, seed: int):
        torch.set_num_threads(config.hardware.threads)
        self._form = FORMS[kind]
        self._device = device_of(config)
        model: Any = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype_of(config))
        self._model = model.to(self._device).eval()
        self._processor = AutoProcessor.from_pretrained(checkpoint)
        self._processor.tokenizer.padding_side = "left"
        self._evaluation = config.evaluation
        self._data_dir = data_dir
        self._seed = seed

    def load(self, question: Question) -> np.ndarray:
        """Evenly spread frames (T, H, W, 3) uint8 of the question's video."""
        assert question.video is not None, "a question of text alone has nothing to load"
        path = self._data_dir / benchmark(question.benchmark).data_set / question.video
        if not path.is_file():
            raise VideoProblem("missing_video", "no such file")
        try:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                return np.stack([np.asarray(open_image(path))] * self._form.frames)
            return read_frames(path, spread(frame_count(path), self._form.frames))
        except MediumError as error:
            raise VideoProblem("unreadable", str(error)) from error

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies of one batch."""
        batch = self._processor(
            text=[prompt_of(self._form.prompt, request.question) for request in requests],
            videos=[request.video for request in requests if request.question.video is not None] or None,
            padding=True,
            return_tensors="pt",
        ).to(self._device, self._model.dtype)
        seed_sampling(self._seed, requests)
        tokenizer = self._processor.tokenizer
        media_tokens = tokenizer.convert_tokens_to_ids([self._processor.image_token, self._processor.video_token])
        return generate_replies(self._model, tokenizer, batch, self._evaluation, media_tokens)


def prompt_of(form: str, question: Question) -> str:
    """The prompt of a family; media words in the question are text without meaning, and text alone has no medium."""
    text = re.sub(r"<(?:video|image)>", "", question.text)
    form = form if question.video is not None else form.replace("<video>\n", "")
    return form.format(question=text)


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` frame indices from the first to the last of `count` frames; short videos repeat frames."""
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()
