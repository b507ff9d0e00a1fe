"""The training sets by name; the names are in `config/names.py`."""

from __future__ import annotations

from pathlib import Path

from dynfocus.config.names import TRAINING_SETS, imported
from dynfocus.config.nearest import require_known
from dynfocus.datasets.records import Record, TrainingSet


def training_set(name: str) -> TrainingSet:
    """The training set of that name; UserError with the nearest one where there is none."""
    require_known("datasets", [name], TRAINING_SETS, "training set")
    return imported(TRAINING_SETS[name])


def load_records(set_name: str, folder: Path | str) -> list[Record]:
    """Read the raw official files of a training set.

    Args:
        set_name: one of `config.names.TRAINING_SETS`.
        folder: `data/{set_name}` of the profile's root.

    Raises:
        UserError: unknown set, missing or broken file (the message names file, row and field).
    """
    return training_set(set_name).read(Path(folder))
