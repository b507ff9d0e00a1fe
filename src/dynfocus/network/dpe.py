"""Dynamic Event Prototype Estimation (paper section 3.1): which frames deserve many tokens.

Pool the patches, cluster the frames into L event prototypes (T-DPC), score them, keep K. Nothing here reads the
question: one pass serves every question on the video.

    three frames, L = 2, K/L = 0.5
    v (3, N, d) → f (3, P, d)           pool_patches: 256 patches to 16, the layout stays
    labels (0, 0, 1), centres (0, 2)    estimate_events: frames 0 and 1 are one event, whose centre is frame 0
    m (2, P, d)                         m_0 = (f_0 + f_1) / 2, m_1 = f_2
    s (2,) = (1, 0)                     the scores; K = 1, so `chosen` = (0,), and the cone is frame centres[0] = 0
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from dynfocus.config.extensions import find
from dynfocus.network.batch import on_the_device
from dynfocus.network.clustering import Choices, cluster
from dynfocus.network.distances import without_autocast
from dynfocus.network.topk import hard_topk, perturbed_topk
from dynfocus.tokens import NetworkFields, selected_events

SHORT = (torch.bfloat16, torch.float16)
"""Types whose rounding makes scores tie."""


@dataclass(frozen=True)
class Events:
    """Event prototypes of V videos.

    prototypes (V, L, P, d): m. frames (V, L) long: the frame of each, its cluster's centre, in temporal order; 0 where
    the prototype does not exist. exists (V, L) bool: False for the unused slots of a video of fewer than L frames.
    labels (V, T) long: the prototype of each frame, −1 for padding.
    """

    prototypes: Tensor
    frames: Tensor
    exists: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Selection:
    """Dynamic selection: scores (V, L) in [0, 1], `chosen` (V, K) prototypes in temporal order (L: unused slot),
    the indicator P_σ (V, K, L), and K of each video."""

    scores: Tensor
    chosen: Tensor
    indicator: Tensor
    counts: tuple[int, ...]


def pool_patches(frames: Tensor, grid: int, pooled_grid: int) -> Tensor:
    """f_t: patches (F, grid², d) averaged over squares to (F, pooled_grid², d), accumulated in fp32."""
    count, _, width = frames.shape
    side = grid // pooled_grid
    columns = frames.view(count, grid * pooled_grid, side, width)  # a row of the grid is pooled_grid runs of `side`
    rows = columns.sum(2, dtype=torch.float32).view(count, pooled_grid, side, pooled_grid, width).sum(2)
    return rows.div_(side * side).view(count, pooled_grid**2, width)


def estimate_events(pooled: Tensor, mask: Tensor | None, network: NetworkFields) -> Events:
    """T-DPC over pooled frames (V, T, P, d): all P·d values of a frame count (B.3); prototypes are plain means."""
    videos, frames, patches, width = pooled.shape
    flat = pooled.reshape(videos, frames, patches * width)  # (V, T, P·d)
    choices = Choices.of(network)
    clusters = cluster(flat, network.event_prototypes, network.clustering, network.temporal_neighbours, mask, choices)
    # T ≤ L without padding: every frame is its own prototype, and no mean would change it.
    alone = frames <= network.event_prototypes and mask is None
    with torch.no_grad():
        prototypes = flat if alone else clusters.merge(flat)
    prototypes = prototypes.view(videos, -1, patches, width)  # (V, L, P, d)
    return Events(prototypes, clusters.centres, clusters.exists, clusters.labels)


class ScoreNetwork(nn.Module):
    """U: the score of an event prototype from its strongest and its average patch, in the context of all prototypes.

    LayerNorm(e) → Linear(e, e) → GELU, upper half of the channels replaced by its mean over the prototypes, then
    e → e/2 → e/4 → 1 with GELU between (B.2 (a)); e = 2d.

    It computes in fp32 whatever the type of its weights: in bf16, with 8 bits, scores between 0.5 and 1 lie on a grid
    of 1/256 and tie, and a tie goes to the earlier frame.
    """

    def __init__(self, width: int, network: NetworkFields | None = None):
        """`network` is what every selection rule is given; this one has no setting."""
        super().__init__()
        e = 2 * width
        self.norm = nn.LayerNorm(e)
        self.mix = nn.Linear(e, e)
        self.layers = nn.Sequential(
            nn.Linear(e, e // 2), nn.GELU(), nn.Linear(e // 2, e // 4), nn.GELU(), nn.Linear(e // 4, 1)
        )

    def forward(self, prototypes: Tensor, exists: Tensor) -> Tensor:
        """Scores (V, L) of prototypes (V, L, P, d), min–max normalised over each video's prototypes; 0 on padding."""
        summary = torch.cat([prototypes.amax(2), prototypes.mean(2)], dim=2).float()  # Max_p(m) ‖ Avg_p(m): (V, L, e)
        with without_autocast(summary):
            hidden = F.gelu(in_fp32(self.mix, in_fp32(self.norm, summary)))
            local, shared = hidden.chunk(2, dim=2)  # (V, L, e/2) each
            real = exists[:, :, None].float()
            context = (shared * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)  # (V, 1, e/2)
            raw = in_fp32(self.layers, torch.cat([local, context.expand_as(shared)], dim=2))[:, :, 0]
        return normalise(raw, exists)


def in_fp32(module: nn.Module, x: Tensor) -> Tensor:
    """A module applied with fp32 copies of weights of a shorter type; the gradient reaches the weights themselves."""
    weights = {name: weight.float() for name, weight in module.named_parameters() if weight.dtype in SHORT}
    return functional_call(module, weights, (x,)) if weights else module(x)


def normalise(scores: Tensor, exists: Tensor) -> Tensor:
    """Min–max normalisation of scores (V, L) over the existing prototypes; equal scores become 0."""
    low = scores.masked_fill(~exists, torch.inf).amin(1, keepdim=True)
    high = scores.masked_fill(~exists, -torch.inf).amax(1, keepdim=True)
    spread = high - low
    return ((scores - low) / spread.masked_fill(spread == 0, 1.0)).masked_fill(~exists, 0.0)


class DynamicSelection(nn.Module):
    """Score the event prototypes and keep K of them: hard Top-K, in training the perturbed maximum.

    The scores come from the rule that `network.selection` names: a module made of the width d and the `network`
    section, which turns prototypes (V, L, P, d) and `exists` (V, L) into scores (V, L), best in [0, 1].
    """

    def __init__(self, network: NetworkFields, width: int):
        super().__init__()
        self.network = network
        self.score = find("selection", network.selection)(width, network)

    def forward(self, events: Events, lengths: tuple[int, ...]) -> Selection:
        """Selection among the prototypes of videos with `lengths` frames."""
        exists = events.exists
        scores = self.score(events.prototypes, exists)
        counts = tuple(selected_events(self.network, frames)[1] for frames in lengths)
        width = max(counts)
        kept = on_the_device(counts, scores.device)
        comparable = scores.masked_fill(~exists, -torch.inf)
        chosen = hard_topk(comparable.detach(), kept, width)
        if self.training:
            indicator = perturbed_topk(
                comparable, kept, width, self.network.perturbations, self.network.sigma, self.network.topk_gradient
            )
        else:
            length = scores.shape[1]
            indicator = F.one_hot(chosen, length + 1)[:, :, :length].to(scores.dtype)
        return Selection(scores, chosen, indicator, counts)
