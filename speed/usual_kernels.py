"""The kernels as such code is commonly written: tensor operations, one video, one frame at a time.

`measure_kernels.py` times them beside the network's own; distances are taken in fp32, the shortest type that `cdist`
has. What they compute is in `dynfocus.network.reference`, line by line.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dynfocus.network.reference import context_token, pool, score_events


def kmeans(x: Tensor, clusters: int, weights: Tensor, iterations: int) -> Tensor:
    """Lloyd's algorithm as usually written: (M, K, c) differences and a mask per cluster. Labels (M,)."""
    centroids = x[((2 * torch.arange(clusters) + 1) * x.shape[0]) // (2 * clusters)]
    labels = None
    for _ in range(iterations):
        moved = ((x[:, None] - centroids[None]) ** 2).sum(2).argmin(1)
        if labels is not None and torch.equal(moved, labels):
            break
        labels = moved
        for k in range(clusters):
            own = labels == k
            if own.any():
                centroids[k] = (weights[own, None] * x[own]).sum(0) / weights[own].sum()
    return labels


def dpc_knn(x: Tensor, clusters: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """DPC-KNN of items (M, c) with pairwise distances, a mask and Top-K: labels (M,), ρ·δ (M,)."""
    distance = torch.cdist(x.float(), x.float()) ** 2 / x.shape[1]
    nearest = distance.topk(neighbours + 1, dim=1, largest=False).values[:, 1:]
    density = torch.exp(-nearest.mean(1))
    higher = density[None, :] > density[:, None]
    delta = torch.where(higher, distance, distance.amax(1, keepdim=True)).min(1).values
    product = density * delta
    centres = product.topk(clusters).indices.sort().values
    labels = distance[:, centres].argmin(1)
    labels[centres] = torch.arange(clusters, device=x.device)
    return labels, product


def merge(x: Tensor, labels: Tensor, clusters: int, weights: Tensor) -> Tensor:
    """Weighted means (K, c) by a one-hot matrix."""
    share = torch.nn.functional.one_hot(labels, clusters).T * weights
    return (share / share.sum(1, keepdim=True)).to(x.dtype) @ x


def object_prototypes(frame: Tensor, fine: int, coarse: int, neighbours: tuple[int, int]) -> Tensor:
    """S-DPC of one frame (N, d): G_t (I, d) in tree order."""
    labels, product = dpc_knn(frame, fine, neighbours[0])
    fine_tokens = merge(frame, labels, fine, torch.exp(product))
    parents, product = dpc_knn(fine_tokens, coarse, neighbours[1])
    coarse_tokens = merge(fine_tokens, parents, coarse, torch.exp(product))
    groups = [torch.cat([coarse_tokens[k : k + 1], fine_tokens[parents == k]]) for k in range(coarse)]
    return torch.cat(groups)


def events(flat: Tensor, clusters: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """T-DPC of pooled frames (T, P·d): event prototypes (L, P·d) and their frames (L,), in temporal order."""
    if not flat.isfinite().all():
        raise ValueError("a frame holds NaN or infinity")
    if len(flat) <= clusters:
        return flat, torch.arange(len(flat), device=flat.device)
    labels, product = dpc_knn(flat, clusters, neighbours)
    prototypes = merge(flat, labels, clusters, flat.new_ones(len(flat)))
    own = torch.nn.functional.one_hot(labels, clusters).T.bool()
    frames, order = torch.where(own, product, -1.0).argmax(1).sort()
    return prototypes[order], frames


def visual_tokens(encoder: torch.nn.Module, frames: Tensor, queries: Tensor) -> Tensor:
    """Visual tokens of one video (T, N, d) under one question, with the weights of a `DynFocusEncoder`.

    `queries` (T, n, h) is what the text encoder made of every frame.
    """
    network = encoder.config
    neighbours = (network.fine_neighbours, network.coarse_neighbours)
    pooled = torch.stack([pool(frame, network.grid, network.pooled_grid) for frame in frames])
    flat, cones = events(pooled.flatten(1), network.event_prototypes, network.temporal_neighbours)
    prototypes = flat.view(-1, *pooled.shape[1:])
    count = math.ceil(network.selection_ratio * len(prototypes))
    chosen = score_events(encoder.selection.score, prototypes).topk(count).indices.tolist()
    prototype_of = {int(cones[event]): prototypes[event] for event in chosen}
    tokens = []
    for t, frame in enumerate(frames):
        objects = object_prototypes(frame, network.fine_prototypes, network.coarse_prototypes, neighbours)
        context = context_token(encoder.context_attention, queries[t], objects)
        if t in prototype_of:
            tokens.append(encoder.fine_projector(torch.cat([prototype_of[t], objects])))
        tokens.append(encoder.coarse_projector(torch.stack([context, objects.mean(0)])))
    return torch.cat(tokens)
