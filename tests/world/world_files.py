"""Annotations of every set of the mini world, with empty files in place of the rendered media."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.world import export

TINY = {"train_clips": 6, "train_films": 6, "extra_films": 6, "train_images": 6, "test_films": 9, "frame_size": 128}


def with_world(config, **settings):
    """The configuration with other settings of its world."""
    return config.model_copy(update={"world": config.world.model_copy(update=settings)})


def write_annotations(config, folder: Path, names=export.SETS) -> dict[str, dict[Path, object]]:
    """Write sets below `folder` and return which film every medium of every set shows."""
    films: dict[str, dict[Path, object]] = {name: {} for name in names}

    def note(path: Path, film, world) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        films[path.relative_to(folder).parts[0]][path] = film

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "write_medium", note)
        for name in names:
            export.prepare(config, name, folder / name)
    return films
