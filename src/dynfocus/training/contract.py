"""The training contract: global batch = world × micro × accumulation, and what follows from it.

Whatever the number of processes, the same samples make up the same optimizer steps; only how a step is divided changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dynfocus.config.checks import accumulation
from dynfocus.config.schema import Stage
from dynfocus.errors import UserError

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Plan:
    """How the steps of a stage are divided among processes."""

    global_batch: int
    world: int
    micro_batch: int
    accumulation: int
    steps_per_epoch: int
    max_steps: int
    warmup_steps: int


def make_plan(stage: Stage, samples: int, world: int) -> Plan:
    """Divide a stage of `samples` samples among `world` processes; incomplete last batches are left out.

    Raises:
        UserError: see `accumulation`, or fewer samples than one global batch.
    """
    passes = accumulation(stage.global_batch, world, stage.micro_batch)
    per_epoch = samples // stage.global_batch
    if per_epoch == 0:
        raise UserError(
            f"the mixture has {samples} samples, fewer than one global_batch of {stage.global_batch}; "
            "add data or lower global_batch"
        )
    steps = max(1, round(stage.epochs * per_epoch))
    return Plan(
        stage.global_batch,
        world,
        stage.micro_batch,
        passes,
        per_epoch,
        steps,
        math.ceil(stage.warmup_ratio * steps),
    )


def deepspeed_config(stage: Stage, plan: Plan, device: str) -> dict[str, Any]:
    """DeepSpeed settings of a stage: ZeRO stage, type, batch sizes. The trainer makes the optimizer, torch's AdamW."""
    zero: dict[str, Any] = {"stage": stage.zero_stage}
    if stage.zero_stage > 0:
        zero |= {"overlap_comm": device == "cuda" and stage.zero_stage > 1, "contiguous_gradients": True}
    # Sums of many bf16 gradients lose what is small against them. DeepSpeed has no such sum in ZeRO-0, for which its
    # ZeRO-1 stands: the same optimizer, divided.
    summed = stage.precision == "bf16" and plan.accumulation > 1
    if summed:
        zero["stage"] = max(1, stage.zero_stage)
    return {
        **({"data_types": {"grad_accum_dtype": "fp32"}} if summed else {}),
        "train_batch_size": plan.global_batch,
        "train_micro_batch_size_per_gpu": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "gradient_clipping": MAX_GRADIENT_NORM,
        "zero_optimization": zero,
        "bf16": {"enabled": stage.precision == "bf16"},
        "steps_per_print": 2**31 - 1,
    }
