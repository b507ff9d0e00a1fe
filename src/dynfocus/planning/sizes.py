"""Samples, media, frames and bytes of every set: as published, or as the mini world makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dynfocus.config.extensions import installed
from dynfocus.config.schema import Config, Video
from dynfocus.errors import UserError
from dynfocus.ledger.entries import Ledger, entry_of, load_ledger
from dynfocus.planning.tables import number, rows

FIRST_FRAME = 1


@dataclass(frozen=True)
class SetSize:
    """One training set or benchmark.

    `samples`: records or questions; `media`: films or images; `frames`: mean frames read per medium;
    `rounds`: questions about one medium within a sample; `text_tokens`: mean LLM tokens of a sample without frames;
    `judged`: calls of the judge; `gigabytes`: to download, None where nothing can be.
    """

    samples: int
    media: int
    frames: float
    rounds: float
    text_tokens: float
    judged: int
    gigabytes: float | None
    source: str

    @property
    def all_frames(self) -> float:
        """Frames of all media: what the visual encoder sees, and the feature store holds."""
        return self.media * self.frames


def size_row(name: str) -> Mapping[str, str]:
    """What is recorded of a set, by the columns of `data/sets.csv`.

    A set of another package brings such a mapping by an entry point of the group `dynfocus.set_sizes`; UserError where
    it brings none.
    """
    recorded = rows("sets", "set")
    if name in recorded:
        return recorded[name]
    columns = next(iter(recorded.values()))
    for point in installed("set_sizes"):
        if point.name == name:
            return dict.fromkeys(columns, "") | {key: str(value) for key, value in point.load().items()}
    raise UserError(
        f"no size is known of the set {name}: add it to src/dynfocus/planning/data/sets.csv, "
        "or an entry point dynfocus.set_sizes to its package"
    )


def set_size(config: Config, name: str) -> SetSize:
    """The size of a set under a profile: its sampling, and real or generated media."""
    row = size_row(name)
    image = row["kind"] == "image"
    if config.source == "world":
        return _world_size(config, name, row, image)
    samples, media = int(row["samples"]), int(row["media"])
    used = min(samples, config.max_samples.get(name, samples))
    return SetSize(
        samples=used,
        media=max(1, round(media * used / samples)),
        frames=1 if image else frames_of(float(row["seconds"]), config.video),
        rounds=float(row["rounds"]),
        text_tokens=float(row["text_tokens"]),
        judged=int(row["judged"]),
        gigabytes=_download(config, name, number(row["gigabytes"])),
        source=row["source"],
    )


@dataclass(frozen=True)
class Longest:
    """The longest sample of a training set, taken together: `frames`, `rounds` and all its `text_tokens`."""

    frames: float
    rounds: int
    text_tokens: int


def longest_sample(config: Config, name: str) -> Longest:
    """What decides whether a training on a set fits; in the mini world a mean sample is the longest, nearly."""
    size, row = set_size(config, name), size_row(name)
    if config.source == "world" or not row["longest_rounds"]:
        return Longest(size.frames, round(size.rounds), round(size.text_tokens))
    frames = 1 if row["kind"] == "image" else frames_of(float(row["longest_seconds"]), config.video)
    return Longest(frames, int(row["longest_rounds"]), int(row["longest_text"]))


def frames_of(seconds: float, video: Video) -> float:
    """Frames read of a film of `seconds`: `video.fps` a second, thinned over the limit."""
    frames = max(FIRST_FRAME, seconds * video.fps)
    return frames if frames <= video.max_frames else video.capped_frames


def _download(config: Config, name: str, recorded: float | None) -> float | None:
    """Gigabytes to fetch: the published sizes of the data ledger; the recorded one where the ledger has a gap."""
    entry = entry_of(_ledger(config.ledger), name, Path(config.ledger))
    if entry.status == "withdrawn":
        return None
    published = entry.download_bytes / 1e9
    return published if published and not entry.unknown_sizes else max(published, recorded or 0.0)


@cache
def _ledger(file: str) -> Ledger:
    return load_ledger(Path(file))


def _world_size(config: Config, name: str, row: Mapping[str, str], image: bool) -> SetSize:
    from dynfocus.world.export import world_set

    made = world_set(name)
    media = made.media(config.world)
    samples = media * int(row["per_film"])
    return SetSize(
        samples=samples,
        media=media,
        frames=1 if image else frames_of(made.seconds, config.video),
        rounds=1,
        text_tokens=40 if row["per_film"] == "1" else 65,
        judged=samples if int(row["judged"]) else 0,
        gigabytes=0.0,
        source="the mini world of this profile",
    )
