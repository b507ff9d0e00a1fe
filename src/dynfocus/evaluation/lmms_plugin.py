"""The model inside lmms-eval, as a plug-in.

    lmms_eval --model dynfocus --model_args pretrained=CHECKPOINT,data=DATA,features=FEATURES --tasks ...

lmms-eval finds it by the entry point group `lmms_eval.models`. Videos are not decoded here: a task's video
path must lie below `data`, as `{set}/{path}`, and its features below `features`, where
`dynfocus extract-features` puts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from dynfocus.config.schema import Evaluation
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import reply_to
from dynfocus.evaluation.answerers.base import Reply
from dynfocus.evaluation.answerers.own import OwnModel, open_store

NAME = "dynfocus"


def manifest() -> ModelManifest:
    """What the entry point gives to lmms-eval."""
    return ModelManifest(NAME, simple_class_path=f"{__name__}.{DynFocusLmms.__name__}")


@dataclass(frozen=True)
class _Call:
    """One request of lmms-eval in our terms; `index` is its place in the order that the replies must have."""

    index: int
    text: str
    encoder_prompt: str
    data_set: str
    video: str
    settings: Evaluation
    until: tuple[str, ...]


class DynFocusLmms(lmms):
    """Simple interface of lmms-eval: the context is the user turn, one video per document.

    Args:
        pretrained: checkpoint folder; data, features: roots of the videos and of their features.
        prompt_field: field of the documents that holds the bare question for the text encoder; by
            default it reads the whole context, options and instructions included.
    """

    def __init__(
        self,
        pretrained: str,
        data: str,
        features: str,
        prompt_field: str = "",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str = "cpu",
    ):
        super().__init__()
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self._own = OwnModel(Path(pretrained), torch.device(device), dtype)
        self._data, self._features = Path(data).resolve(), Path(features)
        self._prompt_field = prompt_field
        self._batch_size = int(batch_size)
        self._stores: dict[str, Any] = {}

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Replies in the order of the requests."""
        calls = [self._call(index, *request.args) for index, request in enumerate(requests)]
        replies = [""] * len(calls)
        for batch in batches(calls, self._batch_size):
            for call, reply in zip(batch, reply_to(batch, self._reply)[0], strict=True):
                replies[call.index] = cut(reply, call.until)
        return replies

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("tasks that compare likelihoods are not supported; choose one that generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("tasks of several rounds are not supported; choose one that generates once")

    def _call(
        self, index: int, text: str, arguments: Mapping[str, Any], to_visual: Any, doc_id: int, task: str, split: str
    ) -> _Call:
        document = self.task_dict[task][split][doc_id]
        data_set, video = self._locate(to_visual(document))
        encoder_prompt = str(document[self._prompt_field]) if self._prompt_field else text
        stops = arguments.get("until") or ()
        return _Call(
            index,
            text,
            encoder_prompt,
            data_set,
            video,
            settings_of(arguments),
            (stops,) if isinstance(stops, str) else tuple(stops),
        )

    def _locate(self, visuals: Sequence[Any]) -> tuple[str, str]:
        """Data set and key of the one video of a document."""
        if len(visuals) != 1 or not isinstance(visuals[0], str):
            raise UserError("a document must have one video, given by its path; choose a video task")
        path = Path(visuals[0]).resolve()
        if not path.is_relative_to(self._data):
            raise UserError(f"{path}: not below data={self._data}; put the task's videos there as SET/PATH")
        data_set, _, video = path.relative_to(self._data).as_posix().partition("/")
        return data_set, video

    def _reply(self, batch: Sequence[_Call]) -> list[Reply]:
        videos = {(call.data_set, call.video): None for call in batch}
        place = {key: index for index, key in enumerate(videos)}
        return self._own.reply(
            [call.text for call in batch],
            [call.encoder_prompt for call in batch],
            [self._video(*key) for key in videos],
            [place[call.data_set, call.video] for call in batch],
            batch[0].settings,
        )

    def _video(self, data_set: str, video: str) -> torch.Tensor:
        if data_set not in self._stores:
            self._stores[data_set] = open_store(self._features, data_set)
        if video not in self._stores[data_set]:
            raise UserError(f"{self._features / data_set}: no features of {video}; extract them before evaluating")
        return self._stores[data_set].get(video)


def settings_of(arguments: Mapping[str, Any]) -> Evaluation:
    """Decoding settings of a task's `generation_kwargs`; sampling only where the task asks for it."""
    sampled = arguments.get("do_sample", False) and arguments.get("temperature", 0)
    temperature = float(arguments["temperature"]) if sampled else 0.0
    return Evaluation(max_new_tokens=arguments.get("max_new_tokens", 1024), temperature=temperature)


def batches(calls: Sequence[_Call], size: int) -> list[list[_Call]]:
    """Batches of calls with equal settings, a video's calls together and in order of their length."""
    ordered = sorted(
        calls, key=lambda call: (repr(call.settings), call.data_set, call.video, len(call.text), call.index)
    )
    found: list[list[_Call]] = []
    for call in ordered:
        if found and len(found[-1]) < size and found[-1][0].settings == call.settings:
            found[-1].append(call)
        else:
            found.append([call])
    return found


def cut(reply: str, until: Sequence[str]) -> str:
    """The reply up to the first of the stop strings."""
    for stop in until:
        reply = reply.split(stop)[0] if stop else reply
    return reply.strip()
