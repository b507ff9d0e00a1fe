"""The model inside lmms-eval, as a plug-in.

    lmms_eval --model dynfocus --model_args pretrained=CHECKPOINT,clip=BACKBONES/clip,config=PROFILE.yaml --tasks ...
    lmms_eval --model dynfocus --model_args pretrained=CHECKPOINT,data=DATA,features=FEATURES --tasks ...

lmms-eval finds it by the entry point group `lmms_eval.models`. Videos are decoded and seen as in feature extraction,
or their stored features are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from dynfocus.config.load import load_config
from dynfocus.config.schema import Config, Evaluation
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import reply_to
from dynfocus.evaluation.answerers.base import Reply
from dynfocus.evaluation.answerers.own import OwnModel, open_store
from dynfocus.features.extract import compute_type, encode, read_medium
from dynfocus.features.precision import as_stored
from dynfocus.features.store import FeatureStore
from dynfocus.network import clip as open_clip
from dynfocus.network.vision import load_vision_tower

NAME = "dynfocus"
KEPT = 8
"""Videos whose features are kept: questions on a video come together, and some are asked twice."""


def manifest() -> ModelManifest:
    """What the entry point gives to lmms-eval."""
    return ModelManifest(NAME, simple_class_path=f"{__name__}.{DynFocusLmms.__name__}")


@dataclass(frozen=True)
class _Call:
    """One request of lmms-eval in our terms; `index` is its place in the order that the replies must have."""

    index: int
    text: str
    encoder_prompt: str
    video: Path
    settings: Evaluation
    until: tuple[str, ...]


class DynFocusLmms(lmms):
    """Simple interface of lmms-eval: the context is the user turn, one video per document.

    Args:
        pretrained: checkpoint folder.
        clip, config: folder of the visual encoder and profile file, to decode the videos, wherever they lie.
        data, features: in their place, roots of the videos and of their stored features: a video must lie below
            `data`, as `{set}/{path}`, its features where `dynfocus extract-features` puts them.
        prompt_field: field of the documents that holds the bare question for the text encoder; by
            default it reads the whole context, options and instructions included.
    """

    def __init__(
        self,
        pretrained: str,
        clip: str = "",
        config: str = "",
        data: str = "",
        features: str = "",
        prompt_field: str = "",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str = "cpu",
    ):
        super().__init__()
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self._source = source_of(clip, config, data, features, torch.device(device))
        self._own = OwnModel(Path(pretrained), torch.device(device), dtype)
        self._prompt_field = prompt_field
        self._batch_size = int(batch_size)

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
        encoder_prompt = str(document[self._prompt_field]) if self._prompt_field else text
        stops = arguments.get("until") or ()
        return _Call(
            index,
            text,
            encoder_prompt,
            video_of(to_visual(document)),
            settings_of(arguments),
            (stops,) if isinstance(stops, str) else tuple(stops),
        )

    def _reply(self, batch: Sequence[_Call]) -> list[Reply]:
        videos = list(dict.fromkeys(call.video for call in batch))
        return self._own.reply(
            [call.text for call in batch],
            [call.encoder_prompt for call in batch],
            [self._source.features(video) for video in videos],
            [videos.index(call.video) for call in batch],
            batch[0].settings,
        )


class Source(Protocol):
    """Where the features of a video come from."""

    def features(self, video: Path) -> torch.Tensor:
        """Features (T, N, d). Raises UserError for a video that has none."""


def source_of(clip: str, config: str, data: str, features: str, device: torch.device) -> Source:
    """The source that the model arguments name; UserError where they name none, or both."""
    if clip and config and not (data or features):
        return Decoded(Path(clip), load_config([Path(config)]), device)
    if data and features and not (clip or config):
        return Stored(Path(data).resolve(), Path(features))
    raise UserError(
        "model_args: give clip=FOLDER,config=PROFILE to decode the task's videos, or data=FOLDER,features=FOLDER to "
        "read features that were extracted before"
    )


class Decoded:
    """Videos decoded and seen here, as `dynfocus extract-features` does it."""

    def __init__(self, clip: Path, config: Config, device: torch.device):
        hardware = config.hardware.model_copy(update={"device": device.type})
        self._config = config.model_copy(update={"hardware": hardware})
        self._device = device
        tower = load_vision_tower(open_clip.load(clip).visual, config.backbones.clip.layer)
        self._tower = tower.to(device, compute_type(self._config))
        self.features = lru_cache(KEPT)(self._features)

    @torch.inference_mode()
    def _features(self, video: Path) -> torch.Tensor:
        read = read_medium(video.parent, video.name, self._config.video, self._tower.mean)
        (seen,) = encode(self._tower, [(video.name, *read)], self._device)
        return as_stored(seen, self._config.feature_precision).cpu()


class Stored:
    """Features of videos below `data`, as `{set}/{path}`, from their stores in `features`."""

    def __init__(self, data: Path, features: Path):
        self._data, self._folder = data, features
        self._stores: dict[str, FeatureStore] = {}

    def features(self, video: Path) -> torch.Tensor:
        """Features (T, N, d) as they are stored."""
        path = video.resolve()
        if not path.is_relative_to(self._data):
            raise UserError(f"{path}: not below data={self._data}; put the task's videos there as SET/PATH")
        data_set, _, name = path.relative_to(self._data).as_posix().partition("/")
        if data_set not in self._stores:
            self._stores[data_set] = open_store(self._folder, data_set)
        if name not in self._stores[data_set]:
            raise UserError(f"{self._folder / data_set}: no features of {name}; extract them before evaluating")
        return self._stores[data_set].get(name)


def video_of(visuals: Sequence[Any]) -> Path:
    """The one video of a document."""
    if len(visuals) != 1 or not isinstance(visuals[0], str):
        raise UserError("a document must have one video, given by its path; choose a video task")
    return Path(visuals[0])


def settings_of(arguments: Mapping[str, Any]) -> Evaluation:
    """Decoding settings of a task's `generation_kwargs`; sampling only where the task asks for it."""
    sampled = arguments.get("do_sample", False) and arguments.get("temperature", 0)
    temperature = float(arguments["temperature"]) if sampled else 0.0
    return Evaluation(max_new_tokens=arguments.get("max_new_tokens", 1024), temperature=temperature)


def batches(calls: Sequence[_Call], size: int) -> list[list[_Call]]:
    """Batches of calls with equal settings, a video's calls together and in order of their length."""
    ordered = sorted(calls, key=lambda call: (repr(call.settings), call.video, len(call.text), call.index))
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
