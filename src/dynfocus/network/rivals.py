"""Flash-VStream and Chat-UniVi in the same framework: same features, same projector, same LLM (paper Table 7).

Neither reads the question, so both compute tokens per video and repeat them for its prompts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dynfocus.network.batch import Prompts, Videos, per_prompt
from dynfocus.network.clustering import cluster, identity_clusters, kmeans
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.dpe import pool_patches
from dynfocus.network.encoders import FrameEncoder
from dynfocus.network.tokens import (
    STAR_RETRIEVED_FRAMES,
    num_visual_tokens,
    star_layout,
    univi_events,
    univi_levels,
)


class BlindEncoder(FrameEncoder):
    """No visual tokens: what the LLM knows without looking."""

    def forward(self, videos: Videos, prompts: Prompts) -> Tensor:
        """An empty (0, D)."""
        return videos.frames.new_zeros(0, self.config.text_config.hidden_size)


class StarMemoryEncoder(FrameEncoder):
    """Flash-VStream's STAR memory, made in one pass over a whole video instead of frame by frame.

    Spatial: the latest frame at 8 × 8. Temporal: k-means of the frames at 4 × 4, C = min(T, L) clusters; the weights of
    the original count the frames that its stream has merged into an item, and here every item is one frame. Abstract:
    one token per cluster that attends to all frames. Retrieved: the centre frames of the three largest clusters at
    8 × 8.
    """

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        self.abstract_query = nn.Linear(config.vision_width, config.vision_width)
        self.abstract_key = nn.Linear(config.vision_width, config.vision_width, bias=False)
        self.fine_projector = self.projector()

    def forward(self, videos: Videos, prompts: Prompts) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts: retrieved, spatial, temporal, abstract memory of each video."""
        config, dtype = self.config, self.abstract_query.weight.dtype
        pooled = videos.pad(pool_patches(videos.frames, config.grid, config.pooled_grid))
        flat = pooled.flatten(2)
        with torch.no_grad():
            alone = flat.shape[1] <= config.event_prototypes
            clusters = (
                identity_clusters(flat, config.event_prototypes, videos.mask)
                if alone
                else kmeans(flat, config.event_prototypes, mask=videos.mask)
            )
            temporal = clusters.merge(flat).unflatten(2, pooled.shape[2:]).to(dtype)
            size = torch.zeros_like(clusters.centres).scatter_add_(
                1, clusters.labels.clamp(min=0), videos.mask.to(clusters.centres.dtype)
            )
        whole, whole_exists = self.whole_frames(videos, clusters.centres, clusters.exists, size)
        abstract = self.abstract(temporal.mean(2), pooled.mean(2).to(dtype), videos.mask)
        tokens = torch.cat([whole.to(dtype).flatten(1, 2), temporal.flatten(1, 2), abstract], dim=1)
        real = torch.cat(
            [
                whole_exists.repeat_interleave(whole.shape[2], 1),
                clusters.exists.repeat_interleave(temporal.shape[2], 1),
                clusters.exists,
            ],
            dim=1,
        )
        counts = tuple(num_visual_tokens(config, frames) for frames in videos.lengths)
        return per_prompt(self.fine_projector(tokens[real]), counts, prompts.video)

    def whole_frames(self, videos: Videos, centres: Tensor, exists: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Retrieved and spatial memory (V, 4, 64, d) and which of it exists (V, 4).

        `centres`, `exists`, `size` (V, C) are the centre frames of the temporal clusters and their numbers of frames.
        """
        largest = size.masked_fill(~exists, -1).argsort(dim=1, descending=True, stable=True)[:, :STAR_RETRIEVED_FRAMES]
        last = torch.tensor(videos.lengths, device=centres.device)[:, None] - 1
        local = torch.cat([centres.gather(1, largest), last], dim=1)
        real = torch.cat([exists.gather(1, largest), torch.ones_like(last, dtype=torch.bool)], dim=1)
        side = math.isqrt(star_layout(self.config, 1)[2])
        chosen = videos.frames[(videos.starts[:, None] + local).flatten()]
        return pool_patches(chosen, self.config.grid, side).unflatten(0, local.shape), real

    def abstract(self, queries: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Abstract memory (V, C, d): cluster means (V, C, d) attend to all frames' means (V, T, d)."""
        logits = self.abstract_query(queries) @ self.abstract_key(frames).transpose(1, 2)
        logits = (logits / math.sqrt(frames.shape[2])).masked_fill(~mask[:, None, :], -torch.inf)
        return queries + logits.softmax(2) @ frames


class UniviEncoder(FrameEncoder):
    """Chat-UniVi: DPC-KNN merges frames into events, and the mean patch map of an event into 64, 32 and 16 tokens.

    Events are found on globally pooled frames (B.3), one per 16 frames and at most L; merges are plain means.
    """

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        self.fine_projector = self.projector()

    def forward(self, videos: Videos, prompts: Prompts) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts: each event's grains from fine to coarse, events in temporal order."""
        with torch.no_grad():
            maps = torch.cat([self.event_maps(frames) for frames in videos.frames.split(list(videos.lengths))])
            grains = []
            for level in univi_levels(self.config):
                maps = cluster(maps, level, "dpc_knn", self.config.fine_neighbours).merge(maps)
                grains.append(maps)
        tokens = torch.cat(grains, dim=1).flatten(0, 1).to(self.fine_projector[0].weight.dtype)
        counts = tuple(num_visual_tokens(self.config, frames) for frames in videos.lengths)
        return per_prompt(self.fine_projector(tokens), counts, prompts.video)

    def event_maps(self, frames: Tensor) -> Tensor:
        """Mean patch maps (E, N, d) of the events of one video (T, N, d)."""
        events = univi_events(self.config, frames.shape[0])
        means = frames.float().mean(1)[None]
        clusters = cluster(means, events, "dpc_knn", self.config.temporal_neighbours)
        return clusters.merge(frames.flatten(1)[None])[0].unflatten(1, frames.shape[1:])
