"""Size and work of the backbones that a profile names.

Recorded ones are in `data/models.csv`, with counted work. Any other visual encoder or LLM is built from its
configuration without weights, and measured: a new family needs no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dynfocus.config.load import read_mapping
from dynfocus.config.schema import Config, Stage
from dynfocus.errors import UserError
from dynfocus.planning.tables import rows
from dynfocus.training.memory import ModelSize, Transformer

MILLION, GIGA = 1e6, 1e9
CONNECTOR_PROJECTIONS = 4
"""Square maps of the visual width outside the projectors: f_q, f_k and the scores of the selection (B.2)."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained part: `parameters`, shape, `gflops` per frame (encoders), `gigabytes` to download, and the
    `positions` of an LLM."""

    parameters: float
    shape: Transformer
    vocabulary: int
    gflops: float
    gigabytes: float
    positions: int = 0


@dataclass(frozen=True)
class Backbones:
    """The three parts of a profile."""

    clip: Backbone
    llm: Backbone
    qformer: Backbone


def backbones(config: Config) -> Backbones:
    """The recorded sizes of a profile's backbones.

    Raises:
        UserError: one is not recorded.
    """
    names, prepared = config.backbones, Path(config.root, "backbones")
    return Backbones(
        _recorded(names.clip.model) or _visual_encoder(names.clip.model, config.backbones.clip.layer),
        _recorded(names.llm.name) or _language_model(names.llm.name, prepared / "llm"),
        _recorded(names.qformer.name) or _unknown(names.qformer.name),
    )


def model_size(config: Config, stage: Stage) -> ModelSize:
    """The whole network of a profile as a stage trains it, for the memory estimate."""
    found, parts = backbones(config), stage.trainable
    connector = connector_parameters(config, found)
    trainable = {"projectors": connector["projectors"], "dpe_cce": connector["rest"] + found.qformer.parameters}
    trainable["llm"] = found.llm.parameters
    trainable["lora"] = adapter_parameters(found.llm, stage.lora_rank) * ("lora" in parts)
    everything = sum(trainable.values())
    return ModelSize(
        parameters=round(everything),
        trainable=round(sum(trainable[part] for part in parts)),
        llm=found.llm.shape,
        qformer=found.qformer.shape,
        vocabulary=found.llm.vocabulary,
        packed=round(inside(found.llm)) if stage.four_bits else 0,
    )


def inside(llm: Backbone) -> float:
    """Parameters of an LLM without its two tables of words: what a checkpoint leaves out of a frozen one."""
    return llm.parameters - 2 * llm.vocabulary * llm.shape.hidden


def adapter_parameters(llm: Backbone, rank: int) -> float:
    """Parameters of adapters beside the seven maps of every layer of a Llama, whose MLP is 8/3 as wide as it."""
    return rank * llm.shape.layers * llm.shape.hidden * (4 * 2 + 3 * (1 + 8 / 3))


def connector_parameters(config: Config, found: Backbones) -> dict[str, float]:
    """Parameters of F_fine and F_coarse, and of the rest of the connector (B.2)."""
    width, llm, hidden = found.clip.shape.hidden, found.llm.shape.hidden, config.network.projector_width
    return {
        "projectors": 2 * width * hidden + hidden * llm,
        "rest": CONNECTOR_PROJECTIONS * width**2 + found.qformer.shape.hidden * width,
    }


@cache
def _visual_encoder(name: str, layer: int) -> Backbone:
    """An open_clip model, measured without its weights: two operations a parameter and patch."""
    import torch

    from dynfocus.network.clip import model_config
    from dynfocus.network.vision import build_vision_tower

    settings = model_config(name)
    with torch.device("meta"):
        tower = build_vision_tower({"model": settings, "layer": layer})
        size = settings["vision_cfg"]["image_size"]
        _, patches, width = tower(torch.zeros(1, 3, size, size)).shape
    parameters = sum(weight.numel() for weight in tower.parameters())
    shape = Transformer(tower.block + 1, width)
    return Backbone(parameters, shape, 0, 2 * parameters * patches / GIGA, 4 * parameters / GIGA)


@cache
def _language_model(name: str, prepared: Path) -> Backbone:
    """A causal LM, measured without its weights, from the configuration that is `prepared`, or in its folder or hub."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model, _, commit = (str(prepared), "", "") if (prepared / "config.json").is_file() else name.partition("@")
    try:
        config = AutoConfig.from_pretrained(model, revision=commit or "main")
    except (OSError, ValueError):
        return _unknown(name)
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    text = config.get_text_config()
    shape = Transformer(text.num_hidden_layers, text.hidden_size)
    positions = getattr(text, "max_position_embeddings", 0)
    return Backbone(parameters, shape, text.vocab_size, 0.0, 2 * parameters / GIGA, positions)


def _unknown(name: str) -> Backbone:
    raise UserError(
        f"plan: the size of {name} is not recorded, and its configuration cannot be read; prepare the backbones first, "
        f"or add a row to src/dynfocus/planning/data/models.csv (recorded: {', '.join(rows('models', 'name'))})"
    )


def _recorded(name: str) -> Backbone | None:
    """A recorded backbone by the name in the configuration, or one that a JSON file describes; None for another."""
    if name.endswith(".json"):
        return _described(read_mapping(Path(name)))
    plain = name.partition("@")[0]
    row = rows("models", "name").get(plain) or rows("models", "name").get(Path(plain).name)
    if row is None:
        return None
    return Backbone(
        parameters=float(row["parameters"]) * MILLION,
        shape=Transformer(int(row["layers"]), int(row["hidden"])),
        vocabulary=int(row["vocabulary"]),
        gflops=float(row["gflops"]),
        gigabytes=float(row["gigabytes"]),
        positions=int(row["positions"]),
    )


def _described(file: Mapping[str, Any]) -> Backbone:
    """A backbone made by the workflow: an open_clip model, or a transformer in Hugging Face's words."""
    if "vision_cfg" in file:
        tower = file["vision_cfg"]
        width, layers = tower["width"], tower["layers"]
        parameters = layers * (4 + 2 * tower.get("mlp_ratio", 4.0)) * width**2
        tokens = (tower["image_size"] // tower["patch_size"]) ** 2
        return Backbone(parameters, Transformer(layers, width), 0, 2 * parameters * tokens / GIGA, 0.0)
    width, layers, vocabulary = file["hidden_size"], file["num_hidden_layers"], file.get("vocab_size", 0)
    parameters = vocabulary * width + layers * (4 * width**2 + 3 * width * file["intermediate_size"])
    queries = file.get("num_query_tokens", 32)
    positions = file.get("max_position_embeddings", 0)
    return Backbone(parameters, Transformer(layers, width), vocabulary, 2 * parameters * queries / GIGA, 0.0, positions)
