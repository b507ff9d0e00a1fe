"""The types in which features are stored, and what a reader gets back of each.

Eight bits are scaled channel by channel over all patches of a medium: a visual encoder has channels that are a hundred
times as large as the others, and a scale per patch would leave those few the only ones with a value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dynfocus.config.schema import FeaturePrecision

READ = {"fp16": torch.float16, "fp32": torch.float32, "int8": torch.float16}
"""Type of the features that a reader gets; on a GPU the encoder computes in it."""
LEVELS = 255


def pack(features: Tensor, precision: FeaturePrecision) -> tuple[Tensor, Tensor | None]:
    """Features (T, N, d) as they are stored, and for `int8` the scale (2, d): lowest value and step of each channel."""
    if precision != "int8":
        return features.to(READ[precision]), None
    values = features.float()
    low, high = values.amin(dim=(0, 1)), values.amax(dim=(0, 1))
    step = (high - low) / LEVELS
    step = torch.where(step > 0, step, torch.ones_like(step))
    return ((values - low) / step).round().clamp(0, LEVELS).to(torch.uint8), torch.stack((low, step))


def unpack(stored: Tensor, scale: Tensor | None) -> Tensor:
    """Features (T, N, d) in the type of `READ`, from what `pack` returned."""
    if scale is None:
        return stored
    low, step = scale
    return (low + step * stored).to(READ["int8"])


def as_stored(features: Tensor, precision: FeaturePrecision) -> Tensor:
    """Features (T, N, d) as a reader would get them from a store."""
    return unpack(*pack(features, precision))
