"""One tar per artefact: few large files for DVC, equal bytes for equal content, unpacked as a whole or not.

Names, modes and times in a tar are fixed, so packing the same files twice gives the same bytes and
nothing new is stored. Compressed lightly (xz): answers shrink to a tenth, a thousand small films by
a third, weights by a tenth.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from dynfocus.errors import UserError

PRESET: Final = 1
SUFFIX: Final = ".tar.xz"
BROKEN = (OSError, EOFError, lzma.LZMAError, tarfile.TarError)
"""What reading a pack that is missing, cut off or damaged raises."""
APART = ("tensorboard",)
"""Folders that stay where they were made: they name the machine and repeat log.csv."""


def write_pack(pack: Path, root: Path, members: Iterable[Path]) -> None:
    """Pack files and folders below `root` under their names relative to it; the tar appears at once."""
    names = sorted({name for member in members for name in _names(member, root)})
    pack.parent.mkdir(parents=True, exist_ok=True)
    partial = pack.with_name(f".{pack.name}.partial")
    with tarfile.open(partial, mode="w:xz", format=tarfile.PAX_FORMAT, preset=PRESET) as tar:
        for name in names:
            file = root / name
            entry = tarfile.TarInfo(name)
            entry.size = file.stat().st_size
            with file.open("rb") as stream:
                tar.addfile(entry, stream)
    os.replace(partial, pack)


def unpack(pack: Path, root: Path, wanted: Sequence[Path]) -> list[Path]:
    """Put the `wanted` files and folders of a pack in their places below `root`.

    A folder is replaced by one rename; of single files those named `manifest.json` come last, so a
    kill in between leaves no artefact that counts as finished. Returns what was put in place.
    """
    names = {path.relative_to(root).as_posix(): path for path in wanted}
    scratch = root / "work" / "pulled"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            with tarfile.open(pack) as tar:
                entries = [entry for entry in tar if any(_is_below(entry.name, name) for name in names)]
                tar.extractall(folder, members=entries, filter="data")
        except BROKEN as error:
            raise UserError(f"{pack}: cannot be unpacked: {error}; delete it and pull again") from None
        found = [path for name, path in names.items() if (Path(folder) / name).exists()]
        for path in sorted(found, key=lambda path: path.name.endswith("manifest.json")):
            _replace(Path(folder) / path.relative_to(root), path, Path(folder))
    return found


def members(pack: Path) -> dict[str, str]:
    """The name and the SHA-256 of every file in a pack; nothing where there is none, or none that can be read."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(pack) as tar:
            for entry in tar:
                if stream := tar.extractfile(entry):
                    found[entry.name] = hashlib.sha256(stream.read()).hexdigest()
    except BROKEN:
        return {}
    return found


def _replace(source: Path, target: Path, scratch: Path) -> None:
    _touch(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.move(target, Path(tempfile.mkdtemp(dir=scratch)))
    os.replace(source, target)


def _touch(path: Path) -> None:
    """The time of arrival in place of the fixed time in the tar."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(file)


def _names(member: Path, root: Path) -> list[str]:
    if member.is_file():
        return [member.relative_to(root).as_posix()]
    files = (file for file in member.rglob("*") if file.is_file() and not file.name.startswith("."))
    return [file.relative_to(root).as_posix() for file in files if not set(APART) & set(file.parts)]


def _is_below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}/")
