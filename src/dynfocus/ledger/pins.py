"""What downloads recorded: commits, sizes and checksums that nobody publishes.

A download writes `data/{set}/source.json`. `dynfocus datasets --pin` merges those of a profile into
`config/datasets.lock.json`, beside the ledger; once that is committed, everybody's download is checked against it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dynfocus.errors import UserError

SOURCE = "source.json"
LOCK = "datasets.lock.json"
Check = Literal["published", "recorded", "first download", "by hand"]


@dataclass(frozen=True)
class FileRecord:
    """One downloaded file: address, size, checksum and what that was held against, commit of its repository."""

    url: str
    bytes: int
    sha256: str
    check: Check
    commit: str | None = None


@dataclass(frozen=True)
class PartRecord:
    """One finished part: what it came from, its downloaded files, and how many files and bytes it left on disk."""

    origin: str
    to: str
    files: list[FileRecord] = field(default_factory=list)
    members: int = 0
    unpacked_bytes: int = 0


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
    for values in _read(lock_file(ledger), {}).values():
        pins.update({url: Pin(**pin) for url, pin in values.items()})
    return pins


def pins_of(parts: list[PartRecord]) -> Pins:
    """The files of finished parts as pins."""
    return {file.url: Pin(file.bytes, file.sha256, file.commit) for part in parts for file in part.files}


def read_parts(folder: Path) -> list[PartRecord]:
    """Parts of a set that are finished, by its `source.json`; none where there is no such file."""
    rows = _read(folder / SOURCE, {"parts": []})["parts"]
    return [PartRecord(**{**row, "files": [FileRecord(**file) for file in row["files"]]}) for row in rows]


def write_parts(folder: Path, name: str, parts: list[PartRecord]) -> None:
    """Write `source.json` of a set, all at once."""
    write_json(folder / SOURCE, {"set": name, "parts": [asdict(part) for part in parts]})


def write_lock(ledger: Path, data: Path, sets: list[str]) -> list[str]:
    """Merge the records of downloaded sets below `data` into the lock file; returns the sets that had one."""
    locked = _read(lock_file(ledger), {})
    found = {name: pins_of(read_parts(data / name)) for name in sets}
    found = {name: pins for name, pins in found.items() if pins}
    for name, pins in found.items():
        locked[name] = {url: asdict(pin) for url, pin in sorted(pins.items())}
    write_json(lock_file(ledger), {name: locked[name] for name in sorted(locked)})
    return list(found)


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file that is either the old or the new one, whatever happens."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, file)


def _read(file: Path, default: Any) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}: not valid JSON ({error}); restore it, or delete it to record downloads anew"
        ) from None
