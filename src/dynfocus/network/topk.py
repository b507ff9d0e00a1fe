"""Dynamic selection's Top-K: hard at inference, perturbed maximum in training (paper section 3; Berthet et al. 2020).

The indicator P_σ ∈ R^{K×L} is the mean of the sorted one-hot Top-K matrices of n Gaussian perturbations of the scores.
Its Jacobian is the Gaussian-smoothing estimator E[P(s + σZ) ⊗ Z] / σ. Neither pass builds the n × K × L one-hot tensor:
the forward pass counts, and the backward pass needs per draw only the sum of the gradients at its K chosen entries.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def hard_topk(scores: Tensor, counts: Tensor, width: int) -> Tensor:
    """Indices (V, width) of the `counts` (V,) highest scores (V, L) of each row, ascending; L where a slot is unused.

    Ties go to the lower index; a score of −inf is padding and must not be counted.
    """
    ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :width]
    unused = torch.arange(width, device=scores.device) >= counts[:, None]
    return ranked.masked_fill(unused, scores.shape[1]).sort(1).values


def perturbed_topk(
    scores: Tensor,
    counts: Tensor,
    width: int,
    perturbations: int,
    sigma: float,
    gradient: Literal["full", "diagonal"] = "full",
    generator: torch.Generator | None = None,
) -> Tensor:
    """The soft indicator P_σ (V, width, L) of `scores` (V, L), differentiable with respect to them.

    `counts` (V,) is K of each row; rows of unused slots are zero. `gradient="diagonal"` keeps of the Jacobian only
    ∂P[k, l]/∂s[l], as the released code does.
    """
    shape = (scores.shape[0], perturbations, scores.shape[1])
    noise = torch.randn(shape, generator=generator, device=scores.device)
    return _PerturbedTopK.apply(scores, noise, counts, width, sigma, gradient == "full")


def draw_cells(scores: Tensor, noise: Tensor, counts: Tensor, width: int, sigma: float) -> Tensor:
    """Cell k·L + l (V, n, L) that score l enters as the k-th chosen of a draw; k = width where it is not chosen."""
    videos, _, length = noise.shape
    perturbed = torch.add(scores.float()[:, None, :], noise, alpha=sigma)
    best = perturbed.topk(min(width, length), dim=2, sorted=videos > 1).indices
    used = (torch.arange(best.shape[2], device=scores.device) < counts[:, None])[:, None, :].expand_as(best)
    chosen = torch.zeros(noise.shape, dtype=torch.bool, device=scores.device).scatter_(2, best, used)
    rank = (chosen.cumsum(2) - 1).masked_fill_(~chosen, width)
    return rank.mul_(length).add_(torch.arange(length, device=scores.device))


class _PerturbedTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, noise, counts, width, sigma, full):
        videos, draws, length = noise.shape
        cells = draw_cells(scores, noise, counts, width, sigma)
        hits = torch.zeros(videos, (width + 1) * length, device=scores.device)
        hits.scatter_add_(1, cells.flatten(1), hits.new_ones(()).expand(videos, draws * length))
        ctx.save_for_backward(noise, cells)
        ctx.sigma, ctx.full, ctx.dtype = sigma, full, scores.dtype
        return (hits / draws).view(videos, width + 1, length)[:, :width].to(scores.dtype)

    @staticmethod
    def backward(ctx, grad):
        noise, cells = ctx.saved_tensors
        draws = noise.shape[1]
        padded = F.pad(grad.float(), (0, 0, 0, 1)).flatten(1)
        entry = padded.gather(1, cells.flatten(1)).view_as(noise)
        slope = torch.bmm(entry.sum(2)[:, None, :], noise)[:, 0] if ctx.full else (entry * noise).sum(1)
        return (slope / (draws * ctx.sigma)).to(ctx.dtype), None, None, None, None, None
