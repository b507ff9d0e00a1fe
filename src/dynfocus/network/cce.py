"""Compact Cooperative Encoding (paper section 3.2): object prototypes of a frame, rods and cones.

S-DPC merges the N patches of a frame into fine and coarse object prototypes G_t, kept in tree order. Rods read G_t with
the question (context) and without it (content); cones join h_t with G_t.

    one frame of N = 4 patches, 3 fine and 2 coarse prototypes
    fine labels (0, 0, 1, 2), coarse labels of the fine ones (1, 0, 1)
    G_t (5, d) in tree order:    coarse 0, fine 1,    coarse 1, fine 0, fine 2      group (0, 0, 1, 1, 1)

    three frames of one video, the second a cone, one question: O has 2 + 40 + 2 tokens (`cooperative_sequence`)
    place       0    1      2 … 39     40   41      42   43
    frame       0    0      1 …  1      1    1       2    2
    token      ctx  cont     U_fine    ctx  cont    ctx  cont
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dynfocus.network.batch import Rows
from dynfocus.network.clustering import Choices, cluster
from dynfocus.network.distances import take_rows
from dynfocus.tokens import NetworkFields, object_prototypes

BLOCK_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
"""Working memory of one block of frames in S-DPC: about the last-level cache on a CPU."""


@dataclass(frozen=True)
class Objects:
    """Multi-grained spatial object prototypes of F frames, ungated.

    tokens (F, I, d): G_t in tree order, each coarse prototype followed by the fine ones below it.
    group (F, I) long: the coarse prototype of each token; None with one grain.
    coarse_means (F, I_coarse): channel means of the coarse prototypes, the gate's input; None with one grain.
    fine_labels (F, N), coarse_labels (F, I_fine): cluster maps of both levels, for `explain`.
    """

    tokens: Tensor
    group: Tensor | None
    coarse_means: Tensor | None
    fine_labels: Tensor
    coarse_labels: Tensor | None


@torch.no_grad()
def object_prototypes_of(frames: Tensor, network: NetworkFields, dtype: torch.dtype | None = None) -> Objects:
    """S-DPC of frames (F, N, d): N patches → fine → coarse prototypes, weighted by exp(ρδ) (B.3); tokens in `dtype`.

    A block of frames stays in the cache from its patches to its tokens, which are written to their final place.
    """
    count, patches, width = frames.shape
    block = max(1, BLOCK_BYTES.get(frames.device.type, 1 << 30) // (4 * patches * (width + 4 * patches)))
    tokens = frames.new_empty(count, sum(object_prototypes(network)), width, dtype=dtype or frames.dtype)
    blocks = [_write_objects(*part, network) for part in zip(frames.split(block), tokens.split(block), strict=True)]
    group, means, fine_labels, coarse_labels = (
        None if column[0] is None else torch.cat(column) for column in zip(*blocks, strict=True)
    )
    return Objects(tokens, group, means, cast(Tensor, fine_labels), coarse_labels)


def _write_objects(frames: Tensor, tokens: Tensor, network: NetworkFields) -> tuple[Tensor | None, ...]:
    """Object prototypes of frames (F, N, d), to `tokens` (F, I, d); the other fields of `Objects`, in their order."""
    fine_count, coarse_count = object_prototypes(network)
    choices = Choices.of(network)
    fine = cluster(frames, fine_count, network.clustering, network.fine_neighbours, choices=choices)
    fine_tokens = fine.merge(frames, network.merge_weights)  # (F, 16, d)
    if coarse_count == 0:
        tokens.copy_(fine_tokens)
        return None, None, fine.labels, None
    coarse = cluster(fine_tokens, coarse_count, network.clustering, network.coarse_neighbours, choices=choices)
    coarse_tokens = coarse.merge(fine_tokens, network.merge_weights)  # (F, 6, d)
    order, group = tree_order(coarse.labels, coarse_count)
    both = torch.cat([coarse_tokens, fine_tokens], dim=1).to(tokens.dtype)
    take_rows(both, order, out=tokens)
    return group, coarse_tokens.mean(2).to(tokens.dtype), fine.labels, coarse.labels


def tree_order(parents: Tensor, coarse: int) -> tuple[Tensor, Tensor]:
    """Order and groups (F, coarse + fine) that put each coarse prototype before its fine ones.

    `parents` (F, fine) is the coarse prototype of each fine one; the order indexes coarse ‖ fine.
    """
    roots = torch.arange(coarse, device=parents.device).expand(parents.shape[0], -1)
    group = torch.cat([roots, parents], dim=1)
    # A stable sort by group keeps each root, which stands first, before its children, and these in their order.
    group, order = group.sort(dim=1, stable=True)
    return order, group


class GroupGate(nn.Module):
    """Scale of each coarse group: Linear over the coarse prototypes' channel means, then softmax (released code)."""

    def __init__(self, coarse: int):
        super().__init__()
        self.linear = nn.Linear(coarse, coarse)

    def forward(self, objects: Objects) -> Tensor:
        """Gate (F, I) of every token of G_t."""
        return self.linear(objects.coarse_means).softmax(1).gather(1, objects.group)


