"""Patch features from an open_clip visual trunk: (B, 3, H, W) pixels to (B, N, d) tokens of one block.

Two families are read: open_clip's own `VisionTransformer`, and timm trunks (EVA) inside open_clip's `TimmModel`. The
class token is dropped; no final norm is applied, as the text encoder brings its own. Every encoder is given pixels
normalised as in its own training: CLIP's mean and deviation are not SigLIP's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dynfocus.errors import UserError

FRAMES_PER_PASS = 32
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's CLIP, and of encoders that do not say otherwise."""


class VisionTower(nn.Module):
    """A frozen open_clip trunk read at block `layer` (−2: the penultimate one)."""

    def __init__(
        self,
        visual: nn.Module,
        layer: int,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
    ):
        """`mean` and `std` of red, green and blue in [0, 1], as the encoder was trained with."""
        super().__init__()
        blocks = _block_count(visual)
        if not -blocks <= layer < 0:
            raise UserError(
                f"backbones.clip.layer: {layer} is outside a visual encoder of {blocks} blocks; use -{blocks} to -1"
            )
        self.visual = visual
        self.block = blocks + layer
        self.mean, self.std = tuple(mean), tuple(std)
        self.requires_grad_(False)

    def normalise(self, frames: Tensor | np.ndarray) -> Tensor:
        """Pixels (..., H, W, 3) uint8 as the encoder's input (..., 3, H, W) fp32."""
        pixels = torch.as_tensor(frames).movedim(-1, -3).float() / 255
        mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def train(self, mode: bool = True) -> VisionTower:
        """The tower stays in evaluation mode: it is frozen in both stages."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Patch tokens (B, N, d) of normalised pixels (B, 3, H, W)."""
        if hasattr(self.visual, "trunk"):
            return self.visual.trunk.forward_intermediates(
                pixels,
                indices=[self.block],
                intermediates_only=True,
                output_fmt="NLC",
                norm=False,
                stop_early=True,
            )[0]
        output = self.visual.forward_intermediates(
            pixels,
            indices=[self.block],
            intermediates_only=True,
            output_fmt="NLC",
            normalize_intermediates=False,
            stop_early=True,
        )
        return output["image_intermediates"][0]

    def videos(self, pixels: Tensor) -> Tensor:
        """Features (V, T, N, d) of videos (V, T, 3, H, W), a few frames at a time.

        Raises UserError where an adapter was put on the tower: it learns nothing here, and would change the features
        that training was done with.
        """
        if any(hasattr(module, "base_layer") for module in self.modules()):
            raise UserError(
                "the vision tower is frozen and takes no adapters; leave it out: "
                "LoraConfig(..., exclude_modules=r'.*vision_tower.*')"
            )
        pixels = pixels.to(next(self.parameters()).dtype)
        frames = torch.cat([self(part) for part in pixels.flatten(0, 1).split(FRAMES_PER_PASS)])
        return frames.unflatten(0, pixels.shape[:2])


def load_vision_tower(visual: nn.Module, layer: int) -> VisionTower:
    """A frozen patch-feature extractor from the `visual` module of an open_clip model, read at block `layer` < 0.

    Mean and deviation are those that open_clip notes on the module, else CLIP's. Raises UserError when the module is of
    neither family or has no such block.
    """
    noted = getattr(visual, "preprocess_cfg", None) or {}
    return VisionTower(visual, layer, noted.get("mean", CLIP_MEAN), noted.get("std", CLIP_STD))


def build_vision_tower(vision_config: dict[str, Any]) -> VisionTower:
    """An untrained tower from {"model": open_clip's model configuration, "layer": block, "mean", "std": of its pixels}.

    Weights are loaded later.
    """
    from open_clip.model import CLIP

    settings = vision_config["model"]
    unused_text = {"context_length": 4, "vocab_size": 4, "width": 64, "heads": 1, "layers": 1}
    clip = CLIP(settings["embed_dim"], settings["vision_cfg"], unused_text)
    pixels = {name: vision_config[name] for name in ("mean", "std") if name in vision_config}
    return VisionTower(clip.visual, vision_config["layer"], **pixels)


def _block_count(visual: nn.Module) -> int:
    """Transformer blocks of a visual encoder."""
    if hasattr(visual, "trunk") and hasattr(visual.trunk, "blocks"):
        return len(visual.trunk.blocks)
    if hasattr(visual, "transformer") and hasattr(visual, "forward_intermediates"):
        return len(visual.transformer.resblocks)
    raise UserError(
        f"backbones.clip.model: {type(visual).__name__} is neither an open_clip VisionTransformer nor a timm trunk; "
        "choose a ViT or EVA model"
    )
