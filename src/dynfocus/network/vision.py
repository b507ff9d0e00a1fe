"""Patch features from an open_clip visual trunk: (B, 3, H, W) pixels to (B, N, d) tokens of one block.

Two families are read: open_clip's own `VisionTransformer`, and timm trunks (EVA) inside open_clip's `TimmModel`. The
class token is dropped; no final norm is applied, as the text encoder brings its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.errors import UserError

FRAMES_PER_PASS = 32


class VisionTower(nn.Module):
    """A frozen open_clip trunk read at block `layer` (−2: the penultimate one)."""

    def __init__(self, visual: nn.Module, layer: int):
        super().__init__()
        blocks = _block_count(visual)
        if not -blocks <= layer < 0:
            raise UserError(
                f"backbones.clip.layer: {layer} is outside a visual encoder of {blocks} blocks; use -{blocks} to -1"
            )
        self.visual = visual
        self.block = blocks + layer
        self.requires_grad_(False)

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
        """Features (V, T, N, d) of videos (V, T, 3, H, W), a few frames at a time."""
        frames = torch.cat([self(part) for part in pixels.flatten(0, 1).split(FRAMES_PER_PASS)])
        return frames.unflatten(0, pixels.shape[:2])


def load_vision_tower(visual: nn.Module, layer: int) -> VisionTower:
    """A frozen patch-feature extractor from the `visual` module of an open_clip model, read at block `layer` < 0.

    Raises UserError when the module is of neither family or has no such block.
    """
    return VisionTower(visual, layer)


def build_vision_tower(vision_config: dict[str, Any]) -> VisionTower:
    """An untrained tower from {"model": open_clip's model configuration, "layer": block}; weights are loaded later."""
    from open_clip.model import CLIP

    settings = vision_config["model"]
    unused_text = {"context_length": 4, "vocab_size": 4, "width": 64, "heads": 1, "layers": 1}
    clip = CLIP(settings["embed_dim"], settings["vision_cfg"], unused_text)
    return VisionTower(clip.visual, vision_config["layer"])


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