class ContextAttention(nn.Module):
    """A = softmax(f_q(Q_t) f_k(G_t)ᵀ / √d), averaged over the queries: Avg(E) = Avg(A) G_t.

    Q_t is the text encoder's output projected to d. The three linear maps between Q_t and G_t are multiplied once per
    call and applied to the smaller side. f_k has no bias: it would add one constant to all logits of a query.

    A map that is more than its weight (an adapter, a quantised layer) cannot be multiplied in; then all three are
    called one after the other, as the equation says.
    """

    def __init__(self, text_width: int, width: int):
        super().__init__()
        self.text_projection = nn.Linear(text_width, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)

    def folded(self) -> tuple[Tensor, Tensor]:
        """The map M (d, h) and vector b (d,) with f_q(W q) · f_k(g) = (q Mᵀ + b) · g."""
        inner = self.query.weight @ self.text_projection.weight
        bias = torch.addmv(self.query.bias, self.query.weight, self.text_projection.bias)
        return self.key.weight.T @ inner, self.key.weight.T @ bias

    def forward(self, queries: Tensor, tokens: Tensor, gate: Tensor | None, rows: Rows) -> Tensor:
        """A (F, per_frame, I), averaged over the queries (R, n, h), on tokens (F, I, d) scaled by their gate (F, I)."""
        grouped = rows.group(queries)  # (F, per_frame · n, h): the queries of all questions on a frame side by side
        if not is_plain(self.text_projection, self.query, self.key):
            logits = self.query(self.text_projection(grouped)) @ self.key(tokens).transpose(1, 2)
            return self.averaged(logits, tokens, gate, rows)
        linear, bias = self.folded()
        if tokens.shape[1] <= grouped.shape[1]:
            keys = tokens @ torch.cat([linear, bias[:, None]], dim=1)
            logits = torch.baddbmm(keys[:, None, :, -1], grouped, keys[:, :, :-1].transpose(1, 2))
        else:
            folded = torch.addmm(bias, grouped.flatten(0, 1), linear.T).view(*grouped.shape[:2], -1)
            logits = folded @ tokens.transpose(1, 2)
        return self.averaged(logits, tokens, gate, rows)

    def averaged(self, logits: Tensor, tokens: Tensor, gate: Tensor | None, rows: Rows) -> Tensor:
        """A (F, per_frame, I) averaged over the queries, from unscaled logits (F, per_frame · n, I)."""
        scale = 1.0 / math.sqrt(tokens.shape[2])
        # The gate scales G_t, so it scales the logits, which are linear in G_t.
        logits = logits * scale if gate is None else logits * (gate * scale)[:, None, :]
        attention = logits.softmax(2)
        return attention.view(rows.frames, rows.per_frame, -1, tokens.shape[1]).mean(2)


