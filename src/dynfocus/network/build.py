"""A model and its processor from a run's configuration and a folder of backbones."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    InstructBlipQFormerConfig,
    PreTrainedConfig,
)

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.files import read_tensors
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.encoders import TextGuidedEncoder
from dynfocus.network.modeling import DynFocusForConditionalGeneration, align
from dynfocus.network.processing import DynFocusProcessor, add_image_token

TEXT_ENCODER_WEIGHTS = ("qformer.", "query_tokens", "ln_vision.")


def build_model(
    config: Config, backbones_dir: str | Path, dtype: torch.dtype = torch.float32
) -> tuple[DynFocusForConditionalGeneration, DynFocusProcessor]:
    """The network of `config` with the pretrained LLM and text encoder of `backbones_dir`/llm and /qformer.

    Weights are of `dtype`, in which the LLM is loaded: a wider copy of it, once per process of a training, would fill
    the memory of a node. The connector's other parameters are new, drawn from torch's current seed. Raises UserError
    when a backbone is missing or does not fit.
    """
    folder = Path(backbones_dir)
    llm_dir, qformer_dir = folder / "llm", folder / "qformer"
    for part in (llm_dir, qformer_dir):
        if not (part / "config.json").is_file():
            raise UserError(f"{part}: no config.json; make the backbone first")
    llm_config = scale_positions(AutoConfig.from_pretrained(llm_dir), config.network.rope_factor)
    llm: Any = AutoModelForCausalLM.from_pretrained(llm_dir, config=llm_config, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(llm_dir)
    image_token_id = add_image_token(tokenizer)
    if len(tokenizer) > llm.get_input_embeddings().num_embeddings:
        llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    qformer_config = InstructBlipQFormerConfig.from_pretrained(qformer_dir)
    weights = text_encoder_weights(qformer_dir)
    model_config = DynFocusConfig.from_sections(
        config.network,
        copy.deepcopy(llm.config),
        qformer_config,
        vision_width=weights["ln_vision.weight"].shape[0],
        num_query_tokens=weights["query_tokens"].shape[1],
        image_token_id=image_token_id,
        max_prompt_tokens=config.backbones.qformer.max_text_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = DynFocusForConditionalGeneration(model_config, language_model=llm)
    model.generation_config = greedy(llm.generation_config, image_token_id)
    load_text_encoder(model, weights, qformer_dir)
    nn.Module.to(model, dtype)
    align(model)
    qformer_tokenizer = AutoTokenizer.from_pretrained(qformer_dir)
    return model, DynFocusProcessor(tokenizer, qformer_tokenizer, model_config)


def scale_positions(config: PreTrainedConfig, factor: float) -> PreTrainedConfig:
    """An LLM's configuration with its rotary positions stretched to `factor` times their number (Chen et al. 2023).

    Raises UserError for an LLM whose positions are not rotary, or scaled already.
    """
    if factor == 1:
        return config
    own = getattr(config, "rope_parameters", None) or {}
    if own.get("rope_type") != "default":
        raise UserError(
            f"network.rope_factor: {factor} cannot stretch the positions of {config.model_type} "
            f"({own.get('rope_type', 'not rotary')}); leave it at 1"
        )
    config.rope_parameters = {**own, "rope_type": "linear", "factor": factor}
    config.max_position_embeddings = round(factor * config.max_position_embeddings)
    return config


def greedy(published: GenerationConfig, image_token_id: int) -> GenerationConfig:
    """Greedy decoding with the special tokens of an LLM's published generation settings.

    Nothing else of them is kept: Vicuna's hold a temperature without sampling, which may be loaded but not saved once
    anything in them changes; Qwen's and SmolLM2's would sample, and penalise repetitions, behind a caller's back.
    """
    return GenerationConfig(
        bos_token_id=published.bos_token_id,
        eos_token_id=published.eos_token_id,
        pad_token_id=published.pad_token_id,
        suppress_tokens=[image_token_id],
    )


def text_encoder_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights `qformer.*`, `query_tokens` (1, n, h) and `ln_vision.*` of a text-encoder folder."""
    file = folder / "model.safetensors"
    if not file.is_file():
        raise UserError(f"{file}: missing; make the text encoder first")
    weights = {
        name: value
        for name, value in read_tensors(file, "make the text encoder again").items()
        if name.startswith(TEXT_ENCODER_WEIGHTS)
    }
    lacking = [name for name in ("query_tokens", "ln_vision.weight", "ln_vision.bias") if name not in weights]
    if lacking:
        raise UserError(f"{file}: {lacking[0]} is missing; make the text encoder again")
    return weights


def load_text_encoder(model: DynFocusForConditionalGeneration, weights: dict[str, torch.Tensor], source: Path) -> None:
    """Put pretrained weights into the text encoder, all of them; encoders without one need none."""
    if not isinstance(model.connector, TextGuidedEncoder):
        return
    result = model.connector.text_encoder.load_state_dict(weights, strict=False)
    wrong = [*result.missing_keys, *result.unexpected_keys]
    if wrong:
        raise UserError(f"{source}: {wrong[0]} does not match the text encoder ({len(wrong)} such weights); remake it")
