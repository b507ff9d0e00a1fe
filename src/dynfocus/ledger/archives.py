"""Archives unpacked without leaving their folder: zip and tar (plain, gzip, bzip2, xz), whole or in pieces.

Refused: paths that are absolute or climb out, links and devices, encrypted members, and archives that grow out of all
proportion. A member is written beside its place and renamed, so that one that is there is whole.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from dynfocus.errors import UserError

COPY = 1 << 20
GROWTH = 200
"""Unpacked bytes allowed per byte of the archive; annotations in JSON come to about 20."""
ALLOWANCE = 1 << 30
"""Unpacked bytes allowed in any case."""
BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


@dataclass(frozen=True)
class Unpacked:
    """What an archive left on disk."""

    members: int
    bytes: int


@dataclass(frozen=True)
class Choice:
    """Which members of an archive are unpacked, and to where.

    `strip`: leading folders that are left out, and members with no more than those with them; `below`: only what lies
    in a folder of this name, wherever it is, without what leads to it; `keep`: how much of a path's end stays; `only`:
    pattern of the path in the archive.
    """

    strip: int = 0
    below: str | None = None
    keep: int | None = None
    only: str | None = None

    def place(self, path: PurePosixPath) -> tuple[str, ...]:
        """Parts of the path below the folder that is unpacked into; none for a member that is not wanted."""
        if self.only is not None and not fnmatch.fnmatchcase(str(path), self.only):
            return ()
        parts = path.parts[self.strip :]
        if self.below is not None:
            parts = parts[parts.index(self.below) + 1 :] if self.below in parts[:-1] else ()
        return parts[-self.keep :] if self.keep else parts


EVERYTHING = Choice()


def unpack(pieces: Sequence[Path], out: Path, choice: Choice = EVERYTHING) -> Unpacked:
    """Unpack an archive below `out`.

    Args:
        pieces: the archive, or the files that it was cut into, in order.
        choice: which members, and to where.

    Raises:
        UserError: a member that would leave `out`, a link, a bomb, a broken archive, or two members at one place.
    """
    name, size = pieces[0], sum(piece.stat().st_size for piece in pieces)
    limit = max(ALLOWANCE, GROWTH * size)
    members = written = 0
    taken: set[Path] = set()
    try:
        with io.BufferedReader(Joined(pieces), COPY) as stream:
            for path, declared, content in _members(stream, name):
                target = _target(path, out, choice, name)
                if target is None:
                    continue
                if target in taken:
                    raise UserError(
                        f"{name}: {path} and another member both go to {target}; correct the ledger's `keep`"
                    )
                taken.add(target)
                members += 1
                written += declared
                if written > limit:
                    raise UserError(
                        f"{name}: unpacks to more than {limit:,} bytes, {GROWTH} times its size; not a data archive: "
                        "delete it and check where it came from"
                    )
                _write(content, target, declared, name)
    except BROKEN as error:
        raise UserError(
            f"{name}: broken archive ({' '.join(str(error).split()) or type(error).__name__}); "
            "delete it, download it again"
        ) from error
    if not members:
        raise UserError(f"{name}: holds no file to unpack with {choice}; correct the ledger")
    return Unpacked(members, written)


class Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, pieces: Sequence[Path]):
        self._files = [piece.open("rb") for piece in pieces]
        self._ends: list[int] = []
        for piece in pieces:
            self._ends.append((self._ends[-1] if self._ends else 0) + piece.stat().st_size)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:
        """Read from the file that holds the position; a short read at its end is followed by the next file."""
        for number, end in enumerate(self._ends):
            if self._at < end:
                begin = self._ends[number - 1] if number else 0
                self._files[number].seek(self._at - begin)
                count = self._files[number].readinto(buffer)
                self._at += count
                return count
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def _members(stream: IO[bytes], name: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(path, size, content) of every file of an archive; folders are left out, links and devices refused."""
    if stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _zip_members(stream, name)
    else:
        stream.seek(0)
        yield from _tar_members(stream, name)


def _zip_members(stream: IO[bytes], name: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            kind = member.external_attr >> 28
            if member.is_dir():
                continue
            if kind not in (0, 0o10):
                raise UserError(f"{name}: member {member.filename} is a link or device; not a data archive")
            if member.flag_bits & 1:
                raise UserError(f"{name}: member {member.filename} is encrypted; unpack the archive by hand")
            with archive.open(member) as content:
                yield member.filename, member.file_size, content


def _tar_members(stream: IO[bytes], name: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                raise UserError(f"{name}: member {member.name} is a link or device; not a data archive")
            yield member.name, member.size, content


def _target(path: str, out: Path, choice: Choice, name: Path) -> Path | None:
    """Where a member goes; None for one that is not wanted."""
    pure = PurePosixPath(path)
    drive = len(path) > 1 and path[1] == ":"
    if pure.is_absolute() or drive or ".." in pure.parts or "\\" in path or "\0" in path:
        raise UserError(f"{name}: member {path!r} would leave its folder; not a data archive")
    parts = choice.place(pure)
    return out.joinpath(*parts) if parts else None


def _write(content: IO[bytes], target: Path, declared: int, name: Path) -> None:
    """Write a member; its declared size is not believed but checked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    left = declared
    with partial.open("wb") as stream:
        while block := content.read(min(COPY, left + 1)):
            left -= len(block)
            if left < 0:
                partial.unlink()
                raise UserError(f"{name}: member {target.name} is longer than it says; not a data archive")
            stream.write(block)
    if left:
        partial.unlink()
        raise UserError(
            f"{name}: member {target.name} ends {left:,} bytes early; delete the archive, download it again"
        )
    os.replace(partial, target)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise UserError where the disk of `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{what}: needs about {needed / 1e9:,.1f} GB below {folder}, {free / 1e9:,.1f} GB are free; "
            "make room, or set `root` to a larger disk"
        )
