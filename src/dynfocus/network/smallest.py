"""The few smallest values of every column of a matrix, by a sorting network.

A k-NN density needs C ≈ 8 of some hundred distances, a million times per video. A network of minima and maxima over
whole rows does that at the speed of memory on a CPU, where a general top-k sorts each row on its own. Its work grows
with the items, that of a top-k hardly: long columns go to the latter. So does a GPU, which starts a kernel for each of
the network's some hundred steps and one for the top-k (`speed/results/`: 1.8 and 1.1 ms for 356 frames of 256 patches
on an H100, 1.6 and 0.04 ms for one film of 100 frames).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LONG = 512
"""Items of a column from which a top-k is faster than the network."""


def smallest(x: Tensor, count: int) -> Tensor:
    """The `count` smallest values (B, count, n) of each column of symmetric `x` (B, n, n), n ≥ count, ascending."""
    if x.is_cuda or x.shape[1] >= LONG:
        return x.topk(count, dim=2, largest=False).values.transpose(1, 2)
    return torch.stack(network_smallest(x, count), dim=1)


def network_smallest(x: Tensor, count: int) -> list[Tensor]:
    """The `count` smallest values (B, n) of each column of `x` (B, M, n), M ≥ count, in ascending order."""
    width = 1 << (count - 1).bit_length()
    groups = 1 << max(0, (-(-x.shape[1] // width) - 1).bit_length())
    if width * groups != x.shape[1]:
        x = F.pad(x, (0, 0, 0, width * groups - x.shape[1]), value=torch.inf)
    lanes = list(x.unflatten(1, (width, groups)).unbind(1))
    for low, high in sorting_pairs(width):
        _exchange(lanes, low, high)
    while groups > 1:
        groups //= 2
        halves = [(lane[:, :groups], lane[:, groups:]) for lane in lanes]
        lanes = [torch.minimum(halves[i][0], halves[-1 - i][1]) for i in range(width)]
        stride = width // 2
        while stride:
            for low in range(width):
                if not low & stride:
                    _exchange(lanes, low, low + stride)
            stride //= 2
    return [lane[:, 0] for lane in lanes[:count]]


def sorting_pairs(width: int) -> list[tuple[int, int]]:
    """Batcher's odd-even merge network for `width` lanes, a power of two: pairs to bring in order, in turn."""
    pairs = []
    run = 1
    while run < width:
        stride = run
        while stride:
            for start in range(stride % run, width - stride, 2 * stride):
                for low in range(start, min(start + stride, width - stride)):
                    if low // (2 * run) == (low + stride) // (2 * run):
                        pairs.append((low, low + stride))
            stride //= 2
        run *= 2
    return pairs


def _exchange(lanes: list[Tensor], low: int, high: int) -> None:
    """Put the smaller values of two lanes in the lower one."""
    lanes[low], lanes[high] = torch.minimum(lanes[low], lanes[high]), torch.maximum(lanes[low], lanes[high])
