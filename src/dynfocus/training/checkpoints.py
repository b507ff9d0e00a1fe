"""Rolling checkpoints that are known to be whole, and the atomic publication of a finished model.

A checkpoint counts only with its marker `complete.json`, written after every process has saved, which lists each file
and its size. A kill while saving leaves a folder without a marker; it is passed over and removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError

MARKER = "complete.json"
SETTINGS = "settings.json"
PREFIX = "checkpoint-"


def mark_complete(checkpoint: Path) -> None:
    """Write the marker of a checkpoint that all processes have finished."""
    sizes = {
        str(file.relative_to(checkpoint)): file.stat().st_size
        for file in sorted(checkpoint.rglob("*"))
        if file.is_file() and file.name != MARKER
    }
    write_json(checkpoint / MARKER, sizes)


def is_complete(checkpoint: Path) -> bool:
    """True if the marker exists and every file that it lists has its size."""
    try:
        sizes = json.loads((checkpoint / MARKER).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    files = {checkpoint / name: size for name, size in sizes.items()}
    return bool(files) and all(file.is_file() and file.stat().st_size == size for file, size in files.items())


def newest_complete(work: Path) -> Path | None:
    """The complete checkpoint of the latest step, or None."""
    complete = [checkpoint for checkpoint in _checkpoints(work) if is_complete(checkpoint)]
    return max(complete, key=_step, default=None)


def remove_incomplete(work: Path) -> list[Path]:
    """Delete the checkpoints that a kill left unfinished; returns them."""
    broken = [checkpoint for checkpoint in _checkpoints(work) if not is_complete(checkpoint)]
    for checkpoint in broken:
        shutil.rmtree(checkpoint)
    return broken


def claim(work: Path, identity: Mapping[str, Any], layout: Mapping[str, Any]) -> bool:
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
    mine = {"identity": digest(identity), "layout": dict(layout)}
    file = work / SETTINGS
    found = json.loads(file.read_text()) if file.exists() else None
    removed = False
    if found is not None and found["identity"] != mine["identity"]:
        removed = bool(_checkpoints(work))
        shutil.rmtree(work)
    elif found is not None and found["layout"] != mine["layout"] and newest_complete(work) is not None:
        raise UserError(
            f"{work} holds checkpoints made with {_words(found['layout'])}, now asked for {_words(mine['layout'])}; "
            "resume as before, or remove the folder to start again"
        )
    work.mkdir(parents=True, exist_ok=True)
    write_json(file, mine)
    return removed


def digest(value: Mapping[str, Any]) -> str:
    """Hash of a JSON-able mapping, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_state(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file of a folder: enough to notice that it was made anew."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def publish(folder: Path, out: Path) -> None:
    """Put a finished folder in place of `out` by renaming; both must lie on one file system."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        shutil.rmtree(out)
    os.replace(folder, out)


def write_json(path: Path, value: Any) -> None:
    """Write JSON through a temporary file, so that the file is either old or new, never half."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)


def _checkpoints(work: Path) -> list[Path]:
    return [path for path in work.glob(f"{PREFIX}*") if path.is_dir() and path.name.removeprefix(PREFIX).isdigit()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def _words(layout: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in layout.items())
