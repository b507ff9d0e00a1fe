"""DPC-KNN, K-means and weighted K-means behind one interface (paper section 3, B.4, Table 5).

Batched, deterministic, masked, fp32 inside, without gradient: the clusters have no parameters. No loop runs over
samples, items or clusters. Clusters are ordered by the index of their centre item, so the event prototypes of a video
are in temporal order. Ties go to the lower index. A sample with no more items than clusters keeps every item as its
own cluster (T ≤ L).

    four frames at 0, 1, 2 and 9 on a line, L = 2, C = 1 (one channel, so D is the squared difference)

    frame                            0      1      2      3
    D to the nearest other           1      1      1     49      smallest energy first: 0, 1, 2 (ties by index), 3
    ρ = exp(−energy)                .37    .37    .37     0
    δ, nearest of higher density    81      1      1     49      frame 0 is the densest: its δ is the farthest distance
    ρ·δ                            29.8    .37    .37     0      centres 0 and 1: an outlier has no density
    labels                           0      1      1      1

A clustering is a function (x, clusters, neighbours, mask, choices) → Clusters; `dynfocus.config.extensions` lists those
of this package and finds those of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dynfocus.config.extensions import find
from dynfocus.network.distances import (
    centred,
    on_host,
    refuse_non_finite,
    squared_distances,
    take_rows,
    without_autocast,
)
from dynfocus.network.smallest import smallest
from dynfocus.tokens import NetworkFields

LLOYD_ITERATIONS = 20
LONG_ROWS = 1024
"""Channels from which a CPU sums the members of a cluster faster than it multiplies with a mostly empty matrix."""
TIE = 1e-4
"""Members this much, relatively, farther from their centroid than the nearest one count as equally near: the two
members of a pair always are, and rounding must not choose between them."""


@dataclass(frozen=True)
class Choices:
    """What the paper leaves open in its clusterings; the defaults are this project's (docs/deviations).

    neighbours: are an item's C neighbours `others`, or is it one of them, `with_itself`, at distance 0? The latter
    makes C = 1 useless and C mean C − 1. separation: δ in `squared` distances, as D is, or in `distance`s, which brings
    δ of far and near items closer to each other. densest: the densest item has no denser one; its δ is the largest
    distance in its `own` row, or of the whole `sample`. kmeans_weights: weighted K-means weighs an item by its
    `density` ρ, by B.3's `exp_density` exp(ρδ), or all `equal`ly, which makes it K-means.
    """

    neighbours: Literal["others", "with_itself"] = "others"
    separation: Literal["squared", "distance"] = "squared"
    densest: Literal["own", "sample"] = "own"
    kmeans_weights: Literal["density", "exp_density", "equal"] = "density"

    @classmethod
    def of(cls, network: NetworkFields) -> Choices:
        """The choices of a `network` section."""
        return cls(
            network.density_neighbours, network.density_separation, network.densest_separation, network.kmeans_weights
        )


DEFAULT_CHOICES = Choices()
Clustering = Callable[[Tensor, int, int, Tensor | None, Choices], "Clusters"]
_FOUND: dict[str, Clustering] = {}


@dataclass(frozen=True)
class Clusters:
    """A partition of M items into at most K clusters, for each of B samples.

    labels (B, M) long: cluster of each item, −1 for padding.
    centres (B, K) long: index of each cluster's centre item, ascending; 0 where the cluster does not exist.
    exists (B, K) bool: False for the unused slots of a sample with fewer than K items.
    importance (B, M) fp32: log of an item's merge weight; ρ·δ for DPC-KNN (B.3), the log weight for K-means.
    """

    labels: Tensor
    centres: Tensor
    exists: Tensor
    importance: Tensor

    def merge(self, x: Tensor, weights: Literal["exp_density", "mean"] = "mean") -> Tensor:
        """Prototypes (B, K, c): weighted means of the members of `x` (B, M, c); zero where no cluster exists."""
        slots = torch.arange(self.centres.shape[1], device=x.device)
        member = self.labels[:, None, :] == slots[None, :, None]
        logits = torch.zeros_like(self.importance) if weights == "mean" else self.importance
        share = logits[:, None, :].masked_fill(~member, -torch.inf).softmax(2)
        share = share.masked_fill(~self.exists[:, :, None], 0.0)
        with without_autocast(x):
            return weighted_sums(x.float(), share, self.labels.clamp(min=0))


@torch.no_grad()
def cluster(
    x: Tensor,
    clusters: int,
    method: str = "dpc_knn",
    neighbours: int = 5,
    mask: Tensor | None = None,
    choices: Choices = DEFAULT_CHOICES,
) -> Clusters:
    """Partition items `x` (B, M, c) into `clusters` clusters with the named method; `mask` (B, M) is True for items.

    Raises UserError on NaN or infinity in a real item, and for a method that is not there.
    """
    if x.shape[1] <= clusters:
        refuse_non_finite(torch.linalg.vector_norm(x, dim=2, dtype=torch.float32), mask)
        return identity_clusters(x, clusters, mask)
    # Under autocast the distances would be computed in half precision, and near frames would all be equally near.
    with without_autocast(x):
        return clustering_of(method)(x, clusters, neighbours, mask, choices)


def clustering_of(method: str) -> Clustering:
    """The clustering of a name. Found once: torch.compile follows a look-up in a dictionary, and no import."""
    if method not in _FOUND:
        _FOUND[method] = find("clustering", method)
    return _FOUND[method]


def density_peaks(x: Tensor, clusters: int, neighbours: int, mask: Tensor | None, choices: Choices) -> Clusters:
    """DPC-KNN (B.4): see `dpc_knn`."""
    return dpc_knn(squared_distances(x, mask), clusters, neighbours, x.shape[2], mask, choices)


def plain_kmeans(x: Tensor, clusters: int, neighbours: int, mask: Tensor | None, choices: Choices) -> Clusters:
    """K-means of Table 5: every item of weight 1."""
    return kmeans(x, clusters, None, mask)


def weighted_kmeans(x: Tensor, clusters: int, neighbours: int, mask: Tensor | None, choices: Choices) -> Clusters:
    """Weighted K-means of Table 5, whose weights the paper does not name: `choices.kmeans_weights`."""
    if choices.kmeans_weights == "equal":
        return kmeans(x, clusters, None, mask)
    distance = squared_distances(x, mask)
    energy = neighbour_energy(distance, neighbours, x.shape[2], mask, choices)
    if choices.kmeans_weights == "density":
        return kmeans(x, clusters, -energy, mask)
    real = torch.ones_like(energy, dtype=torch.bool) if mask is None else mask
    delta = separation(distance, energy, real, x.shape[2], choices)
    return kmeans(x, clusters, torch.exp(-energy) * delta, mask)


def identity_clusters(x: Tensor, clusters: int, mask: Tensor | None) -> Clusters:
    """Every item its own cluster, for samples with at most `clusters` items; min(M, clusters) slots."""
    batch, items = x.shape[:2]
    real = mask if mask is not None else torch.ones(batch, items, dtype=torch.bool, device=x.device)
    rank = real.cumsum(1) - 1
    labels = rank.masked_fill(~real, -1)
    index = torch.arange(items, device=x.device).expand(batch, items)
    centres = index.masked_fill(~real, items).sort(1).values[:, : min(items, clusters)]
    exists = centres < items
    importance = torch.zeros(batch, items, device=x.device)
    return Clusters(labels, centres.masked_fill(~exists, 0), exists, importance)


def neighbour_energy(
    distance: Tensor,
    neighbours: int,
    channels: int,
    mask: Tensor | None = None,
    choices: Choices = DEFAULT_CHOICES,
) -> Tensor:
    """Mean distance per channel (B, M) of each item to its `neighbours` nearest other items: −log ρ.

    `distance` (B, M, M), symmetric and with a zero diagonal, is infinite towards padding; where fewer others exist, the
    mean runs over those. Densities are compared by their energy: exp(−energy) would round near neighbours to one and
    far ones to zero.
    """
    diagonal = distance.diagonal(dim1=1, dim2=2)
    others = choices.neighbours == "others"
    if others:
        diagonal.fill_(torch.inf)  # in place of a copy of the largest tensor here; put back two lines below
    nearest = smallest(distance, min(neighbours, distance.shape[1] - others))  # (B, C, M)
    diagonal.zero_()
    if mask is None:
        return nearest.sum(1) / (nearest.shape[1] * channels)
    finite = nearest.isfinite()
    return nearest.masked_fill(~finite, 0.0).sum(1) / (finite.sum(1).clamp(min=1) * channels)


def separation(
    distance: Tensor, energy: Tensor, real: Tensor, channels: int = 1, choices: Choices = DEFAULT_CHOICES
) -> Tensor:
    """δ (B, M): distance to the nearest item of higher density; for the densest, the distance to the farthest item.

    Of equal densities the lower index counts as higher. `energy` (B, M) is −log ρ, `real` (B, M) is False for padding.
    """
    order = energy.masked_fill(~real, torch.inf).argsort(dim=1, stable=True)  # densest first
    rank = _inverse(order).to(distance.dtype)
    # 1 where column j is not denser than row i, 0 where it is. Ranks are whole numbers, so the clamp is exact.
    not_higher = (rank[:, None, :] - (rank - 1.0)[:, :, None]).clamp_(0.0, 1.0)  # (B, M, M)
    # The largest finite number, and not infinity: 0 · ∞ would be NaN. It pushes every item that is not denser away.
    nearest = torch.add(distance, not_higher, alpha=torch.finfo(distance.dtype).max, out=not_higher).amin(2)
    densest = order[:, :1]
    if choices.densest == "own":
        farthest = take_rows(distance, densest)[:, 0].masked_fill(~real, 0.0).amax(1, keepdim=True)
    else:
        farthest = distance.masked_fill(~(real[:, :, None] & real[:, None, :]), 0.0).amax((1, 2))[:, None]
    delta = nearest.scatter(1, densest, farthest) / channels
    return delta if choices.separation == "squared" else delta.sqrt()


def dpc_knn(
    distance: Tensor,
    clusters: int,
    neighbours: int,
    channels: int,
    mask: Tensor | None = None,
    choices: Choices = DEFAULT_CHOICES,
) -> Clusters:
    """Density-peaks clustering with k-NN density, from squared distances (B, M, M) of items of c channels.

    M > clusters. D = distance / c; ρ = exp(−mean D to the C nearest others); δ as in `separation`, in D. The items with
    the highest ρ·δ are centres; every item joins its nearest centre, a centre joins itself.
    """
    real = mask if mask is not None else torch.ones(distance.shape[:2], dtype=torch.bool, device=distance.device)
    energy = neighbour_energy(distance, neighbours, channels, mask, choices)
    delta = separation(distance, energy, real, channels, choices)
    # log(ρδ) = log δ − energy has the order of ρδ, also where exp(−energy) is zero in fp32.
    score = (delta.log() - energy).masked_fill(~real, -torch.inf)
    ranked = score.argsort(dim=1, descending=True, stable=True)
    centres, exists = _first_real(ranked, real, clusters)  # (B, K), in the order of the items
    to_centre = take_rows(distance, centres).masked_fill_(~exists[:, :, None], torch.inf)  # (B, K, M)
    labels = _join(to_centre.min(1).indices, centres, exists)
    importance = (torch.exp(-energy) * delta).masked_fill(~real, 0.0)
    return Clusters(labels.masked_fill(~real, -1), centres, exists, importance)


def kmeans(
    x: Tensor,
    clusters: int,
    log_weights: Tensor | None = None,
    mask: Tensor | None = None,
    iterations: int = LLOYD_ITERATIONS,
) -> Clusters:
    """Lloyd's algorithm on items `x` (B, M, c), M > clusters, with optional logarithms of item weights (B, M).

    Weights are compared inside a cluster alone, so densities count that are too small for fp32 (as in `dpc_knn`).
    It starts from items evenly spaced in order and stops when no item moves or after `iterations`. A cluster that
    ends empty takes the item farthest from its own centroid (`_fill_empty`). A cluster's centre is
    the member nearest to its centroid.
    """
    batch, items, _ = x.shape
    real = mask if mask is not None else torch.ones(batch, items, dtype=torch.bool, device=x.device)
    x = centred(x, mask)
    norms = torch.linalg.vector_norm(x, dim=2).square_()
    refuse_non_finite(norms, mask)
    if mask is not None:
        x = x.masked_fill(~real[:, :, None], 0.0)
    logits = torch.zeros_like(norms) if log_weights is None else log_weights.float().masked_fill(~real, 0.0)
    centroids = take_rows(x, _evenly_spaced(real, clusters))
    distance = _centroid_distances(x, centroids)
    labels = distance.min(1).indices
    for step in range(iterations):
        centroids = _means(x, labels, logits, real, centroids)
        distance = _centroid_distances(x, centroids)
        moved = distance.min(1).indices
        # On a device all iterations run: asking whether an item moved waits for it, and a fixed point stays one.
        if step + 1 == iterations or (on_host(x) and torch.equal(moved, labels)):
            break
        labels = moved
    own = distance.gather(1, labels[:, None]).squeeze(1) + norms
    labels, centres, exists = _fill_empty(labels, own.clamp(min=0), real, clusters)
    few = real.sum(1, keepdim=True) <= clusters
    alone = identity_clusters(x, clusters, real)
    labels = torch.where(few, alone.labels, labels.masked_fill(~real, -1))
    centres = torch.where(few, alone.centres, centres)
    exists = torch.where(few, alone.exists, exists)
    return Clusters(labels, centres, exists, logits)


def _first_real(ranked: Tensor, real: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """The first `clusters` items of a ranking (B, M), ascending (B, K), and which of them are not padding."""
    items = ranked.shape[1]
    chosen = ranked[:, :clusters]
    chosen = chosen.masked_fill(~real.gather(1, chosen), items).sort(1).values
    exists = chosen < items
    return chosen.masked_fill(~exists, 0), exists


def _join(labels: Tensor, centres: Tensor, exists: Tensor) -> Tensor:
    """Labels (B, M) with every centre item in its own cluster."""
    batch, items = labels.shape
    padded = torch.cat([labels, labels.new_zeros(batch, 1)], dim=1)
    slots = torch.arange(centres.shape[1], device=labels.device).expand_as(centres)
    return padded.scatter(1, centres.masked_fill(~exists, items), slots)[:, :items]


def _evenly_spaced(real: Tensor, clusters: int) -> Tensor:
    """Indices (B, K) of items evenly spaced among the real ones: the item at floor((k + ½)·n / K) of n."""
    count = real.sum(1, keepdim=True)
    place = ((2 * torch.arange(clusters, device=real.device) + 1) * count) // (2 * clusters)
    items = real.shape[1]
    index = torch.arange(items, device=real.device).expand_as(real).masked_fill(~real, items).sort(1).values
    return index.gather(1, place).clamp(max=items - 1)


def weighted_sums(x: Tensor, share: Tensor, labels: Tensor) -> Tensor:
    """Sums (B, K, c) of the items `x` (B, M, c) under `share` (B, K, M), which is zero outside an item's own cluster.

    Long rows on a CPU are read once, cluster by cluster (`labels` (B, M) in [0, K)); all else is one matrix product.
    """
    batch, clusters, _ = share.shape
    if x.is_cuda or x.shape[2] < LONG_ROWS:
        return torch.bmm(share, x)
    cells = torch.arange(batch * clusters, device=x.device)
    cell, order = (labels + cells[::clusters, None]).flatten().sort(stable=True)
    weights = share.sum(1).flatten().index_select(0, order)
    starts = torch.searchsorted(cell, cells)
    made = F.embedding_bag(order, x.flatten(0, 1), starts, mode="sum", per_sample_weights=weights)
    return made.view(batch, clusters, -1)


def _means(x: Tensor, labels: Tensor, logits: Tensor, real: Tensor, centroids: Tensor) -> Tensor:
    """Weighted means (B, K, c) of the real members of each cluster; an empty one keeps its centroid."""
    slots = torch.arange(centroids.shape[1], device=x.device)
    member = (labels[:, None, :] == slots[None, :, None]) & real[:, None, :]
    empty = ~member.any(2, keepdim=True)
    share = logits[:, None, :].masked_fill(~member, -torch.inf).softmax(2).masked_fill(empty, 0.0)
    return torch.where(empty, centroids, weighted_sums(x, share, labels))


def _centroid_distances(x: Tensor, centroids: Tensor) -> Tensor:
    """Squared distances (B, K, M) of items to centroids, less the items' own squared norms."""
    square = centroids.square().sum(2, keepdim=True)
    return torch.baddbmm(square.expand(-1, -1, x.shape[1]), centroids, x.transpose(1, 2), alpha=-2.0)


