"""The training loop that the three mini backbones share."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

WARMUP = 0.05
"""Share of the steps with a rising learning rate."""
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to a twentieth of the peak."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def optimizers(model: nn.Module, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms, biases and convolutions.

    Muon's steps have the root mean square of AdamW's, so that both take the same rate. What a small transformer learns
    late, which word belongs to which, it learns in half the steps.
    """
    inner = (nn.Linear, nn.MultiheadAttention)
    embedded = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    weights = (own for part in model.modules() if isinstance(part, inner) for own in part.parameters(recurse=False))
    matrices = {id(own) for own in weights if own.ndim == 2} - embedded
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    blocks = [parameter for parameter in parameters if id(parameter) in matrices]
    others = [parameter for parameter in parameters if id(parameter) not in matrices]
    made: list[torch.optim.Optimizer] = []
    if blocks:
        made.append(torch.optim.Muon(blocks, lr=peak, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"))
    if others:
        made.append(torch.optim.AdamW(others, lr=peak, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True))
    return made


def optimize(model: nn.Module, losses: Iterator[torch.Tensor], steps: int, peak: float, what: str) -> float:
    """Train on `steps` losses drawn from the iterator; returns the last loss, smoothed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    made = optimizers(model, peak)
    model.train()
    smooth = math.nan
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=1) as progress:
        task = progress.add_task(what, total=steps)
        for step in range(steps):
            loss = next(losses)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            for optimizer in made:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, steps, peak)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            smooth = loss.item() if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss.item()
            progress.update(task, advance=1, description=f"{what}, loss {smooth:.3f}")
    model.eval()
    return smooth
