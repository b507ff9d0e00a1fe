"""Pairwise distances of batched items: the common ground of every clustering.

Distances are ‖x_i − x_j‖², in fp32 whatever the input type, from one Gram matrix per sample; whoever needs them per
channel divides by c at the end, so that integers stay exact. Two decisions make them safe for clustering:

* the first item is the origin: equal items give exact zeros, integers stay exact, and a large common offset does not
  cancel the differences away;
* equal items get equal rows (`tie_duplicates`), so that ties are broken by index and never by rounding.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from dynfocus.errors import UserError

SYMMETRIC_FROM = 256
"""Items from which a CPU computes the Gram matrix in symmetric blocks."""
SYMMETRIC_BLOCKS = 5
ALIGNED = 16
"""Items by which a symmetric block grows: what a matrix product computes at a time."""
CACHED_BYTES = 4 << 20
"""Centred samples that a CPU holds at a time, about the private caches of two cores."""
ROUNDING = 1e-6
"""A distance below this share of the two squared norms is rounding: the items are equal."""


def without_autocast(x: Tensor) -> AbstractContextManager:
    """No autocast on the device of `x`: what computes in fp32 does so for a reason. (The meta device has none.)"""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def origin(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The first real item (B, 1, c) of each sample of `x` (B, M, c), in fp32."""
    if mask is None:
        return x[:, :1].float()
    first = mask.to(torch.uint8).argmax(1)
    return x[torch.arange(x.shape[0], device=x.device), first][:, None].float()


def centred(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """fp32 copy of `x` (B, M, c) with the first real item of each sample as the origin."""
    return x.float() - origin(x, mask)


def centred_gram(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Inner products (B, M, M) of the items of `centred`.

    On a CPU the centred copies of a few samples at a time share one buffer, which stays in the cache from the
    subtraction to the product.
    """
    batch, items, channels = x.shape
    step = batch if x.is_cuda else max(1, min(batch, CACHED_BYTES // (4 * items * channels)))
    result = torch.empty(batch, items, items, device=x.device)
    buffer = torch.empty(step, items, channels, device=x.device)
    for part, first, out in zip(x.split(step), origin(x, mask).split(step), result.split(step), strict=True):
        gram(torch.sub(part.float(), first, out=buffer[: part.shape[0]]), out)
    return result


def gram(x: Tensor, out: Tensor) -> None:
    """Inner products (B, M, M) of fp32 items (B, M, c), to `out`; long samples on a CPU use their symmetry."""
    items = x.shape[1]
    if x.is_cuda or items < SYMMETRIC_FROM:
        torch.bmm(x, x.transpose(1, 2), out=out)
        return
    size = ALIGNED * -(-items // (ALIGNED * SYMMETRIC_BLOCKS))
    for start in range(0, items, size):
        stop = min(start + size, items)
        columns = torch.bmm(x[:, start:], x[:, start:stop].transpose(1, 2))
        out[:, start:, start:stop] = columns
        out[:, start:stop, stop:] = columns[:, stop - start :].transpose(1, 2)


def squared_distances(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared distances (B, M, M) of items `x` (B, M, c), symmetric, with a zero diagonal.

    `mask` (B, M) is True for real items; a distance to padding is infinite.
    Raises UserError when a real item holds NaN or infinity.
    """
    distance = centred_gram(x, mask)
    norms = distance.diagonal(dim1=1, dim2=2).clone()
    scale = norms[:, :, None] + norms[:, None, :]
    torch.add(scale, distance, alpha=-2.0, out=distance)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    if mask is not None:
        distance.masked_fill_(~(mask[:, :, None] & mask[:, None, :]), torch.inf)
    longest = (norms if mask is None else norms.masked_fill(~mask, 0.0)).amax(1)
    # On a CPU a look at the result says whether there is anything to tie. A device would have to be waited for, so
    # there the ties are always made: where no two items are equal they change nothing.
    if not on_host(x) or not bool((distance.amin((1, 2)) > 2.0 * ROUNDING * longest).all()):
        refuse_non_finite(norms, mask)
        distance = tie_duplicates(distance.masked_fill_(distance <= scale.mul_(ROUNDING), 0.0))
    distance.diagonal(dim1=1, dim2=2).zero_()
    return distance


def take_rows(x: Tensor, index: Tensor, out: Tensor | None = None) -> Tensor:
    """Rows `index` (B, K) of `x` (B, M, c): (B, K, c), to the contiguous `out` where given."""
    start = torch.arange(0, x.shape[0] * x.shape[1], x.shape[1], device=x.device)
    flat = None if out is None else out.flatten(0, 1)
    rows = torch.index_select(x.flatten(0, 1), 0, (index + start[:, None]).flatten(), out=flat)
    return rows.view(*index.shape, x.shape[2])


def tie_duplicates(distance: Tensor) -> Tensor:
    """Give items at distance zero the same row and column: those of the first of them. The diagonal becomes zero."""
    items = distance.shape[1]
    distance.diagonal(dim1=1, dim2=2).zero_()
    first = (distance == 0).to(torch.uint8).argmax(2)
    rows = take_rows(distance, first)
    return rows.gather(2, first[:, None, :].expand(-1, items, -1))


def on_host(x: Tensor) -> bool:
    """Whether values of `x` can be looked at now: without waiting for a device or breaking a graph in the making."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def refuse_non_finite(norms: Tensor, mask: Tensor | None) -> None:
    """Raise UserError when the squared norm (B, M) of a real item is NaN or infinite.

    On a device the check waits in its queue with the rest and ends the program there, without saying which item it was.
    """
    finite = norms.isfinite()
    if mask is not None:
        finite = finite | ~mask
    if not on_host(norms):
        torch._assert_async(finite.all(), "clustering: NaN, infinity or values too large for fp32 in the features")
        return
    if not bool(finite.all()):
        sample, item = (~finite).nonzero()[0].tolist()
        raise UserError(
            f"clustering: item {item} of sample {sample} holds NaN, infinity or values too large for fp32; "
            "check the features it came from"
        )
