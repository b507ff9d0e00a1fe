"""Where the video or image of a record really lies.

Downloads come in other containers than the annotations name (ActivityNet as mkv, OCR-VQA as png), and Visual Genome
is unpacked into one folder by some. `locate` finds those; whatever it does not find is missing and counted as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dynfocus.datasets.records import Record, media_path

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv"),
    *(".ts", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".gif"),
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
GENOME_FOLDERS = ("vg/VG_100K/", "vg/VG_100K_2/")


def locate(folder: Path, media: str) -> Path | None:
    """File of the medium `media` (a record's path) below the set's folder, or None if there is none."""
    return next((path for path in _candidates(folder, media) if path.is_file()), None)


def media_of(records: Iterable[Record]) -> list[str]:
    """The distinct media paths of the records, in the order of their first use."""
    return list(dict.fromkeys(path for record in records if (path := media_path(record)) is not None))


def _candidates(folder: Path, media: str) -> Iterable[Path]:
    path = folder / media
    yield path
    suffixes = VIDEO_SUFFIXES if path.suffix.lower() in VIDEO_SUFFIXES else IMAGE_SUFFIXES
    for suffix in suffixes:
        yield path.with_suffix(suffix)
    for prefix in GENOME_FOLDERS:
        if media.startswith(prefix):
            yield folder / "vg/images" / media.removeprefix(prefix)