def _fill_empty(labels: Tensor, own: Tensor, real: Tensor, clusters: int) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, centres and existence after every empty cluster has taken an item.

    `own` (B, M) is each item's squared distance to its centroid. The member nearest to its centroid stays as the
    cluster's centre; of the others, the r-th farthest from its own centroid goes to the r-th empty cluster. Clusters
    are renumbered by their centre's index.
    """
    batch, items = labels.shape
    labels = labels.masked_fill(~real, clusters)
    least = own.new_full((batch, clusters + 1), torch.inf).scatter_reduce(1, labels, own, "amin")
    near = own <= least.gather(1, labels) * (1 + TIE)
    index = torch.arange(items, device=labels.device).expand(batch, items)
    centres = torch.full((batch, clusters + 1), items, device=labels.device)
    centres = centres.scatter_reduce(1, labels.masked_fill(~near, clusters), index, "amin")[:, :clusters]
    empty = centres == items
    is_centre = torch.zeros(batch, items + 1, dtype=torch.bool, device=labels.device).scatter(1, centres, True)
    spare = real & ~is_centre[:, :items]
    farthest = own.masked_fill(~spare, -1.0).argsort(dim=1, descending=True, stable=True)
    turn = empty.cumsum(1) - 1
    filled = empty & (turn < spare.sum(1, keepdim=True))
    taken = farthest.gather(1, turn.clamp(min=0, max=items - 1)).masked_fill(~filled, items)
    slots = torch.arange(clusters, device=labels.device).expand(batch, clusters)
    labels = torch.cat([labels, labels.new_zeros(batch, 1)], dim=1).scatter(1, taken, slots)[:, :items]
    centres, order = torch.where(empty, taken, centres).sort(dim=1)
    exists = centres < items
    renumber = torch.cat([_inverse(order), order.new_full((batch, 1), -1)], dim=1)
    return renumber.gather(1, labels), centres.masked_fill(~exists, 0), exists


def _inverse(order: Tensor) -> Tensor:
    """Inverse (B, M) of a permutation (B, M): the rank of each item."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
