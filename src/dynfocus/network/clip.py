"""A CLIP as a folder: `open_clip_config.json` and `open_clip_model.safetensors`, built, loaded and saved.

A folder with `bpe_merges.txt.gz` has a vocabulary of its own; without it texts have that of OpenAI's CLIP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from torch import nn

from dynfocus.errors import UserError
from dynfocus.files import read_json, read_tensors, write_json

MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
UNUSED_TEXT = {"context_length": 4, "vocab_size": 4, "width": 64, "heads": 1, "layers": 1}
CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"
MERGES_FILE = "bpe_merges.txt.gz"
AGAIN = "run `dynfocus prepare-clip` again"


def model_config(name: str) -> dict:
    """The open_clip configuration of a model name, of a model of the hub or of a folder, or of a JSON file."""
    if name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"backbones.clip.model: {path} does not exist; name a JSON file or an open_clip model")
        return read_json(path, dict)
    try:
        found = open_clip.get_model_config(name)
    except (OSError, ValueError) as error:
        raise UserError(f"backbones.clip.model: {name} cannot be read: {str(error).splitlines()[0]}") from error
    if found is None:
        raise UserError(f"backbones.clip.model: open_clip has no model {name}; see open_clip.list_models()")
    return found


def build(settings: dict) -> CLIP | CustomTextCLIP:
    """A model with random weights from an open_clip configuration."""
    settings = {key: value for key, value in settings.items() if key not in ("custom_text", "preprocess_cfg")}
    custom = "hf_model_name" in settings["text_cfg"] or "timm_model_name" in settings["vision_cfg"]
    return (CustomTextCLIP if custom else CLIP)(**settings)


class VisualOnly(nn.Module):
    """A visual encoder without its text encoder."""

    def __init__(self, visual: nn.Module):
        super().__init__()
        self.visual = visual

    @property
    def context_length(self) -> int:
        """Raise UserError: there is nothing to encode text with."""
        raise UserError(
            "the visual encoder came without a text encoder; set backbones.clip.source to open_clip for this"
        )


def load(folder: Path) -> CLIP | CustomTextCLIP | VisualOnly:
    """The model that `prepare` left in a folder, in evaluation mode."""
    if not (folder / WEIGHTS_FILE).is_file():
        raise UserError(f"{folder / WEIGHTS_FILE}: missing; run `dynfocus prepare-clip` first")
    settings = read_json(folder / CONFIG_FILE, dict, AGAIN)
    weights = read_tensors(folder / WEIGHTS_FILE, AGAIN)
    if all(name.startswith("visual.") for name in weights):
        return with_pixels_of(visual_only(settings, weights), settings).eval()
    model = build(settings)
    model.load_state_dict(weights)
    return with_pixels_of(model, settings).eval()


def load_tokenizer(folder: Path, context_length: int) -> open_clip.SimpleTokenizer:
    """What turns texts into the tokens of the CLIP in a folder."""
    merges = folder / MERGES_FILE
    if merges.is_file():
        return open_clip.SimpleTokenizer(bpe_path=str(merges), context_length=context_length)
    return open_clip.SimpleTokenizer(context_length=context_length)


def with_pixels_of(model: Any, settings: dict) -> nn.Module:
    """The model, whose visual encoder knows the mean and deviation of the pixels that it was trained with."""
    model.visual.preprocess_cfg = settings.get("preprocess_cfg", {})
    return model


def visual_only(settings: dict, weights: dict[str, torch.Tensor]) -> VisualOnly:
    """A visual encoder of timm's EVA family with exactly these weights; it ends after its last block."""
    visual = CLIP(settings["embed_dim"], settings["vision_cfg"], UNUSED_TEXT).visual
    drop_unread(visual.trunk)
    model = VisualOnly(visual)
    model.load_state_dict(weights)
    return model


def save(model: torch.nn.Module, settings: dict, folder: Path) -> None:
    """Write configuration and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, settings, indent=2)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS_FILE)


def normalize(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Pixels (..., H, W, 3) uint8 as CLIP's normalised input (..., 3, H, W) float."""
    pixels = torch.as_tensor(images).movedim(-1, -3).float() / 255
    return (pixels - MEAN.to(pixels.device)) / STD.to(pixels.device)


def drop_unread(trunk: torch.nn.Module) -> None:
    """Take away from a timm trunk what a LAVIS checkpoint does not hold, so that nothing untrained is ever read."""
    for name in ("norm", "fc_norm", "head"):
        if hasattr(trunk, name):
            setattr(trunk, name, torch.nn.Identity())
