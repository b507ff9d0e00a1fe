"""What `measure_training.py` runs: models of three sizes with random weights, and batches in the shapes of the sets.

`training_loads.csv` lists the sets of Tables 9 and 10: samples, media, and a typical sample's frames at 1 fps, rounds
and text tokens, with where each row is from. Tables 9 and 10 themselves give no counts.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.config import Config
from dynfocus.network import clip
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.modeling import DynFocusForConditionalGeneration
from dynfocus.network.vision import VisionTower, build_vision_tower
from dynfocus.prompts import IGNORE

REPOSITORY = Path(__file__).parent.parent
FEATURE_STD = 0.75


@dataclass(frozen=True)
class Size:
    """A profile, whose stages are measured, and the shapes of its backbones."""

    profile: str
    clip: str
    llm: dict[str, Any]
    qformer: dict[str, Any] = field(default_factory=dict)


SIZES = {
    "paper": Size("paper", "EVA01-g-14", {"vocab_size": 32001}),
    "small": Size(
        "small",
        "ViT-B-32-256",
        {
            "vocab_size": 49153,
            "hidden_size": 960,
            "intermediate_size": 2560,
            "num_hidden_layers": 32,
            "num_attention_heads": 15,
            "num_key_value_heads": 5,
            "tie_word_embeddings": True,
        },
    ),
    "toy": Size(
        "mini",
        str(REPOSITORY / "config/backbones/clip-mini.json"),
        {
            "vocab_size": 500,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    ),
}


@dataclass(frozen=True)
class Load:
    """A training set: `samples` on `media` media, and the frames, rounds and text tokens per round of a sample."""

    stage: str
    set: str
    samples: int
    media: int
    frames: int
    rounds: int
    question_tokens: int
    answer_tokens: int


def read_loads() -> list[Load]:
    """The sets of the full mixture."""
    with (REPOSITORY / "speed/training_loads.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = ("stage", "set", "source")
    return [
        Load(row["stage"], row["set"], **{key: int(value) for key, value in row.items() if key not in texts})
        for row in rows
    ]


def build_tower(size: Size, config: Config, device: torch.device) -> VisionTower:
    """The visual encoder of a size with random weights, in evaluation mode."""
    with device:
        settings = {"model": clip.model_config(size.clip), "layer": config.backbones.clip.layer}
        return build_vision_tower(settings).eval()


def build_network(
    size: Size, config: Config, width: int, device: torch.device, dtype: torch.dtype
) -> DynFocusForConditionalGeneration:
    """The network of a size with random weights, for features of width `width`; the last word is `<image>`."""
    llm = LlamaConfig(**size.llm, max_position_embeddings=8192)
    qformer = InstructBlipQFormerConfig(**size.qformer, encoder_hidden_size=width)
    sections = DynFocusConfig.from_sections(
        config.network, llm, qformer, vision_width=width, image_token_id=llm.vocab_size - 1
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return DynFocusForConditionalGeneration(sections)
    finally:
        torch.set_default_dtype(usual)


def make_batch(
    model: DynFocusForConditionalGeneration, load: Load, count: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Forward inputs and labels of `count` samples of one shape, each on a medium of its own, with random contents."""
    config, device = model.config, model.device
    words = min(config.image_token_id, config.qformer_config.vocab_size)

    def text(*shape: int) -> Tensor:
        return torch.randint(3, words, shape, device=device)

    slot = torch.full((count, model.num_visual_tokens(load.frames)), config.image_token_id, device=device)
    ids, labels = [], []
    for _ in range(load.rounds):
        answer = text(count, load.answer_tokens)
        parts = [text(count, load.question_tokens), slot, answer]
        ids += parts
        labels += [torch.full_like(part, IGNORE) for part in parts[:2]] + [answer]
    input_ids = torch.cat(ids, dim=1)
    shape = (count, load.frames, config.grid**2, config.vision_width)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "labels": torch.cat(labels, dim=1),
        "video_features": FEATURE_STD * torch.randn(shape, device=device, dtype=dtype),
        "video_mask": torch.ones(shape[:2], dtype=torch.bool, device=device),
        "prompt_input_ids": text(count * load.rounds, load.question_tokens),
        "prompt_attention_mask": torch.ones(count * load.rounds, load.question_tokens, dtype=torch.long, device=device),
        "prompt_video": torch.arange(count, device=device).repeat_interleave(load.rounds),
    }


def checkpointing(model: nn.Module, wanted: bool) -> None:
    """Switch gradient checkpointing; newer transformers call it activation checkpointing."""
    verb = "enable" if wanted else "disable"
    switch = getattr(model, f"activation_checkpointing_{verb}", None) or getattr(
        model, f"gradient_checkpointing_{verb}"
    )
    switch()
