"""The text encoder: InstructBLIP's Q-Former reads the question and a frame (paper section 2).

The modules and weights are transformers' `InstructBlipQFormerModel`; the pass over them is our own, because it runs on
every (frame, prompt) pair and much of it does not depend on both:

* before the first cross-attention nothing depends on the frame: computed once per prompt;
* keys and values of the cross-attention do not depend on the prompt: computed once per frame;
* the text half of the last layer is never read: not computed, and its parameters are never trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from dynfocus.network.batch import Prompts, Rows
from dynfocus.network.distances import on_host

FRAMES_PER_PASS = 64
"""Frames that go through the Q-Former at once when no gradient is needed."""


class TextEncoder(nn.Module):
    """Query tokens (R, n, h) for every (frame, prompt) pair; n query tokens of width h."""

    def __init__(self, config: InstructBlipQFormerConfig, num_query_tokens: int, width: int):
        super().__init__()
        self.qformer = InstructBlipQFormerModel(config)
        self.query_tokens = nn.Parameter(torch.randn(1, num_query_tokens, config.hidden_size) * 0.02)
        self.ln_vision = nn.LayerNorm(width)
        self.gradient_checkpointing = False

    def idle_parameters(self) -> set[str]:
        """Names of the parameters that no output depends on: the text half of the last layer."""
        last = f"qformer.encoder.layer.{len(self.qformer.encoder.layer) - 1}."
        idle = (last + "intermediate.", last + "output.")
        return {name for name, _ in self.named_parameters() if name.startswith(idle)}

    def forward(self, frames: Tensor, prompts: Prompts, rows: Rows) -> Tensor:
        """Query tokens (R, n, h) of packed frames (F, N, d) under the prompts, one per row."""
        embedded = self._embed(prompts)
        mask = self._visible(prompts.attention_mask)
        if torch.is_grad_enabled() or rows.frames <= FRAMES_PER_PASS:
            return self._pass(frames, embedded, mask, rows)
        starts = range(0, rows.frames, FRAMES_PER_PASS)
        blocks = [(start, min(start + FRAMES_PER_PASS, rows.frames)) for start in starts]
        return torch.cat([self._pass(frames[a:b], embedded, mask, rows.block(a, b)) for a, b in blocks])

    def _visible(self, mask: Tensor | None) -> Tensor | None:
        """Attention mask (Q, 1, 1, n + W) over queries and words; None where no word is padding."""
        # Without a mask attention is faster; whether one is needed is asked only where asking is free.
        if mask is None or (on_host(mask) and bool(mask.all())):
            return None
        return F.pad(mask.bool(), (self.query_tokens.shape[1], 0), value=True)[:, None, None, :]

    def _embed(self, prompts: Prompts) -> Tensor:
        """Query and word embeddings (Q, n + W, h); positions count real words, whatever side is padded."""
        mask = prompts.attention_mask
        positions = None if mask is None else (mask.cumsum(1) - 1).clamp(min=0)
        queries = self.query_tokens.expand(prompts.input_ids.shape[0], -1, -1)
        return self.qformer.embeddings(input_ids=prompts.input_ids, position_ids=positions, query_embeds=queries)

    def _pass(self, frames: Tensor, embedded: Tensor, visible: Tensor | None, rows: Rows) -> Tensor:
        count = self.query_tokens.shape[1]
        frames = self.ln_vision(frames.to(self.ln_vision.weight.dtype))
        queries, text = embedded[:, :count], embedded[:, count:]
        visible_rows = None if visible is None else visible[rows.prompt]
        layers = self.qformer.encoder.layer
        for depth, layer in enumerate(layers):
            step = _Step(
                first=depth == 0,
                last=depth == len(layers) - 1,
                spread=rows.prompt if depth == 1 else None,
                visible=visible if depth == 0 else visible_rows,
                rows=rows,
            )
            if self.gradient_checkpointing and self.training:
                queries, text = checkpoint(_layer, layer, queries, text, frames, step, use_reentrant=False)
            else:
                queries, text = _layer(layer, queries, text, frames, step)
        return queries


@dataclass(frozen=True)
class _Step:
    """Where in the pass a layer stands.

    first: states are per prompt and leave per row (queries) and per prompt (text); last: the text is not needed.
    spread (R,): prompt of each row, while the text is still per prompt; visible (·, 1, 1, n + W): attention mask.
    """

    first: bool
    last: bool
    spread: Tensor | None
    visible: Tensor | None
    rows: Rows


def _layer(layer: nn.Module, queries: Tensor, text: Tensor, frames: Tensor, step: _Step) -> tuple[Tensor, Tensor]:
    """One Q-Former layer on query states (R, n, h), text states (R, W, h) and normalised frames (F, N, d)."""
    count = queries.shape[1]
    attended = _self_attention(layer.attention, queries, text, step)
    queries = attended[:, :count]
    if not step.last:
        text = layer.feed_forward_chunk(attended[:, count:])
    if step.first:
        queries = queries.index_select(0, step.rows.prompt)
    if layer.has_cross_attention:
        queries = _cross_attention(layer.crossattention, queries, frames, step.rows)
    return layer.feed_forward_chunk_query(queries), text


def _self_attention(block: nn.Module, queries: Tensor, text: Tensor, step: _Step) -> Tensor:
    """Attention among query and text states; in the last layer only the queries read."""
    attention = block.attention
    if step.spread is None:
        states = torch.cat([queries, text], dim=1)
        reading = queries if step.last else states
        query, key, value = attention.query(reading), attention.key(states), attention.value(states)
    else:
        maps = (attention.query, attention.key, attention.value)
        text_maps = [linear(text).index_select(0, step.spread) for linear in maps[step.last :]]
        key, value = (
            torch.cat([linear(queries), mapped], dim=1) for linear, mapped in zip(maps[1:], text_maps[-2:], strict=True)
        )
        query, reading = attention.query(queries), queries
        if not step.last:
            query = torch.cat([query, text_maps[0]], dim=1)
            reading = torch.cat([queries, text.index_select(0, step.spread)], dim=1)
    return block.output(_attend(attention, query, key, value, step.visible), reading)


def _cross_attention(block: nn.Module, queries: Tensor, frames: Tensor, rows: Rows) -> Tensor:
    """Queries (R, n, h) read their frames (F, N, d); all prompts of a frame share its keys and values."""
    attention = block.attention
    query = rows.group(attention.query(queries))
    read = _attend(attention, query, attention.key(frames), attention.value(frames), None)
    return block.output(rows.ungroup(read), queries)


def _attend(attention: nn.Module, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor:
    """Multi-head attention (B, S, h) of projected queries (B, S, h) over keys and values (B, M, h)."""
    heads = (attention.num_attention_heads, attention.attention_head_size)
    query, key, value = (states.unflatten(2, heads).transpose(1, 2) for states in (query, key, value))
    dropout = attention.attention_dropout if attention.training else 0.0
    read = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)
    return read.transpose(1, 2).flatten(2)
