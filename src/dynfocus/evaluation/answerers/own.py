"""The project's own model: stored features in, replies out, several questions in one generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from dynfocus.config.schema import WEIGHTLESS
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import Reply, Request, VideoProblem
from dynfocus.evaluation.answerers.decoding import device_of, dtype_of, generate_replies, seed_sampling
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features.store import FeatureStore
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.prompts import encoder_prompt, evaluation_prompt

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation, Network


class OwnModel:
    """A checkpoint of stage 2 behind the `vicuna_v1` template, with the answering settings of `network` if given."""

    def __init__(self, checkpoint: Path, device: torch.device, dtype: torch.dtype, network: Network | None = None):
        settings = answering_config(checkpoint, network)
        model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, config=settings, dtype=dtype)
        self._model: DynFocusForConditionalGeneration = model.to(device).eval()
        self._model.remember()
        self._processor = DynFocusProcessor.from_pretrained(checkpoint)
        self._processor.config = self._model.config

    @torch.inference_mode()
    def reply(
        self,
        texts: Sequence[str],
        encoder_prompts: Sequence[str],
        videos: Sequence[Tensor],
        video_of: Sequence[int | None],
        evaluation: Evaluation,
        names: Sequence[str] | None = None,
    ) -> list[Reply]:
        """Replies to user turns `texts`, each with its text-encoder prompt.

        `videos`: features (T, N, d); `video_of`: the video of each text, None for text alone. A video is encoded once;
        by its name in `names`, what depends on no question is kept for later batches.
        """
        seen = [video is not None for video in video_of]
        batch = self._processor(
            text=[evaluation_prompt(text, visual) for text, visual in zip(texts, seen, strict=True)],
            prompts=[[encoder_prompt(prompt)] * visual for prompt, visual in zip(encoder_prompts, seen, strict=True)],
            video_features=[features.to(self._model.dtype) for features in videos],
            prompt_video=[video for video in video_of if video is not None],
            padding_side="left",
        ).to(self._model.device)
        batch["video_names"] = names
        slot = self._processor.image_token_id
        return generate_replies(self._model, self._processor.tokenizer, batch, evaluation, [slot])


class OwnAnswerer:
    """Our model in the answer loop; greedy unless a temperature is set."""

    def __init__(self, config: Config, checkpoint: Path, data_dir: Path, features_dir: Path, seed: int):
        torch.set_num_threads(config.hardware.threads)
        self._model = OwnModel(checkpoint, device_of(config), dtype_of(config), config.network)
        self._evaluation = config.evaluation
        self._seed = seed
        self._data_dir, self._features_dir = data_dir, features_dir
        self._stores: dict[str, FeatureStore] = {}

    def load(self, question: Question) -> Tensor:
        """Features (T, N, d) of the question's video."""
        assert question.video is not None, "a question of text alone has nothing to load"
        data_set = benchmark(question.benchmark).data_set
        if data_set not in self._stores:
            self._stores[data_set] = open_store(self._features_dir, data_set)
        store = self._stores[data_set]
        if question.video in store:
            return store.get(question.video)
        if (self._data_dir / data_set / question.video).is_file():
            raise VideoProblem("unreadable", "the video is there and has no features")
        raise VideoProblem("missing_video", "no video and no features")

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies of one batch; questions on one video share its frames."""
        videos = {request.question.video: request.video for request in requests if request.question.video is not None}
        place = {video: index for index, video in enumerate(videos)}
        seed_sampling(self._seed, requests)
        return self._model.reply(
            [request.question.text for request in requests],
            [request.question.encoder_prompt for request in requests],
            list(videos.values()),
            [place.get(request.question.video or "") for request in requests],
            self._evaluation,
            [f"{requests[0].question.benchmark}/{video}" for video in videos],
        )


def answering_config(checkpoint: Path, network: Network | None) -> DynFocusConfig:
    """A checkpoint's configuration, with L, K/L and all else that no weight depends on as `network` says."""
    config = DynFocusConfig.from_pretrained(checkpoint)
    for name in WEIGHTLESS if network is not None else ():
        setattr(config, name, getattr(network, name))
    return config


def open_store(features_dir: Path, data_set: str) -> FeatureStore:
    """The features of a data set; UserError where none were extracted."""
    folder = features_dir / data_set
    if not folder.is_dir():
        raise UserError(f"{folder}: no features of {data_set}; extract them before answering")
    return FeatureStore(folder)
