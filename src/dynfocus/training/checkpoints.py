"""Rolling checkpoints that are known to be whole, and the atomic publication of a finished model.

A checkpoint counts only with its marker `complete.json`, written after every process has saved and all of it is on
disk, which lists each file and the SHA-256 of its content. A kill while saving leaves a folder without a marker, a
power cut may leave files that are shorter or zero; both are passed over and removed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.files import flush, read_model, write_json

MARKER = "complete.json"
SETTINGS = "settings.json"
PREFIX = "checkpoint-"
READERS = 8
"""Files whose content is hashed at once."""


@dataclass(frozen=True)
class Claim:
    """Whose checkpoints a work folder holds: the content of its `settings.json`."""

    identity: str
    layout: dict[str, int]


def mark_complete(checkpoint: Path) -> None:
    """Write the marker of a checkpoint that all processes have finished, once its files are on disk."""
    flush(checkpoint)
    write_json(checkpoint / MARKER, _contents(checkpoint), sort_keys=True)


def is_complete(checkpoint: Path) -> bool:
    """True if the marker exists and every file of the checkpoint has the content that it lists."""
    if not _is_marked(checkpoint):
        return False
    try:
        listed = read_model(dict[str, str], checkpoint / MARKER)
    except UserError:
        return False
    return bool(listed) and listed.items() <= _contents(checkpoint).items()


def newest_complete(work: Path) -> Path | None:
    """The marked checkpoint of the latest step, or None. Damaged ones are gone after `remove_incomplete`."""
    return max(filter(_is_marked, _checkpoints(work)), key=_step, default=None)


def remove_incomplete(work: Path) -> list[Path]:
    """Delete the checkpoints that a kill left unfinished or that are damaged; returns them."""
    broken = [checkpoint for checkpoint in _checkpoints(work) if not is_complete(checkpoint)]
    for checkpoint in broken:
        shutil.rmtree(checkpoint)
    return broken


def claim(work: Path, identity: Mapping[str, Any], layout: Mapping[str, int]) -> bool:
    """Bind a work folder to the training that it belongs to.

    Args:
        work: folder of the rolling checkpoints.
        identity: all that decides the result (settings, seed, data). Checkpoints of another identity are removed.
        layout: how the work is divided (processes, ZeRO stage). Optimizer states cannot be read in another layout.

    Returns:
        True if checkpoints of another identity were removed.

    Raises:
        UserError: there are checkpoints of this training in another layout.
    """
    mine = Claim(digest(identity), dict(layout))
    file = work / SETTINGS
    found = read_model(Claim, file, f"remove {work} to start again") if file.exists() else None
    removed = False
    if found is not None and found.identity != mine.identity:
        removed = bool(_checkpoints(work))
        shutil.rmtree(work)
    elif found is not None and found.layout != mine.layout and newest_complete(work) is not None:
        raise UserError(
            f"{work} holds checkpoints made with {_words(found.layout)}, now asked for {_words(mine.layout)}; "
            "resume as before, or remove the folder to start again"
        )
    write_json(file, asdict(mine))
    return removed


def digest(value: Mapping[str, Any]) -> str:
    """Hash of a JSON-able mapping, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_state(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file of a folder: enough to notice that it was made anew."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def publish(folder: Path, out: Path) -> None:
    """Put a finished folder, flushed to disk, in place of `out`: renamed, or copied where `out` is on another disk."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    _remove(partial)
    flush(folder)
    try:
        os.replace(folder, partial)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(folder, partial)
        flush(partial)
        shutil.rmtree(folder)
    _remove(out)
    os.replace(partial, out)


def _remove(folder: Path) -> None:
    """Remove a folder, or a link to one, if it is there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _contents(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint but its marker."""
    files = [file for file in sorted(checkpoint.rglob("*")) if file.is_file() and file != checkpoint / MARKER]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip((str(file.relative_to(checkpoint)) for file in files), pool.map(_sha256, files), strict=True))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_marked(checkpoint: Path) -> bool:
    return (checkpoint / MARKER).is_file()


def _checkpoints(work: Path) -> list[Path]:
    return [path for path in work.glob(f"{PREFIX}*") if path.is_dir() and path.name.removeprefix(PREFIX).isdigit()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def _words(layout: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in layout.items())
