"""How many tokens a video costs, as pure functions of the configuration (paper C.1: 40·K + 2·(T − K)).

`network` is anything with the fields of `dynfocus.config.schema.Network`: that section itself or the model's
configuration. Light: no torch.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

CONTEXT_AND_CONTENT = 2
"""J, the tokens of F_coarse: the context token and the content token of a frame."""
STAR_SPATIAL_GRID = 8
"""Flash-VStream: side of the grid of the spatial and the retrieved memory (64 tokens a frame)."""
STAR_SPATIAL_FRAMES = 1
STAR_RETRIEVED_FRAMES = 3
UNIVI_LEVELS = (64, 32, 16)
"""Chat-UniVi: tokens of a frame and of an event at its three grains, 112 in all."""
UNIVI_FRAMES_PER_EVENT = 16


class TokenFields(Protocol):
    """The fields of the `network` section that decide how many tokens there are; read, never set."""

    @property
    def encoder(self) -> str: ...

    @property
    def grid(self) -> int: ...

    @property
    def pooled_grid(self) -> int: ...

    @property
    def event_prototypes(self) -> int: ...

    @property
    def selection_ratio(self) -> float: ...

    @property
    def fine_prototypes(self) -> int: ...

    @property
    def coarse_prototypes(self) -> int: ...

    @property
    def fusion(self) -> str: ...

    @property
    def cone_tokens(self) -> str: ...

    @property
    def rod_tokens(self) -> int: ...


class NetworkFields(TokenFields, Protocol):
    """The fields of the `network` section that the network's functions read."""

    temporal_neighbours: int
    fine_neighbours: int
    coarse_neighbours: int
    clustering: str
    density_neighbours: Literal["others", "with_itself"]
    density_separation: Literal["squared", "distance"]
    densest_separation: Literal["own", "sample"]
    kmeans_weights: Literal["density", "exp_density", "equal"]
    merge_weights: Literal["exp_density", "mean"]
    rod_order: Literal["context_first", "content_first"]
    selection: str
    perturbations: int
    sigma: float
    topk_gradient: Literal["full", "diagonal"]


def selected_events(network: TokenFields, frames: int) -> tuple[int, int]:
    """(L, K) of a video of `frames` frames: its event prototypes and how many of them become cones."""
    events = min(frames, network.event_prototypes)
    return events, math.ceil(network.selection_ratio * events - 1e-9)


def object_prototypes(network: TokenFields) -> tuple[int, int]:
    """Fine and coarse object prototypes per frame; `concat` and a frame of few patches have fewer."""
    fine = min(network.fine_prototypes, network.grid**2)
    coarse = 0 if network.fusion == "concat" else min(network.coarse_prototypes, fine)
    return fine, coarse


def fine_tokens(network: TokenFields) -> int:
    """Tokens of F_fine in one cone frame: P + I, the P of cross-attention, all N patches, or none."""
    if network.cone_tokens in ("none", "dropped"):
        return 0
    if network.cone_tokens == "patches":
        return network.grid**2
    pooled = network.pooled_grid**2
    return pooled if network.fusion == "cross_attention" else pooled + sum(object_prototypes(network))


def coarse_tokens(network: TokenFields) -> int:
    """Tokens of F_coarse in one cone frame: J, or none where its patches stand for the frame or it is dropped."""
    return CONTEXT_AND_CONTENT if network.cone_tokens in ("full", "none") else 0


def cone_frame_tokens(network: TokenFields) -> int:
    """Visual tokens of one cone frame, 40 in the paper."""
    return fine_tokens(network) + coarse_tokens(network)


def univi_events(network: TokenFields, frames: int) -> int:
    """Events of Chat-UniVi: one per 16 frames, at most L."""
    return min(math.ceil(frames / UNIVI_FRAMES_PER_EVENT), network.event_prototypes)


def univi_levels(network: TokenFields) -> tuple[int, ...]:
    """Tokens of an event at each grain, for the grid at hand."""
    return tuple(min(level, network.grid**2) for level in UNIVI_LEVELS)


def star_side(network: TokenFields) -> int:
    """Flash-VStream: side of the grid of a whole frame in the spatial and retrieved memories."""
    return min(STAR_SPATIAL_GRID, network.grid)


def star_layout(network: TokenFields, frames: int) -> tuple[int, int]:
    """Flash-VStream's STAR memory: whole frames (latest, retrieved) and clusters of the frames before the latest."""
    clusters = min(frames - 1, network.event_prototypes)
    return STAR_SPATIAL_FRAMES + min(STAR_RETRIEVED_FRAMES, clusters), clusters


def num_visual_tokens(network: TokenFields, frames: int) -> int:
    """Visual tokens of a video of `frames` frames; an image is one frame."""
    if frames == 0 or network.encoder == "blind":
        return 0
    if network.encoder in ("two_token", "llama_vid"):
        return CONTEXT_AND_CONTENT * frames
    if network.encoder == "flash_vstream":
        whole, clusters = star_layout(network, frames)
        return whole * star_side(network) ** 2 + clusters * (network.pooled_grid**2 + 1)
    if network.encoder == "chat_univi":
        return univi_events(network, frames) * sum(univi_levels(network))
    _, cones = selected_events(network, frames)
    return cones * cone_frame_tokens(network) + network.rod_tokens * (frames - cones)
