"""The finished model of a stage as a folder that appears at once or not at all."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer

from dynfocus.files import write_json
from dynfocus.machine.launch import barrier, is_main
from dynfocus.training.base import save_without_llm
from dynfocus.training.checkpoints import publish
from dynfocus.training.data import Coverage

LOG_COLUMNS = (
    "step",
    "loss",
    "learning_rate",
    "grad_norm",
    "samples",
    "tokens",
    "tokens_per_second",
    "seconds",
    "peak_memory_gib",
)
OPTIONAL_COLUMNS = ("mfu", "held_out_loss")
"""Columns of trainings that measure them."""


def save_artefact(
    trainer: Trainer, processor: Any, coverage: Mapping[str, Coverage], out: Path, work: Path, llm: Path | None = None
) -> None:
    """Write model, processor, trainer state, log and coverage in `work`, rename the folder to `out`, remove `work`.

    All processes take part; the first one writes. Of a model whose LLM learned nothing, `llm` is the folder that holds
    it, and the artefact does not.
    """
    folder = work / "finished"
    if is_main() and folder.exists():
        shutil.rmtree(folder)
    barrier()
    if llm is None:
        trainer.save_model(str(folder))
    elif is_main():
        save_without_llm(trainer.accelerator.unwrap_model(trainer.model), llm, folder)
    if is_main():
        (folder / "training_args.bin").unlink(missing_ok=True)
        processor.save_pretrained(folder)
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        write_log(folder / "log.csv", trainer.state.log_history)
        write_json(folder / "coverage.json", {name: share.record() for name, share in coverage.items()}, sort_keys=True)
        shutil.move(work / "tensorboard", folder / "tensorboard")
        publish(folder, out)
        shutil.rmtree(work)
    barrier()


def write_log(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One line per optimizer step of the trainer's log history."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        entries = [entry for entry in history if "loss" in entry]
        measured = tuple(name for name in OPTIONAL_COLUMNS if any(name in entry for entry in entries))
        writer = csv.DictWriter(stream, LOG_COLUMNS + measured, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(entries)
