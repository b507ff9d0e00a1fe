"""The kernels as a reader of the paper would write them: loops, one-hot tensors, pairwise broadcasts.

Nothing here is clever. The tests compare the network's kernels with the literal versions in fp64: item by item, ties
to the lower index. `speed/measure_kernels.py` times the `usual_*` versions in fp32: tensor operations, as such
code is commonly written. One sample at a time, the input's type throughout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def direct_distances(x: Tensor) -> Tensor:
    """‖x_i − x_j‖² (M, M) of items (M, c), one row at a time."""
    return torch.stack([((x - row) ** 2).sum(1) for row in x])


def by_index(values: Tensor, largest: bool) -> list[int]:
    """Indices of values (M,) in order; equal values by index."""
    sign = -1 if largest else 1
    return sorted(range(len(values)), key=lambda i: (sign * float(values[i]), i))


def dpc_knn(x: Tensor, clusters: int, neighbours: int) -> tuple[list[int], list[int], Tensor, Tensor]:
    """DPC-KNN of items (M, c): labels (M), centres (K) ascending, ρ (M,), δ (M,)."""
    items, channels = x.shape
    distance = direct_distances(x)
    if items <= clusters:
        return list(range(items)), list(range(items)), x.new_ones(items), x.new_zeros(items)
    energy = x.new_zeros(items)
    for i in range(items):
        others = torch.cat([distance[i, :i], distance[i, i + 1 :]])
        nearest = others.sort().values[: min(neighbours, items - 1)]
        energy[i] = nearest.sum() / (len(nearest) * channels)
    rho = torch.exp(-energy)
    order = by_index(energy, largest=False)
    delta = x.new_zeros(items)
    for place, i in enumerate(order):
        delta[i] = (distance[i].max() if place == 0 else distance[i, order[:place]].min()) / channels
    log_product = delta.log() - energy  # the order of ρ·δ, also where the exponential underflows
    centres = sorted(by_index(log_product, largest=True)[:clusters])
    labels = [by_index(distance[i, centres], largest=False)[0] for i in range(items)]
    for k, centre in enumerate(centres):
        labels[centre] = k
    return labels, centres, rho, delta


def merge(x: Tensor, labels: list[int], clusters: int, weights: Tensor) -> Tensor:
    """Weighted means (K, c) of the members of each cluster."""
    rows = []
    for k in range(clusters):
        members = [i for i, label in enumerate(labels) if label == k]
        share = weights[members] / weights[members].sum()
        rows.append((share[:, None] * x[members]).sum(0))
    return torch.stack(rows)


def kmeans(x: Tensor, clusters: int, weights: Tensor, iterations: int) -> tuple[list[int], list[int]]:
    """Lloyd's algorithm on items (M, c) with weights (M,): labels, and the member nearest to each centroid.

    Starts from evenly spaced items. Of members equally near to their centroid (to 1e-4) the first is the centre; the
    r-th empty cluster takes the r-th farthest item that is no centre.
    """
    items = x.shape[0]
    if items <= clusters:
        return list(range(items)), list(range(items))
    centroids = x[[((2 * k + 1) * items) // (2 * clusters) for k in range(clusters)]].clone()
    labels = None
    for _ in range(iterations):
        distance = ((x[:, None] - centroids[None]) ** 2).sum(2)
        moved = distance.argmin(1).tolist()
        if moved == labels:
            break
        labels = moved
        for k in range(clusters):
            members = [i for i in range(items) if labels[i] == k]
            if members:
                centroids[k] = (weights[members, None] * x[members]).sum(0) / weights[members].sum()
    own = torch.stack([((x[i] - centroids[labels[i]]) ** 2).sum() for i in range(items)])
    centre = {}
    for k in set(labels):
        members = [i for i in range(items) if labels[i] == k]
        least = min(own[members])
        centre[k] = next(i for i in members if own[i] <= least * (1 + 1e-4))
    spare = [i for i in by_index(own, largest=True) if i not in centre.values()]
    for k in range(clusters):
        if k not in centre:
            centre[k] = spare.pop(0)
            labels[centre[k]] = k
    order = sorted(range(clusters), key=lambda k: centre[k])
    return [order.index(label) for label in labels], [centre[k] for k in order]


def usual_kmeans(x: Tensor, clusters: int, weights: Tensor, iterations: int) -> Tensor:
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


def usual_dpc_knn(x: Tensor, clusters: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """DPC-KNN of items (M, c) with pairwise distances, a mask and Top-K: labels (M,), ρ·δ (M,)."""
    distance = torch.cdist(x, x) ** 2 / x.shape[1]
    nearest = distance.topk(neighbours + 1, dim=1, largest=False).values[:, 1:]
    density = torch.exp(-nearest.mean(1))
    higher = density[None, :] > density[:, None]
    delta = torch.where(higher, distance, distance.amax(1, keepdim=True)).min(1).values
    product = density * delta
    centres = product.topk(clusters).indices.sort().values
    labels = distance[:, centres].argmin(1)
    labels[centres] = torch.arange(clusters, device=x.device)
    return labels, product


def usual_merge(x: Tensor, labels: Tensor, clusters: int, weights: Tensor) -> Tensor:
    """Weighted means (K, c) by a one-hot matrix."""
    share = torch.nn.functional.one_hot(labels, clusters).T * weights
    return (share / share.sum(1, keepdim=True)) @ x


def usual_object_prototypes(frame: Tensor, fine: int, coarse: int, neighbours: tuple[int, int]) -> Tensor:
    """S-DPC of one frame (N, d): G_t (I, d) in tree order."""
    labels, product = usual_dpc_knn(frame, fine, neighbours[0])
    fine_tokens = usual_merge(frame, labels, fine, torch.exp(product))
    parents, product = usual_dpc_knn(fine_tokens, coarse, neighbours[1])
    coarse_tokens = usual_merge(fine_tokens, parents, coarse, torch.exp(product))
    groups = [torch.cat([coarse_tokens[k : k + 1], fine_tokens[parents == k]]) for k in range(coarse)]
    return torch.cat(groups)


def usual_events(flat: Tensor, clusters: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """T-DPC of pooled frames (T, P·d): event prototypes (L, P·d) and their frames (L,), in temporal order."""
    if not flat.isfinite().all():
        raise ValueError("a frame holds NaN or infinity")
    if len(flat) <= clusters:
        return flat, torch.arange(len(flat), device=flat.device)
    labels, product = usual_dpc_knn(flat, clusters, neighbours)
    prototypes = usual_merge(flat, labels, clusters, flat.new_ones(len(flat)))
    own = torch.nn.functional.one_hot(labels, clusters).T.bool()
    frames, order = torch.where(own, product, -1.0).argmax(1).sort()
    return prototypes[order], frames


def pool(frame: Tensor, grid: int, pooled_grid: int) -> Tensor:
    """f_t: patches (N, d) averaged over squares to (P, d)."""
    side = grid // pooled_grid
    square = frame.view(grid, grid, -1)
    cells = [
        square[r * side : (r + 1) * side, c * side : (c + 1) * side].flatten(0, 1).mean(0)
        for r in range(pooled_grid)
        for c in range(pooled_grid)
    ]
    return torch.stack(cells)


def object_prototypes(
    frame: Tensor, fine: int, coarse: int, neighbours: tuple[int, int]
) -> tuple[Tensor, list[int], Tensor]:
    """S-DPC of one frame (N, d): G_t (I, d) in tree order, the group of each token, the coarse prototypes."""
    labels, _, rho, delta = dpc_knn(frame, fine, neighbours[0])
    fine_tokens = merge(frame, labels, min(fine, len(frame)), torch.exp(rho * delta))
    parents, _, rho, delta = dpc_knn(fine_tokens, coarse, neighbours[1])
    coarse_tokens = merge(fine_tokens, parents, coarse, torch.exp(rho * delta))
    tokens, group = [], []
    for parent in range(coarse):
        tokens.append(coarse_tokens[parent])
        group.append(parent)
        for child, own in enumerate(parents):
            if own == parent:
                tokens.append(fine_tokens[child])
                group.append(parent)
    return torch.stack(tokens), group, coarse_tokens


def one_hot_topk(scores: Tensor, count: int) -> Tensor:
    """Sorted one-hot Top-K matrices (n, K, L) of rows of scores (n, L)."""
    chosen = scores.topk(count, dim=-1).indices.sort(dim=-1).values
    return torch.nn.functional.one_hot(chosen, scores.shape[-1]).to(scores.dtype)


def perturbed_topk(scores: Tensor, noise: Tensor, count: int, sigma: float) -> tuple[Tensor, Tensor]:
    """P_σ (K, L) and its Jacobian E[P ⊗ Z] / σ (K, L, L) for scores (L,) and noise (n, L)."""
    draws = one_hot_topk(scores + sigma * noise, count)
    return draws.mean(0), torch.einsum("nkl,nm->klm", draws, noise) / (len(noise) * sigma)


def score_events(unit: torch.nn.Module, prototypes: Tensor) -> Tensor:
    """Scores (L,) of prototypes (L, P, d), min–max normalised, with the weights of a `ScoreNetwork`."""
    rows = []
    for prototype in prototypes:
        summary = torch.cat([prototype.max(0).values, prototype.mean(0)])
        rows.append(torch.nn.functional.gelu(unit.mix(unit.norm(summary))))
    half = rows[0].shape[0] // 2
    context = torch.stack([row[half:] for row in rows]).mean(0)
    scores = torch.stack([unit.layers(torch.cat([row[:half], context]))[0] for row in rows])
    return (scores - scores.min()) / (scores.max() - scores.min())


def context_token(attention: torch.nn.Module, queries: Tensor, objects: Tensor) -> Tensor:
    """Avg(E) (d,) of one frame: queries (n, h) of the text encoder, object prototypes (I, d)."""
    question = attention.text_projection(queries)
    logits = attention.query(question) @ attention.key(objects).T / math.sqrt(objects.shape[1])
    return (logits.softmax(1) @ objects).mean(0)


def usual_visual_tokens(encoder: torch.nn.Module, frames: Tensor, queries: Tensor) -> Tensor:
    """Visual tokens of one video (T, N, d) under one question, with the weights of a `DynFocusEncoder`.

    `queries` (T, n, h) is what the text encoder made of every frame.
    """
    network = encoder.config
    neighbours = (network.fine_neighbours, network.coarse_neighbours)
    pooled = torch.stack([pool(frame, network.grid, network.pooled_grid) for frame in frames])
    flat, cones = usual_events(pooled.flatten(1), network.event_prototypes, network.temporal_neighbours)
    prototypes = flat.view(-1, *pooled.shape[1:])
    count = math.ceil(network.selection_ratio * len(prototypes))
    chosen = score_events(encoder.selection.score, prototypes).topk(count).indices.tolist()
    prototype_of = {int(cones[event]): prototypes[event] for event in chosen}
    tokens = []
    for t, frame in enumerate(frames):
        objects = usual_object_prototypes(frame, network.fine_prototypes, network.coarse_prototypes, neighbours)
        context = context_token(encoder.context_attention, queries[t], objects)
        if t in prototype_of:
            tokens.append(encoder.fine_projector(torch.cat([prototype_of[t], objects])))
        tokens.append(encoder.coarse_projector(torch.stack([context, objects.mean(0)])))
    return torch.cat(tokens)
