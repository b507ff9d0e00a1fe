"""Saving in time: after the first step, and before the job's time ends.

A checkpoint that cannot be written (a full disk, a setting that the library refuses) shows at step 1, not after the
hours that lie before the first regular one. A scheduler sends `SIGNAL` some minutes before it ends a job; the training
then saves after the step at hand and stops with an error, so that the job is sent again and goes on.
"""

from __future__ import annotations

import signal
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SIGNAL = signal.SIGURG
"""Every other program of a job (shells, Snakemake, srun, torchrun) ignores this signal unless told otherwise."""


class SaveInTime(TrainerCallback):
    """Ask for a checkpoint at step 1 and once `SIGNAL` has come to any process; `stopped` says that it came."""

    def __init__(self) -> None:
        self.warned = False
        self.stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.before = signal.signal(SIGNAL, self._warn)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.stopped = self._any_warned(args.device) and state.global_step < state.max_steps
        control.should_save |= state.global_step == 1 or self.stopped
        control.should_training_stop |= self.stopped

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        signal.signal(SIGNAL, self.before)

    def _warn(self, *_: Any) -> None:
        self.warned = True

    def _any_warned(self, device: torch.device) -> bool:
        """The signal reaches processes between different steps; all must stop after the same one."""
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return self.warned
        warned = torch.tensor(int(self.warned), device=device)
        dist.all_reduce(warned, op=dist.ReduceOp.MAX)
        return bool(warned)
