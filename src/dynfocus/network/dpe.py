"""Dynamic Event Prototype Estimation (paper section 3.1): which frames deserve many tokens.

Pool the patches, cluster the frames into L event prototypes (T-DPC), score them, keep K. Nothing here reads the
question: one pass serves every question on the video.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.network.clustering import Clusters, cluster
from dynfocus.network.tokens import NetworkFields, selected_events
from dynfocus.network.topk import hard_topk, perturbed_topk


@dataclass(frozen=True)
class Events:
    """Event prototypes of V videos: m (V, L, P, d), the clusters of their frames, and the frame of each prototype."""

    prototypes: Tensor
    clusters: Clusters

    @property
    def frames(self) -> Tensor:
        """Frame (V, L) of each prototype: its cluster's centre, in temporal order."""
        return self.clusters.centres


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
    columns = frames.view(count, grid * pooled_grid, side, width)
    rows = columns.sum(2, dtype=torch.float32).view(count, pooled_grid, side, pooled_grid, width).sum(2)
    return rows.div_(side * side).view(count, pooled_grid**2, width)


def estimate_events(pooled: Tensor, mask: Tensor | None, network: NetworkFields) -> Events:
    """T-DPC over pooled frames (V, T, P, d): all P·d values of a frame count (B.3); prototypes are plain means."""
    videos, frames, patches, width = pooled.shape
    flat = pooled.reshape(videos, frames, patches * width)
    clusters = cluster(flat, network.event_prototypes, network.clustering, network.temporal_neighbours, mask)
    alone = frames <= network.event_prototypes and mask is None
    with torch.no_grad():
        prototypes = flat if alone else clusters.merge(flat)
    return Events(prototypes.view(videos, -1, patches, width), clusters)


class ScoreNetwork(nn.Module):
    """U: the score of an event prototype from its strongest and its average patch, in the context of all prototypes.

    LayerNorm(e) → Linear(e, e) → GELU, upper half of the channels replaced by its mean over the prototypes, then
    e → e/2 → e/4 → 1 with GELU between (B.2 (a)); e = 2d.
    """

    def __init__(self, width: int):
        super().__init__()
        e = 2 * width
        self.norm = nn.LayerNorm(e)
        self.mix = nn.Linear(e, e)
        self.layers = nn.Sequential(
            nn.Linear(e, e // 2), nn.GELU(), nn.Linear(e // 2, e // 4), nn.GELU(), nn.Linear(e // 4, 1)
        )

    def forward(self, prototypes: Tensor, exists: Tensor) -> Tensor:
        """Scores (V, L) of prototypes (V, L, P, d), min–max normalised over each video's prototypes; 0 on padding."""
        summary = torch.cat([prototypes.amax(2), prototypes.mean(2)], dim=2)
        hidden = F.gelu(self.mix(self.norm(summary)))
        local, shared = hidden.chunk(2, dim=2)
        real = exists[:, :, None].to(hidden.dtype)
        context = (shared * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        raw = self.layers(torch.cat([local, context.expand_as(shared)], dim=2))[:, :, 0].float()
        return normalise(raw, exists)


def normalise(scores: Tensor, exists: Tensor) -> Tensor:
    """Min–max normalisation of scores (V, L) over the existing prototypes; equal scores become 0."""
    low = scores.masked_fill(~exists, torch.inf).amin(1, keepdim=True)
    high = scores.masked_fill(~exists, -torch.inf).amax(1, keepdim=True)
    spread = high - low
    return ((scores - low) / spread.masked_fill(spread == 0, 1.0)).masked_fill(~exists, 0.0)


class DynamicSelection(nn.Module):
    """Score the event prototypes and keep K of them: hard Top-K, in training the perturbed maximum."""

    def __init__(self, network: NetworkFields, width: int):
        super().__init__()
        self.network = network
        self.score = ScoreNetwork(width)

    def forward(self, events: Events, lengths: tuple[int, ...]) -> Selection:
        """Selection among the prototypes of videos with `lengths` frames."""
        exists = events.clusters.exists
        scores = self.score(events.prototypes.to(self.score.mix.weight.dtype), exists)
        counts = tuple(selected_events(self.network, frames)[1] for frames in lengths)
        width = max(counts)
        kept = torch.tensor(counts, device=scores.device)
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
