"""Generation as every answerer does it: settings, seed, and replies with a mark where rounding may have chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import Reply, Request

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation

CLOSE = {torch.float32: 1e-3, torch.float16: 0.03, torch.bfloat16: 0.25}
"""Logits that differ by less may change their order with the shape of a batch: a few hundred roundings of a logit of
ordinary size."""


def generate_replies(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    batch: Any,
    evaluation: Evaluation,
    media_tokens: Sequence[int],
) -> list[Reply]:
    """The replies to a batch of prompts, padded on the left; for the rest see `generation_config`."""
    generation = generation_config(evaluation, tokenizer, media_tokens)
    made = model.generate(**batch, generation_config=generation)
    tokens = made.sequences[:, batch["input_ids"].shape[1] :]
    close = [False] * len(tokens) if generation.do_sample else close_calls(made.scores, tokens, tokenizer.eos_token_id)
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [Reply(text.strip(), near) for text, near in zip(texts, close, strict=True)]


def close_calls(scores: Sequence[Tensor], tokens: Tensor, end: int) -> list[bool]:
    """Whether a reply (row of `tokens` (B, S)) holds a token that leads the next best by less than `CLOSE`.

    `scores`: S tensors (B, vocabulary); what follows the end token does not count.
    """
    lead = torch.stack([-step.float().topk(2).values.diff()[:, 0] for step in scores], dim=1)
    ended = (tokens == end).cumsum(1) - (tokens == end).long() > 0
    return (lead.masked_fill(ended, torch.inf) < CLOSE[scores[0].dtype]).any(1).tolist()


def generation_config(
    evaluation: Evaluation, tokenizer: PreTrainedTokenizerBase, media_tokens: Sequence[int]
) -> GenerationConfig:
    """Greedy decoding at temperature 0, plain sampling above it; ends at the tokenizer's end token.

    `media_tokens` stand for frames in a prompt and are never written.
    """
    sampling: dict[str, bool | float] = {"do_sample": evaluation.temperature > 0}
    if evaluation.temperature > 0:
        sampling["temperature"] = evaluation.temperature
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return GenerationConfig(
        max_new_tokens=evaluation.max_new_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad,
        suppress_tokens=list(media_tokens),
        return_dict_in_generate=True,
        output_scores=True,
        **sampling,
    )


def seed_sampling(seed: int, requests: Sequence[Request]) -> None:
    """Make sampling depend on the seed and the questions, and on nothing that ran before."""
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
