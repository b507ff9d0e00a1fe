"""Dynamic selection's Top-K: hard at inference, perturbed maximum in training (paper section 3; Berthet et al. 2020).

The indicator P_σ ∈ R^{K×L} is the mean of the sorted one-hot Top-K matrices of n Gaussian perturbations of the scores.
Its Jacobian is the Gaussian-smoothing estimator E[P(s + σZ) ⊗ Z] / σ. Neither pass builds the n × K × L one-hot tensor:
the forward pass counts, and the backward pass needs per draw only the sum of the gradients at its K chosen entries.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


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


def sorted_draws(scores: Tensor, noise: Tensor, counts: Tensor, width: int, sigma: float) -> Tensor:
    """Sorted Top-K indices (V, n, width) of each perturbed row of scores; L where a slot is unused."""
    length = scores.shape[1]
    perturbed = torch.add(scores.float()[:, None, :], noise, alpha=sigma)
    chosen = perturbed.topk(min(width, length), dim=2).indices
    if width > 1 and bool((counts < width).any()):
        unused = torch.arange(width, device=scores.device) >= counts[:, None]
        chosen = chosen.masked_fill(unused[:, None, :], length)
    return chosen.to(torch.int16).sort(2).values if length < 2**15 else chosen.sort(2).values


class _PerturbedTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, noise, counts, width, sigma, full):
        videos, draws, length = noise.shape
        chosen = sorted_draws(scores, noise, counts, width, sigma)
        cell = torch.arange(width, device=scores.device) * (length + 1) + chosen
        hits = torch.zeros(videos, width * (length + 1), device=scores.device)
        hits.scatter_add_(1, cell.flatten(1), hits.new_ones(()).expand(videos, cell[0].numel()))
        ctx.save_for_backward(noise, chosen)
        ctx.sigma, ctx.full, ctx.dtype = sigma, full, scores.dtype
        return (hits / draws).view(videos, width, length + 1)[:, :, :length].to(scores.dtype)

    @staticmethod
    def backward(ctx, grad):
        noise, chosen = ctx.saved_tensors
        videos, draws, length = noise.shape
        width = chosen.shape[2]
        padded = torch.nn.functional.pad(grad.float(), (0, 1)).flatten(1)
        cell = torch.arange(width, device=grad.device) * (length + 1) + chosen
        entry = padded.gather(1, cell.flatten(1)).view(videos, draws, width)
        scale = 1.0 / (draws * ctx.sigma)
        if ctx.full:
            slope = torch.bmm(entry.sum(2)[:, None, :], noise)[:, 0]
        else:
            index = chosen.long()
            moved = torch.nn.functional.pad(noise, (0, 1)).gather(2, index) * entry
            slope = torch.zeros(videos, length + 1, device=grad.device)
            slope = slope.scatter_add(1, index.flatten(1), moved.flatten(1))[:, :length]
        return (slope * scale).to(ctx.dtype), None, None, None, None, None
