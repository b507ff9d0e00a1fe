"""What downloads recorded: commits, sizes and checksums that nobody publishes.

A download writes `data/{set}/source.json`. `dynfocus datasets --pin` merges those of a profile into
`config/datasets.lock.json`, beside the ledger; once that is committed, everybody's download is checked against it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import with_config

from dynfocus.files import read_model, write_json

SOURCE = "source.json"
LOCK = "datasets.lock.json"
RESTORE = "restore it, or delete it to record downloads anew"
Check = Literal["published", "recorded", "first download", "by hand"]


@with_config(extra="forbid")
@dataclass(frozen=True)
class FileRecord:
    """One downloaded file: address, size, checksum and what that was held against, commit of its repository."""

    url: str
    bytes: int
    sha256: str
    check: Check
    commit: str | None = None


@with_config(extra="forbid")
@dataclass(frozen=True)
class PartRecord:
    """One finished part: what it came from, its downloaded files, and how many files and bytes it left on disk."""

    origin: str
    to: str
    files: list[FileRecord] = field(default_factory=list)
    members: int = 0
    unpacked_bytes: int = 0


@with_config(extra="forbid")
@dataclass(frozen=True)
class SetRecord:
    """The finished parts of a set: the content of its `source.json`."""

    set: str
    parts: list[PartRecord]


@with_config(extra="forbid")
@dataclass(frozen=True)
class Pin:
    """A file as somebody first downloaded it."""

    bytes: int
    sha256: str
    commit: str | None = None


Pins = dict[str, Pin]
"""Pins by the address of the file, which for the hub leaves the commit out."""


def lock_file(ledger: Path) -> Path:
    """The lock file beside a ledger."""
    return ledger.with_name(LOCK)


def read_pins(ledger: Path, folder: Path | None = None) -> Pins:
    """Pins of the lock file beside `ledger`, and those of an earlier download into `folder` where it has none."""
    pins = pins_of(read_parts(folder)) if folder is not None else {}
    for locked in read_lock(ledger).values():
        pins.update(locked)
    return pins


def read_lock(ledger: Path) -> dict[str, Pins]:
    """Pins of each set in the lock file beside `ledger`; none where there is no such file."""
    file = lock_file(ledger)
    return read_model(dict[str, Pins], file, RESTORE) if file.exists() else {}


def pins_of(parts: list[PartRecord]) -> Pins:
    """The files of finished parts as pins."""
    return {file.url: Pin(file.bytes, file.sha256, file.commit) for part in parts for file in part.files}


def read_parts(folder: Path) -> list[PartRecord]:
    """Parts of a set that are finished, by its `source.json`; none where there is no such file."""
    file = folder / SOURCE
    return read_model(SetRecord, file, RESTORE).parts if file.exists() else []


def write_parts(folder: Path, name: str, parts: list[PartRecord]) -> None:
    """Write `source.json` of a set, all at once."""
    write_json(folder / SOURCE, asdict(SetRecord(name, parts)), indent=2)


def write_lock(ledger: Path, data: Path, sets: list[str]) -> list[str]:
    """Merge the records of downloaded sets below `data` into the lock file; returns the sets that had one."""
    locked = read_lock(ledger)
    found = {name: pins_of(read_parts(data / name)) for name in sets}
    found = {name: pins for name, pins in found.items() if pins}
    for name, pins in found.items():
        locked[name] = dict(sorted(pins.items()))
    values = {name: {url: asdict(pin) for url, pin in locked[name].items()} for name in sorted(locked)}
    write_json(lock_file(ledger), values, indent=2)
    return list(found)
