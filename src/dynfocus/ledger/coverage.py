"""Every video and image of a set opened, and the failures counted by kind.

A video counts as readable when it is not cut off, all of its packets can be walked and its first and last frame decode
(all of them, where its container tells too little to reach a frame alone); an image when all of it decodes. The
report names each failure, so that a set can be completed; nothing is skipped without being counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress

from dynfocus.config.names import BENCHMARKS, TRAINING_SETS
from dynfocus.datasets.media import IMAGE_SUFFIXES
from dynfocus.datasets.records import media_path
from dynfocus.datasets.registry import load_records
from dynfocus.errors import MediumError, UserError
from dynfocus.features.decode import check_video
from dynfocus.features.media import find, open_image
from dynfocus.files import read_json, write_json

if TYPE_CHECKING:
    from dynfocus.config.schema import Evaluation


VERIFY_AGAIN = "delete it and run `dynfocus verify-data` again"
MOST_FOLDERS = 8
"""Folders that a message names."""


@dataclass(frozen=True)
class Fault:
    """A medium that cannot be used, and why."""

    medium: str
    kind: str
    message: str


@dataclass(frozen=True)
class Report:
    """Readable media and samples of a set; a sample without a medium is readable."""

    set: str
    media: int
    readable_media: int
    samples: int
    readable_samples: int
    failures: dict[str, int]
    faults: list[Fault]
    searched: list[str]
    """Folders in which no medium of the set was found; empty where there is one."""

    @property
    def share(self) -> float:
        """Readable share of the media; 1 for a set without media."""
        return self.readable_media / self.media if self.media else 1.0


def samples_of_set(name: str, folder: Path, evaluation: Evaluation | None = None) -> list[str | None]:
    """The medium of every record or question of a set, in the order of its files; None for text alone.

    With the settings of an evaluation, those of a benchmark's sample alone.
    """
    if name in TRAINING_SETS:
        return [media_path(record) for record in load_records(name, folder)]
    from dynfocus.evaluation.benchmarks import benchmark, sampled

    adapter = benchmark(name)
    questions = adapter.load(folder)
    if evaluation is not None and evaluation.limit is not None:
        questions = sampled(adapter, questions, evaluation.limit, evaluation.limit_seed)
    return [question.video for question in questions]


def media_of_set(name: str, folder: Path, evaluation: Evaluation | None = None) -> list[str]:
    """Every video and image that a set uses, once, in the order of its files; of a benchmark's sample if it is one."""
    samples = samples_of_set(name, folder, evaluation)
    return list(dict.fromkeys(medium for medium in samples if medium is not None))


def inspect(name: str, folder: Path, threads: int) -> Report:
    """Open every medium of a set below `folder` with `threads` threads."""
    samples = samples_of_set(name, folder)
    media = list(dict.fromkeys(medium for medium in samples if medium is not None))
    faults: list[Fault] = []
    with ThreadPoolExecutor(threads) as pool, Progress(refresh_per_second=1) as progress:
        task = progress.add_task(f"opening {name}", total=len(media))
        for fault in pool.map(lambda medium: examine(folder, medium), media):
            progress.update(task, advance=1)
            if fault is not None:
                faults.append(fault)
    unusable = {fault.medium for fault in faults}
    nothing = bool(media) and [fault.kind for fault in faults] == ["missing"] * len(media)
    return Report(
        set=name,
        media=len(media),
        readable_media=len(media) - len(faults),
        samples=len(samples),
        readable_samples=sum(medium not in unusable for medium in samples),
        failures=dict(Counter(fault.kind for fault in faults).most_common()),
        faults=faults,
        searched=searched_in(name, folder, media) if nothing else [],
    )


def searched_in(name: str, folder: Path, media: Sequence[str]) -> list[str]:
    """The folders in which the media of a set are looked for, first those that its files name."""
    named = dict.fromkeys(str((folder / medium).parent) for medium in media)
    if name in BENCHMARKS:
        from dynfocus.evaluation.benchmarks import benchmark

        named |= dict.fromkeys(str(folder / sub) for sub in benchmark(name).video_folders)
    return list(named)


def examine(folder: Path, medium: str) -> Fault | None:
    """What is wrong with a video or image; None where it can be read."""
    try:
        path = find(folder, medium)
        open_image(path).close() if path.suffix.lower() in IMAGE_SUFFIXES else check_video(path)
    except MediumError as error:
        return Fault(medium, error.kind, str(error))
    return None


def write_report(report: Report, out: Path) -> None:
    """Write a report as JSON."""
    write_json(out, {**asdict(report), "share": round(report.share, 6)})


def summary(report: Report) -> str:
    """One line: what can be read, and the failures by kind."""
    failures = ", ".join(f"{count} {kind}" for kind, count in report.failures.items())
    return (
        f"{report.set}: {report.readable_media} of {report.media} media readable, "
        f"{report.readable_samples} of {report.samples} samples"
        + (f" ({failures})" if failures else "")
        + searched_text(report.searched)
    )


def searched_text(folders: Sequence[str]) -> str:
    """Where all media were looked for in vain, in words; empty without folders."""
    if not folders:
        return ""
    more = f" and {len(folders) - MOST_FOLDERS} more" if len(folders) > MOST_FOLDERS else ""
    return f"; searched {', '.join(folders[:MOST_FOLDERS])}{more}"


def require(file: Path, least: float) -> None:
    """Raise UserError where the report in `file` says that less than `least` of the media can be read."""
    values = read_json(file, dict, VERIFY_AGAIN)
    counts, searched = [values.get(name) for name in ("media", "readable_media")], values.get("searched", [])
    told = isinstance(values.get("set"), str) and isinstance(values.get("failures"), dict)
    listed = isinstance(searched, list) and all(isinstance(folder, str) for folder in searched)
    if not told or not listed or not all(type(count) is int for count in counts):
        raise UserError(f"{file}: no report on the media of a set; {VERIFY_AGAIN}")
    if values["media"] and values["readable_media"] / values["media"] < least:
        failures = ", ".join(f"{count} {kind}" for kind, count in values["failures"].items())
        raise UserError(
            f"{values['set']}: {values['readable_media']} of {values['media']} media are readable "
            f"({failures}{searched_text(searched)}), below "
            f"video.min_readable {least}; {file} names them: complete data/{values['set']}, or lower the limit"
        )


def threads_for(configured: int) -> int:
    """Threads for opening files: decoding leaves the interpreter, so one per core that the profile grants."""
    return max(1, min(configured, os.cpu_count() or 1))
