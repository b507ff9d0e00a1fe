"""Generation settings that every answerer shares."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from dynfocus.errors import UserError
from dynfocus.evaluation.answer import Request

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation


def generation_config(
    evaluation: Evaluation, tokenizer: PreTrainedTokenizerBase, media_tokens: Sequence[int]
) -> GenerationConfig:
    """Greedy decoding at temperature 0, plain sampling above it; ends at the tokenizer's end token.

    `media_tokens` stand for frames in a prompt and are never written.
    """
    sampling = {"do_sample": True, "temperature": evaluation.temperature} if evaluation.temperature > 0 else {}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return GenerationConfig(
        max_new_tokens=evaluation.max_new_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad,
        suppress_tokens=list(media_tokens),
        **sampling,
    )


def seed_sampling(seed: int, requests: Sequence[Request]) -> None:
    """Make a sampled batch depend on the seed and its questions, and on nothing that ran before."""
    text = "\n".join([str(seed), *(f"{request.question.key}" for request in requests)])
    torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


def device_of(config: Config) -> torch.device:
    """Where a model runs; UserError where the configuration asks for a GPU that is not there."""
    if config.hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device is cuda and no GPU is visible; use a GPU machine or set hardware.device=cpu")
    return torch.device(config.hardware.device)


def dtype_of(config: Config) -> torch.dtype:
    """Compute type of inference: that of the instruction stage on a GPU, fp32 on a CPU."""
    half = config.hardware.device == "cuda" and config.instruction.precision == "bf16"
    return torch.bfloat16 if half else torch.float32
