"""Flash-VStream and Chat-UniVi in the same framework: same features, same projector, same LLM (paper Table 7).

Neither reads the question, so both compute tokens per video and repeat them for its prompts. Both follow what their
authors publish, except where that is plainly at fault or random (docs/deviations). Their numbers of tokens are the
published ones, as far as a frame has so many patches: DynFocus's own 16 + 22 do not shrink with the grid either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dynfocus.network.batch import Prompts, Videos, on_the_device, per_prompt
from dynfocus.network.clustering import Choices, Clusters, cluster, identity_clusters, kmeans
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.dpe import pool_patches
from dynfocus.network.encoders import FrameEncoder
from dynfocus.tokens import (
    STAR_RETRIEVED_FRAMES,
    num_visual_tokens,
    star_side,
    univi_events,
    univi_levels,
)

STAR_HIDDEN = 32
"""Width in which the abstract memory compares itself with new frames."""
STAR_UPDATE = 0.2
"""Share of what a chunk of frames brings in the abstract memory after it."""
UNIVI_NEIGHBOURS = (5, 3, 3)
"""C of the three levels of patches; events have that of the first."""
UNIVI_CHOICES = Choices(neighbours="with_itself", separation="distance", densest="sample")


class BlindEncoder(FrameEncoder):
    """No visual tokens: what the LLM knows without looking."""

    def forward(self, videos: Videos, prompts: Prompts, known: None = None) -> Tensor:
        """An empty (0, D)."""
        return videos.frames.new_zeros(0, self.config.text_config.hidden_size)


class StarMemoryEncoder(FrameEncoder):
    """Flash-VStream's STAR memory, as its offline code makes it of a whole video.

    The last frame is the present: it is the spatial memory and in no other. Of the frames before it, the past:
    abstract, one token a frame, of the first C frames as they were, then moved by each later chunk of C frames;
    temporal, K-means of the frames at 4 × 4, C = min(T − 1, L) clusters; retrieved, the centre frames of the three
    largest clusters at 8 × 8. An image has no past, and 64 tokens.

        T = 4, L = 2: past 0 1 2, present 3; clusters {0, 1} and {2} with centres 0 and 2
        abstract (a_0, a_1): a = (f_0, f_1), then the chunk (f_2): a ← 0.8 a + 0.2 f_2
        tokens: a_0 a_1 | 16 of {0, 1}, 16 of {2} | 64 of frame 0, 64 of frame 2 | 64 of frame 3
    """

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        self.abstract_query = nn.Linear(config.vision_width, STAR_HIDDEN)
        # A bias would add the same to all logits of a row.
        self.abstract_key = nn.Linear(config.vision_width, STAR_HIDDEN, bias=False)
        self.fine_projector = self.projector()

    def forward(self, videos: Videos, prompts: Prompts, known: None = None) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts: abstract, temporal, retrieved, spatial memory of each video."""
        dtype = self.fine_projector[0].weight.dtype
        parts: list[Tensor] = []
        real: list[Tensor] = []
        if videos.mask.shape[1] > 1:
            pooled = videos.pad(pool_patches(videos.frames, self.config.grid, self.config.pooled_grid))
            past, mask = pooled[:, :-1], videos.mask[:, 1:]  # a frame is past if another one follows it
            clusters = self.temporal_clusters(past.flatten(2), mask)
            temporal = clusters.merge(past.flatten(2)).unflatten(2, past.shape[2:])  # (V, C, P, d)
            chosen, found = self.retrieved(clusters, mask)
            retrieved = self.whole_frames(videos, chosen)  # (V, 3, 64, d)
            parts = [self.abstract(past.mean(2).to(dtype), mask), temporal.flatten(1, 2), retrieved.flatten(1, 2)]
            real = [
                mask[:, : parts[0].shape[1]],
                clusters.exists.repeat_interleave(temporal.shape[2], 1),
                found.repeat_interleave(retrieved.shape[2], 1),
            ]
        last = on_the_device(videos.lengths, videos.frames.device)[:, None] - 1
        spatial = self.whole_frames(videos, last)[:, 0]
        tokens = torch.cat([part.to(dtype) for part in (*parts, spatial)], dim=1)
        real.append(torch.ones(spatial.shape[:2], dtype=torch.bool, device=spatial.device))
        counts = tuple(num_visual_tokens(self.config, frames) for frames in videos.lengths)
        return per_prompt(self.fine_projector(tokens[torch.cat(real, dim=1)]), counts, prompts.video)

    @torch.no_grad()
    def temporal_clusters(self, flat: Tensor, mask: Tensor) -> Clusters:
        """K-means of past frames (V, T − 1, P·d); as in the offline code every frame weighs 1."""
        count = self.config.event_prototypes
        return identity_clusters(flat, count, mask) if flat.shape[1] <= count else kmeans(flat, count, mask=mask)

    def retrieved(self, clusters: Clusters, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Centre frames (V, 3) of the largest clusters, the larger first, and which of them exist."""
        size = torch.zeros_like(clusters.centres)
        size.scatter_add_(1, clusters.labels.clamp(min=0), mask.to(size.dtype))
        largest = size.masked_fill(~clusters.exists, -1).argsort(dim=1, descending=True, stable=True)
        largest = largest[:, :STAR_RETRIEVED_FRAMES]
        return clusters.centres.gather(1, largest), clusters.exists.gather(1, largest)

    def whole_frames(self, videos: Videos, local: Tensor) -> Tensor:
        """Frames `local` (V, n) of each video at 8 × 8: (V, n, 64, d)."""
        chosen = videos.frames[(videos.starts[:, None] + local).flatten()]
        return pool_patches(chosen, self.config.grid, star_side(self.config)).unflatten(0, local.shape)

    def abstract(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Abstract memory (V, C, d) of past frames' means (V, T − 1, d), a running mean of old and attended."""
        count = self.config.event_prototypes
        memory = frames[:, :count]
        for start in range(count, frames.shape[1], count):
            new, there = frames[:, start : start + count], mask[:, start : start + count]
            logits = self.abstract_query(memory) @ self.abstract_key(new).transpose(1, 2) / math.sqrt(STAR_HIDDEN)
            # A shorter video has no such chunk: its weights are made of anything finite, and its memory stays.
            attention = logits.masked_fill(~there[:, None, :], torch.finfo(logits.dtype).min).softmax(2)
            moved = memory + STAR_UPDATE * (attention @ new - memory)
            memory = torch.where(there.any(1)[:, None, None], moved, memory)
        return memory


class UniviEncoder(FrameEncoder):
    """Chat-UniVi: DPC-KNN merges patches into 64, 32 and 16 tokens, in each frame and then in each event.

    Each frame's patches merge step by step, 256 → 64 → 32 → 16. Events are found on globally pooled frames (B.3), one
    per 16 frames and at most L. At each level an event merges the tokens of all its frames into as many as one frame
    has. Merges are plain means; densities and δ are those of its code, which are not ours (`UNIVI_CHOICES`).

        three frames, one event: 3 · 64 → 64, 3 · 32 → 32 and 3 · 16 → 16 tokens, 112 in all
    """

    question_free = True

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        self.fine_projector = self.projector()

    @torch.no_grad()
    def without_question(self, videos: Videos) -> list[Tensor]:
        """The tokens (E · 112, d) of each video, before the projector: all but that is without weights."""
        levels = self.frame_levels(videos.frames.float())
        parts = (part.split(videos.lengths) for part in (videos.frames, *levels))
        return [self.video_tokens(frames, grains) for frames, *grains in zip(*parts, strict=True)]

    def forward(self, videos: Videos, prompts: Prompts, known: Sequence[Tensor] | None = None) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts: each event's grains from fine to coarse, events in temporal order."""
        made = self.without_question(videos) if known is None else known
        tokens = torch.cat([one.to(videos.frames.device) for one in made])
        counts = tuple(num_visual_tokens(self.config, frames) for frames in videos.lengths)
        return per_prompt(self.fine_projector(tokens.to(self.fine_projector[0].weight.dtype)), counts, prompts.video)

    def frame_levels(self, frames: Tensor) -> list[Tensor]:
        """Tokens (F, 64, d), (F, 32, d) and (F, 16, d) of frames (F, N, d), each level merged from the one before."""
        levels = []
        for count, neighbours in zip(univi_levels(self.config), UNIVI_NEIGHBOURS, strict=True):
            frames = merged(frames, count, neighbours)
            levels.append(frames)
        return levels

    def video_tokens(self, frames: Tensor, levels: list[Tensor]) -> Tensor:
        """Tokens (E · 112, d) of one video from its frames (T, N, d) and their three levels (T, 64 … 16, d)."""
        events = univi_events(self.config, frames.shape[0])
        means = frames.float().mean(1)[None]  # (1, T, d)
        neighbours = fitting_neighbours(UNIVI_NEIGHBOURS[0], events)
        labels = cluster(means, events, "dpc_knn", neighbours, choices=UNIVI_CHOICES).labels[0]
        # Events in the order of their first frames, which need not be that of their centres.
        first = torch.stack([(labels == event).long().argmax() for event in range(events)])
        tokens = []
        for event in first.argsort():
            members = labels == event
            for level, count, near in zip(levels, univi_levels(self.config), UNIVI_NEIGHBOURS, strict=True):
                tokens.append(merged(level[members].flatten(0, 1)[None], count, near)[0])
        return torch.cat(tokens)


def merged(items: Tensor, count: int, neighbours: int) -> Tensor:
    """Means (B, count, d) of the DPC-KNN clusters of items (B, M, d), by Chat-UniVi's rules."""
    made = cluster(items, count, "dpc_knn", fitting_neighbours(neighbours, count), choices=UNIVI_CHOICES)
    return made.merge(items)


def fitting_neighbours(neighbours: int, clusters: int) -> int:
    """C for few clusters, as Chat-UniVi lowers it, but never to the item alone.

    Its code goes down to C = 1 for up to three events. With an item its own neighbour all densities are then equal, and
    noise of 1e-6, meant to break ties, chooses the events of every video of up to 48 frames.
    """
    return neighbours if neighbours <= clusters else min(3, max(clusters // 2, 2))
