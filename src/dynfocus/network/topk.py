"""Dynamic selection's Top-K: hard at inference, perturbed maximum in training (paper section 3; Berthet et al. 2020).

The indicator P_σ ∈ R^{K×L} is the mean of the sorted one-hot Top-K matrices of n Gaussian perturbations of the scores.
Its Jacobian is the Gaussian-smoothing estimator E[P(s + σZ) ⊗ Z] / σ. Neither pass builds the n × K × L one-hot tensor:
the forward pass counts, and the backward pass needs per draw only g, the sum of the gradients at its K chosen entries.

    scores s = (0.2, 0.9, 0.6), K = 2, two draws
    draw 1 chooses 1 and 2:  row 0 → score 1, row 1 → score 2      P_σ = ½ (0 1 0) + ½ (1 0 0) = (½ ½ 0)
    draw 2 chooses 0 and 1:  row 0 → score 0, row 1 → score 1            (0 0 1)     (0 1 0)   (0 ½ ½)

The frames of a film share most of their features, so g is a large constant plus a small part that knows which frames
were chosen, and the constant times the noise is what the estimator mostly consists of. E[Z] = 0: subtracting from each
draw's g the mean over the *other* draws leaves the expectation as it is and takes the constant out. That is the mean
over all draws subtracted, times n / (n − 1). At K = L, where nothing can be chosen, the gradient is zero to rounding.
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


def draw_topk(scores: Tensor, noise: Tensor, counts: Tensor, width: int, sigma: float) -> Tensor:
    """1 (V, n, L) for the scores among the `counts` (V,) highest of a draw, 0 for the others."""
    perturbed = torch.add(scores.float()[:, None, :], noise, alpha=sigma)
    best = perturbed.topk(min(width, perturbed.shape[2]), dim=2, sorted=scores.shape[0] > 1).indices
    used = (torch.arange(best.shape[2], device=scores.device) < counts[:, None])[:, None, :].to(noise.dtype)
    return perturbed.zero_().scatter_(2, best, used.expand_as(best))


def cells_of(chosen: Tensor) -> Tensor:
    """Cell r·L + l (V, n, L) of score l in each draw, r the number of chosen scores up to it: k for the k-th chosen."""
    length = chosen.shape[2]
    return chosen.cumsum(2).mul_(length).add_(torch.arange(length, device=chosen.device)).long()


class _PerturbedTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, noise, counts, width, sigma, full):
        videos, draws, length = noise.shape
        chosen = draw_topk(scores, noise, counts, width, sigma)
        cells = cells_of(chosen)
        hits = torch.zeros(videos, (width + 1) * length, device=scores.device)
        hits.scatter_add_(1, cells.flatten(1), chosen.flatten(1))
        ctx.save_for_backward(noise, cells, chosen)
        ctx.sigma, ctx.full, ctx.dtype = sigma, full, scores.dtype
        return hits.div_(draws).view(videos, width + 1, length)[:, 1:].to(scores.dtype)

    @staticmethod
    def backward(ctx, grad):
        noise, cells, chosen = ctx.saved_tensors
        draws = noise.shape[1]
        padded = F.pad(grad.float(), (0, 0, 1, 0)).flatten(1)  # (V, (K + 1)·L): row 0 is that of no choice yet
        entry = padded.gather(1, cells.flatten(1)).view_as(noise).mul_(chosen)  # (V, n, L): the gradient at each choice
        if ctx.full:
            gain = entry.sum(2)  # g (V, n)
            slope = torch.bmm((gain - gain.mean(1, keepdim=True))[:, None, :], noise)[:, 0]
        else:  # ∂P[k, l] / ∂s[l] alone: each score has an estimator, and a mean, of its own
            slope = entry.sub_(entry.mean(1, keepdim=True)).mul_(noise).sum(1)
        # With one draw there is no other draw whose mean could be subtracted: the gradient is zero, not infinite.
        return (slope / (max(draws - 1, 1) * ctx.sigma)).to(ctx.dtype), None, None, None, None, None
