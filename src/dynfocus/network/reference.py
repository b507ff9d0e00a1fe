"""The paper in plain lines: what every kernel of the network computes, written as its equations read.

Read it from top to bottom: it is the whole method, one video and one question at a time, with the paper's symbols and
the shape of every tensor; loops where the text says *for each*, and nothing clever. `visual_tokens` puts it together.
The rivals of Table 7 follow at the end. The tests compare the fast versions with these in fp64, item by item, ties to
the lower index; the weights are those of the network's own modules.

    T frames, N = 256 patches of d = 1408 channels          v_t (N, d)
    pooled to P = 16                                        f_t (P, d)
    L = 25 event prototypes, K = 20 of them cones           m_l (P, d), s_l
    I = 16 + 6 object prototypes                            G_t (I, d)
    32 queries of the text encoder for the question         Q_t (32, h)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# --- Clustering (B.3, B.4, Table 5) ---------------------------------------------------------------------------------


def direct_distances(x: Tensor) -> Tensor:
    """‖x_i − x_j‖² (M, M) of items (M, c), one row at a time."""
    return torch.stack([((x - row) ** 2).sum(1) for row in x])


def by_index(values: Tensor, largest: bool) -> list[int]:
    """Indices of values (M,) in order; equal values by index."""
    sign = -1 if largest else 1
    return sorted(range(len(values)), key=lambda i: (sign * float(values[i]), i))


def dpc_knn(
    x: Tensor,
    clusters: int,
    neighbours: int,
    with_itself: bool = False,
    squared: bool = True,
    sample_wide: bool = False,
) -> tuple[list[int], list[int], Tensor, Tensor]:
    """DPC-KNN of items (M, c): labels (M), centres (K) ascending, ρ (M,), δ (M,).

    A centre is an item that is dense (many near neighbours, ρ) and far from anything denser (δ). The last three
    arguments are the choices that the paper leaves open: is an item its own neighbour; is δ a squared distance; has the
    densest item its own largest distance for δ or that of all items.
    """
    items, channels = x.shape
    distance = direct_distances(x) / channels  # D
    if items <= clusters:
        return list(range(items)), list(range(items)), x.new_ones(items), x.new_zeros(items)
    energy = x.new_zeros(items)  # −log ρ, which does not underflow
    for i in range(items):
        others = distance[i] if with_itself else torch.cat([distance[i, :i], distance[i, i + 1 :]])
        nearest = others.sort().values[:neighbours]
        energy[i] = nearest.mean()
    rho = torch.exp(-energy)
    order = by_index(energy, largest=False)  # from the densest item on
    delta = x.new_zeros(items)
    for place, i in enumerate(order):
        if place > 0:
            delta[i] = distance[i, order[:place]].min()
        else:
            delta[i] = distance.max() if sample_wide else distance[i].max()
    if not squared:
        delta = delta.sqrt()
    log_product = delta.log() - energy  # the order of ρ·δ, also where the exponential underflows
    centres = sorted(by_index(log_product, largest=True)[:clusters])
    labels = [by_index(distance[i, centres], largest=False)[0] for i in range(items)]
    for k, centre in enumerate(centres):
        labels[centre] = k
    return labels, centres, rho, delta


def merge(x: Tensor, labels: list[int], clusters: int, weights: Tensor | None = None) -> Tensor:
    """Weighted means (K, c) of the members of each cluster; plain ones without `weights` (M,)."""
    weights = x.new_ones(len(x)) if weights is None else weights
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


# --- Dynamic Event Prototype Estimation (3.1) -----------------------------------------------------------------------


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


def event_prototypes(pooled: Tensor, events: int, neighbours: int) -> tuple[Tensor, list[int]]:
    """T-DPC of pooled frames f (T, P, d): prototypes m (L, P, d), means of their members, and their frames (L)."""
    flat = pooled.flatten(1)  # all P·d values of a frame, not their average: the difference from Chat-UniVi (B.3)
    labels, centres, _, _ = dpc_knn(flat, events, neighbours)
    return merge(flat, labels, len(centres)).view(-1, *pooled.shape[1:]), centres


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


def one_hot_topk(scores: Tensor, count: int) -> Tensor:
    """Sorted one-hot Top-K matrices (n, K, L) of rows of scores (n, L)."""
    chosen = scores.topk(count, dim=-1).indices.sort(dim=-1).values
    return torch.nn.functional.one_hot(chosen, scores.shape[-1]).to(scores.dtype)


def perturbed_topk(scores: Tensor, noise: Tensor, count: int, sigma: float) -> tuple[Tensor, Tensor]:
    """P_σ (K, L) and its Jacobian (K, L, L) for scores (L,) and noise (n, L), n > 1.

    The Jacobian is E[P ⊗ Z] / σ. From each draw's P the mean of P over the other draws is subtracted: that does not
    depend on the draw's own Z, whose mean is zero, so the expectation stays, and most of the noise goes.
    """
    draws = one_hot_topk(scores + sigma * noise, count)  # (n, K, L)
    n = len(noise)
    jacobian = scores.new_zeros(count, len(scores), len(scores))
    for i in range(n):
        others = (draws.sum(0) - draws[i]) / (n - 1)
        jacobian += (draws[i] - others)[:, :, None] * noise[i] / (n * sigma)
    return draws.mean(0), jacobian


# --- Compact Cooperative Encoding (3.2) -----------------------------------------------------------------------------


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


def context_token(attention: torch.nn.Module, queries: Tensor, objects: Tensor) -> Tensor:
    """Avg(E) (d,) of one frame: queries (n, h) of the text encoder, object prototypes (I, d)."""
    question = attention.text_projection(queries)
    logits = attention.query(question) @ attention.key(objects).T / math.sqrt(objects.shape[1])
    return (logits.softmax(1) @ objects).mean(0)


def visual_tokens(encoder: nn.Module, frames: Tensor, queries: Tensor) -> Tensor:
    """O: the visual tokens of one video (T, N, d) under one question, with the weights of a `DynFocusEncoder`.

    `queries` (T, n, h) is what the text encoder made of every frame. Cones give 40 tokens, rods 2, in temporal order.
    """
    network = encoder.config
    # DPE: which frames deserve many tokens
    pooled = torch.stack([pool(frame, network.grid, network.pooled_grid) for frame in frames])  # f (T, P, d)
    prototypes, frame_of = event_prototypes(pooled, network.event_prototypes, network.temporal_neighbours)
    scores = score_events(encoder.selection.score, prototypes)  # s (L,)
    count = math.ceil(network.selection_ratio * len(prototypes))  # K
    chosen = by_index(scores, largest=True)[:count]
    prototype_of = {frame_of[event]: prototypes[event] for event in chosen}  # b_t = 1 for these frames
    # CCE: what each frame gives
    tokens = []
    for t, frame in enumerate(frames):
        neighbours = (network.fine_neighbours, network.coarse_neighbours)
        objects, _, _ = object_prototypes(frame, network.fine_prototypes, network.coarse_prototypes, neighbours)
        if t in prototype_of:
            h = prototype_of[t]
            tokens.append(encoder.fine_projector(torch.cat([h, objects])))  # U_fine = F_fine(h_t ‖ G_t)
        context = context_token(encoder.context_attention, queries[t], objects)
        tokens.append(encoder.coarse_projector(torch.stack([context, objects.mean(0)])))  # U_coarse
    return torch.cat(tokens)


# --- The rivals of Table 7, from their papers and the behaviour of their code ---------------------------------------


def flash_vstream_tokens(encoder: nn.Module, frames: Tensor) -> Tensor:
    """Flash-VStream's memories (tokens, d) of a video (T, N, d), before the projector, of a `StarMemoryEncoder`.

    The present frame stands alone. The past frames are summed up as one token each (abstract), as clusters (temporal)
    and as a few frames kept whole (retrieved).
    """
    network = encoder.config
    size, side = network.event_prototypes, min(8, network.grid)
    whole = [pool(frame, network.grid, side) for frame in frames]  # (64, d) each
    past = torch.stack([pool(frame, network.grid, network.pooled_grid) for frame in frames])[:-1]  # (T − 1, P, d)
    if len(past) == 0:
        return whole[-1]
    # Abstract: the first frames' means, then every chunk of as many moves them by a fifth towards what they attend to.
    means = past.mean(1)
    abstract = means[:size]
    for start in range(size, len(means), size):
        chunk = means[start : start + size]
        moved = []
        for memory in abstract:
            query, keys = encoder.abstract_query(memory), encoder.abstract_key(chunk)
            attention = (keys @ query / math.sqrt(len(query))).softmax(0)
            moved.append(0.8 * memory + 0.2 * (attention @ chunk))
        abstract = torch.stack(moved)
    # Temporal: K-means with frames of weight 1. Retrieved: the central frames of the three largest clusters.
    flat = past.flatten(1)
    labels, centres = kmeans(flat, size, flat.new_ones(len(flat)), 20)
    temporal = merge(flat, labels, len(centres)).view(-1, past.shape[2])
    sizes = torch.tensor([float(labels.count(k)) for k in range(len(centres))])
    retrieved = [whole[centres[k]] for k in by_index(sizes, largest=True)[:3]]
    return torch.cat([abstract, temporal, *retrieved, whole[-1]])


def chat_univi_tokens(frames: Tensor, levels: tuple[int, ...], events: int) -> Tensor:
    """Chat-UniVi's tokens (events · Σ levels, d) of a video (T, N, d), before the projector.

    Its density counts an item among its neighbours, its δ is a distance, and the densest item has the largest of all.
    """

    def grouped(x: Tensor, count: int, neighbours: int) -> tuple[list[int], int]:
        if neighbours > count:
            neighbours = min(3, max(count // 2, 2))  # its code says 1, the item itself: every density is then 1
        labels, centres, _, _ = dpc_knn(x, count, neighbours, with_itself=True, squared=False, sample_wide=True)
        return labels, len(centres)

    # Space: the patches of every frame, step by step.
    of_frame: list[list[Tensor]] = []
    for frame in frames:
        tokens, grains = frame, []
        for count, neighbours in zip(levels, (5, 3, 3), strict=True):
            tokens = merge(tokens, *grouped(tokens, count, neighbours))
            grains.append(tokens)
        of_frame.append(grains)
    # Time: frames whose mean patches are alike are an event; events in the order in which they begin.
    labels, _ = grouped(frames.mean(1), events, 5)
    made = []
    for event in dict.fromkeys(labels):
        members = [t for t, label in enumerate(labels) if label == event]
        for level, (count, neighbours) in enumerate(zip(levels, (5, 3, 3), strict=True)):
            together = torch.cat([of_frame[t][level] for t in members])
            made.append(merge(together, *grouped(together, count, neighbours)))
    return torch.cat(made)
