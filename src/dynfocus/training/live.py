"""The frozen visual encoder beside a training: it sees the pixels of a batch on the way, where nothing is cached.

It is no part of the model: no checkpoint holds it, and DeepSpeed does not touch its type. What it makes is what
`extract-features` would have stored: in the same type, and on a CPU the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dynfocus.config.schema import FeaturePrecision
from dynfocus.features.extract import TOGETHER, seen
from dynfocus.features.precision import as_stored
from dynfocus.network.vision import VisionTower
from dynfocus.training.data import stacked


@dataclass(frozen=True)
class LiveEncoder:
    """`tower` on the training's device; `stored`: as features would be stored, `dtype`: type of the model's input."""

    tower: VisionTower
    stored: FeaturePrecision
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Size of the encoder's weights."""
        return sum(weight.numel() * weight.element_size() for weight in self.tower.parameters())

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A batch with `video_features` (V, Tmax, N, d) in place of its `videos`, some of which are pixels."""
        if "videos" not in inputs:
            return inputs
        videos = inputs["videos"]
        places = [place for place, video in enumerate(videos) if video.dtype == torch.uint8]
        made = dict(zip(places, self._features([videos[place] for place in places]), strict=True))
        features = [made.get(place, video) for place, video in enumerate(videos)]
        others = {name: value for name, value in inputs.items() if name != "videos"}
        return others | {"video_features": stacked(features, self.dtype)}

    def _features(self, films: Sequence[Tensor]) -> list[Tensor]:
        """Features (T, N, d) of films (T, S, S, 3) uint8; as in extraction, on a CPU each film by itself."""
        if TOGETHER[films[0].device.type] == 1:
            return [as_stored(seen(self.tower, film), self.stored) for film in films]
        lengths = [len(film) for film in films]
        together = seen(self.tower, torch.cat(list(films)))
        return [as_stored(features, self.stored) for features in together.split(lengths)]