def is_plain(*maps: nn.Module) -> bool:
    """Whether linear maps are nothing but their weights: no adapter on them, not quantised."""
    return all(type(layer) is nn.Linear for layer in maps)


def read_objects(attention: Tensor, tokens: Tensor, gate: Tensor | None, rows: Rows) -> Tensor:
    """Avg(E) (R, d): gated tokens (F, I, d) summed under the averaged attention (F, per_frame, I)."""
    weights = attention if gate is None else attention * gate[:, None, :]
    return rows.ungroup(weights.to(tokens.dtype) @ tokens).squeeze(1)


def content_tokens(tokens: Tensor, gate: Tensor | None) -> Tensor:
    """Avg(G_t) (F, d) of gated tokens (F, I, d)."""
    if gate is None:
        return tokens.mean(1)
    return (gate[:, None, :].to(tokens.dtype) @ tokens)[:, 0] / tokens.shape[1]


class SoftFusion(nn.Module):
    """Cross-attention fusion of a cone (Table 6, *soft*): h_t attends to G_t and adds what it reads; P tokens out."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, h: Tensor, objects: Tensor) -> Tensor:
        """(C, P, d) of h (C, P, d) and object prototypes (C, I, d)."""
        if is_plain(self.key):  # f_k moved to the side of h, of which there is less
            logits = (self.query(h) @ self.key.weight) @ objects.transpose(1, 2)
        else:
            logits = self.query(h) @ self.key(objects).transpose(1, 2)
        return h + (logits / math.sqrt(h.shape[2])).softmax(2) @ objects


class Projector(nn.Sequential):
    """F_fine or F_coarse: a two-layer GELU MLP from d to the LLM's width."""

    def __init__(self, width: int, hidden: int, out: int):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))


def cooperative_sequence(
    context: Tensor,
    content: Tensor,
    fine: Tensor | None,
    cone_frames: Tensor,
    rows: Rows,
    coarse_tokens: tuple[int, int],
    total: int,
    content_first: bool = False,
) -> Tensor:
    """O: the tokens (total, D) of all prompts, each with its frames in temporal order.

    A cone frame gives its tokens of `fine` (C, n, D), then context and content; a rod frame gives context and content.
    With `content_first` these two change places. `coarse_tokens`, each 2 or 0, says whether cones and rods give them.
    `context` (R, D) is per row, `content` (F, D) per frame; `cone_frames` (C,) are the packed frames of the cones, in
    order.
    """
    device = context.device
    row = rows.by_prompt  # (R,) the (frame, prompt) pairs in the order of the sequence
    frame = rows.frame[row]
    per_cone = 0 if fine is None else fine.shape[1]
    cone = torch.full((rows.frames,), -1, device=device)
    cone[cone_frames] = torch.arange(cone_frames.shape[0], device=device)
    is_cone = cone[frame] >= 0
    of_cone, of_rod = coarse_tokens
    count = torch.where(is_cone, per_cone + of_cone, of_rod)  # (R,) tokens that each pair gives
    # For every place of the sequence: the pair it belongs to, and its number among the tokens of that pair, below zero
    # for U_fine, 0 and 1 for the tokens of F_coarse. One gather from one table then makes the sequence.
    place = torch.arange(row.shape[0], device=device).repeat_interleave(count, output_size=total)
    offset = torch.arange(total, device=device) - (count.cumsum(0) - count)[place]
    offset = offset - is_cone[place] * per_cone
    table = torch.cat([context, content] if fine is None else [context, content, fine.flatten(0, 1)])
    coarse = torch.where(offset == int(content_first), row[place], rows.frame.shape[0] + frame[place])
    fine_base = rows.frame.shape[0] + rows.frames
    fine_index = fine_base + cone[frame[place]] * per_cone + offset + per_cone
    return table.index_select(0, torch.where(offset < 0, fine_index, coarse))
