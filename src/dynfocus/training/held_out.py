"""Samples kept out of a training, and their loss while it runs.

Whole media are kept out, so that no film is both learned from and asked about. Their loss is taken with every rolling
checkpoint, without the noise of training, and draws nothing from its random streams.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dynfocus.datasets import media_path
from dynfocus.errors import UserError
from dynfocus.files import hash_of
from dynfocus.prompts import IGNORE
from dynfocus.training.data import Entry, Samples
from dynfocus.training.trainer import StageTrainer, answers_alone

LOSS = "held_out_loss"


def split(entries: Sequence[Entry], count: int) -> tuple[list[Entry], list[Entry]]:
    """Entries to learn from, and about `count` to hold out: those of whole media, by the hash of their names.

    Raises:
        UserError: nothing would be left to learn from.
    """
    groups: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        groups.setdefault(hash_of([entry.set_name, media_path(entry.record) or entry.record["id"]]), []).append(place)
    chosen: set[int] = set()
    for name in sorted(groups):
        if len(chosen) >= count:
            break
        chosen.update(groups[name])
    if len(chosen) == len(entries):
        raise UserError(f"held_out: {count} of {len(entries)} samples leave none to learn from; lower it")
    kept = [entry for place, entry in enumerate(entries) if place not in chosen]
    return kept, [entry for place, entry in enumerate(entries) if place in chosen]


class HeldOutLoss(TrainerCallback):
    """Log `held_out_loss`, the mean over all answer tokens of the samples held out, with every checkpoint."""

    def __init__(self, samples: Samples, batch: int) -> None:
        """`batch`: samples per forward pass of each process."""
        self.samples, self.batch = samples, batch
        self.trainer: StageTrainer | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        due = state.global_step % args.save_steps == 0 or state.global_step == state.max_steps
        if due and self.trainer is not None:
            started = time.perf_counter()
            self.trainer.note({LOSS: self.loss(args)}, time.perf_counter() - started)

    @torch.no_grad()
    def loss(self, args: TrainingArguments) -> float:
        """The mean loss over the samples of all processes, each of which takes every world-th batch."""
        trainer = self.trainer
        assert trainer is not None
        model: Any = trainer.model
        collate: Any = trainer.data_collator
        total = torch.zeros(2, dtype=torch.float64)
        batches = range(0, len(self.samples), self.batch)[args.process_index :: args.world_size]
        model.eval()
        with torch.random.fork_rng():
            for start in batches:
                chosen = range(start, min(start + self.batch, len(self.samples)))
                inputs = trainer.ready(collate([self.samples[index] for index in chosen]))
                labels = answers_alone(inputs)["labels"]
                logits = model(**{k: v for k, v in answers_alone(inputs).items() if k != "labels"}).logits
                asked = labels != IGNORE
                total += torch.tensor(
                    [float(cross_entropy(logits[asked].float(), labels[asked], reduction="sum")), int(asked.sum())],
                    dtype=torch.float64,
                )
        model.train()
        if dist.is_initialized() and dist.get_world_size() > 1:
            total = total.to(args.device)
            dist.all_reduce(total)
        return round(float(total[0] / total[1]), 6)
