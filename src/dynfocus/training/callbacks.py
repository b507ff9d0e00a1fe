"""What happens beside the steps of a training: the live line, TensorBoard, and the marks of whole checkpoints."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dynfocus.files import flush
from dynfocus.machine.launch import barrier, is_main
from dynfocus.training.checkpoints import PREFIX, mark_complete

SCALARS = (
    "loss",
    "held_out_loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "tokens",
    "mfu",
    "peak_memory_gib",
)
PLAIN_INTERVAL = 15.0


class CompleteMarker(TrainerCallback):
    """Mark a checkpoint as whole once every process has saved its part and seen it reach the disk."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        checkpoint = Path(str(args.output_dir)) / f"{PREFIX}{state.global_step}"
        flush(checkpoint)
        barrier()
        if is_main():
            mark_complete(checkpoint)


class LiveLine(TrainerCallback):
    """Progress of the main process: a bar on a terminal, a line every 15 seconds in a log file."""

    def __init__(self, title: str) -> None:
        """`title` names stage, run and seed."""
        self.title = title
        self.bar: tqdm | None = None
        self.written = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if is_main():
            self.started, self.first_step = time.monotonic(), state.global_step
            self.bar = tqdm(
                desc=self.title,
                total=state.max_steps,
                initial=state.global_step,
                unit="step",
                disable=not sys.stderr.isatty(),
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.bar is None or logs is None or "loss" not in logs:
            return
        figures = f"loss {logs['loss']:.4f}, {logs['tokens_per_second']:,.0f} tokens/s"
        self.bar.set_postfix_str(figures, refresh=False)
        self.bar.update(state.global_step - self.bar.n)
        if self.bar.disable:
            self._plain_line(state, figures)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def _plain_line(self, state: TrainerState, figures: str) -> None:
        now = time.monotonic()
        if now - self.written < PLAIN_INTERVAL and state.global_step < state.max_steps:
            return
        self.written = now
        left = (now - self.started) / (state.global_step - self.first_step) * (state.max_steps - state.global_step)
        line = f"{self.title}: step {state.global_step}/{state.max_steps}, {figures}, {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)


class TensorBoard(TrainerCallback):
    """Scalars of every log entry as TensorBoard events; a resumed run drops what lies after its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if is_main():
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step + 1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        for name in SCALARS:
            if self.writer is not None and logs is not None and name in logs:
                self.writer.add_scalar(f"train/{name}", logs[name], state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.writer is not None:
            self.writer.close()
