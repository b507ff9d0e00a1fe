"""The files of a benchmark's folder: which of several accepted layouts is there, and where each video lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynfocus.datasets.media import VIDEO_SUFFIXES
from dynfocus.errors import UserError


def first_file(folder: Path, patterns: Sequence[str]) -> Path:
    """The first annotation file that fits one of several accepted names or patterns, tried in their order."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                return path
    raise UserError(f"{folder}: none of {', '.join(patterns)} found; the folder layout is in docs/benchmarks/LAYOUT.md")


class VideoFolder:
    """Finds a video by its name, with or without suffix, below one of several accepted sub-folders of a data set.

    The answer is a path relative to the data set. A video that is not there keeps its official
    path, so that it is counted as missing and never skipped.
    """

    def __init__(self, data_set: Path, folders: Sequence[str], suffix: str = ".mp4"):
        self.folders = folders
        self.suffix = suffix
        self._paths: dict[str, str] = {}
        for folder in reversed(folders):
            for path in sorted((data_set / folder).glob("*"), reverse=True):
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self._paths[path.stem] = path.relative_to(data_set).as_posix()

    def __call__(self, *names: str) -> str:
        """Path of the video under the first of its possible names that is there; the first name is the official one."""
        stems = [stem_of(name) for name in names]
        found = next((self._paths[stem] for stem in stems if stem in self._paths), None)
        return found or f"{self.folders[0]}/{stems[0]}{self.suffix}"


def stem_of(name: str) -> str:
    """The name of a video without folder and without the suffix of a video, if it has one."""
    file = name.rpartition("/")[2]
    stem, dot, suffix = file.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else file
