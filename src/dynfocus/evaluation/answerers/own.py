"""The project's own model: stored features in, replies out, several questions in one generation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig

from dynfocus.errors import UserError
from dynfocus.evaluation.answer import Request, VideoProblem
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features import FeatureStore
from dynfocus.network import DynFocusProcessor
from dynfocus.training.templates import evaluation_prompt

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation


class OwnAnswerer:
    """A checkpoint of stage 2 with the `vicuna_v1` template; greedy unless a temperature is set."""

    def __init__(self, config: Config, checkpoint: Path, data_dir: Path, features_dir: Path, seed: int):
        torch.set_num_threads(config.hardware.threads)
        self._device = device_of(config)
        self._model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype_of(config)).to(self._device).eval()
        self._processor = DynFocusProcessor.from_pretrained(checkpoint)
        self._processor.config = self._model.config
        self._evaluation = config.evaluation
        self._seed = seed
        self._data_dir, self._features_dir = data_dir, features_dir
        self._stores: dict[str, FeatureStore] = {}

    def load(self, question: Question) -> Tensor:
        """Features (T, N, d) of the question's video."""
        data_set = benchmark(question.benchmark).data_set
        if data_set not in self._stores:
            folder = self._features_dir / data_set
            if not folder.is_dir():
                raise UserError(f"{folder}: no features of {data_set}; extract them before answering")
            self._stores[data_set] = FeatureStore(folder)
        store = self._stores[data_set]
        if question.video in store:
            return store.get(question.video)
        if (self._data_dir / data_set / question.video).is_file():
            raise VideoProblem("unreadable", "the video is there and has no features")
        raise VideoProblem("missing_video", "no video and no features")

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[str]:
        """Replies of one batch; questions on one video share its frames."""
        videos = {request.question.video: request.video for request in requests}
        place = {video: index for index, video in enumerate(videos)}
        batch = self._processor(
            text=[evaluation_prompt(request.question.text) for request in requests],
            prompts=[[request.question.encoder_prompt] for request in requests],
            video_features=[features.to(self._model.dtype) for features in videos.values()],
            prompt_video=[place[request.question.video] for request in requests],
            padding_side="left",
        ).to(self._device)
        seed_sampling(self._seed, requests)
        produced = self._model.generate(**batch, generation_config=self._generation())
        replies = produced[:, batch["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.tokenizer.batch_decode(replies, skip_special_tokens=True)]

    def _generation(self) -> GenerationConfig:
        config, tokenizer = self._model.config.get_text_config(), self._processor.tokenizer
        return generation_config(
            self._evaluation,
            eos_token_id=tokenizer.eos_token_id if tokenizer.eos_token_id is not None else config.eos_token_id,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )


def generation_config(evaluation: Evaluation, eos_token_id: int | None, pad_token_id: int | None) -> GenerationConfig:
    """Greedy decoding at temperature 0, plain sampling above it."""
    sampling = {"do_sample": True, "temperature": evaluation.temperature} if evaluation.temperature > 0 else {}
    return GenerationConfig(
        max_new_tokens=evaluation.max_new_tokens, eos_token_id=eos_token_id, pad_token_id=pad_token_id, **sampling
    )


def seed_sampling(seed: int, requests: Sequence[Request]) -> None:
    """Make a sampled batch depend on the seed and its questions, and on nothing that ran before."""
    text = "\n".join([str(seed), *(f"{request.question.key}" for request in requests)])
    torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


def device_of(config: Config) -> torch.device:
    """Where a model runs; UserError where the configuration asks for a GPU that is not there."""
    if config.hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device is cuda and no GPU is visible; run on a GPU machine or set hardware.device=cpu")
    return torch.device(config.hardware.device)


def dtype_of(config: Config) -> torch.dtype:
    """Compute type of inference: that of the instruction stage on a GPU, fp32 on a CPU."""
    half = config.hardware.device == "cuda" and config.instruction.precision == "bf16"
    return torch.bfloat16 if half else torch.float32
