"""JSON lines files that survive a kill: append with sync, drop a torn tail, replace atomically; rows read as types."""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dynfocus.errors import UserError
from dynfocus.files import parse_json, read_jsonl, write_text

T = TypeVar("T")
REPAIR = "delete it and run the step that makes it"


def read_lines(file: Path) -> list[dict[str, Any]]:
    """All rows of a finished file."""
    return [row for _, row in read_jsonl(file, REPAIR, may_be_empty=True)]


def read_as(kind: type[T], file: Path) -> list[T]:
    """All rows of a finished file as a dataclass, which need not take all fields of a row.

    Raises UserError, with file, line and field, where a row lacks one or has another type in it.
    """
    adapter, found = TypeAdapter(kind), []
    for number, row in read_jsonl(file, REPAIR, may_be_empty=True):
        try:
            found.append(adapter.validate_python(row))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UserError(f"{file}, line {number}: {field}: {first['msg'].lower()}; {REPAIR}") from None
    return found


def write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole file; it appears complete or not at all."""
    write_text(file, "".join(_line(row) for row in rows))


def complete_rows(file: Path, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Rows of the lines that end, and the bytes that they take; an unfinished last line is left out."""
    rows, complete = [], 0
    for number, line in enumerate(io.BytesIO(content), 1):
        if not line.endswith(b"\n"):
            break
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{file}, line {number}: not UTF-8 text; mend or delete that line") from error
        row = parse_json(text, file, "mend or delete that line", number)
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number}: {type(row).__name__}, not a row; mend or delete that line")
        rows.append(row)
        complete += len(line)
    return rows, complete


class Taken(UserError):
    """Another process has the file open for writing."""


class AppendOnly:
    """A file that grows by whole groups of rows; what a kill tore off is cut away when it is opened.

    `rows` are those found complete. The file is locked while it is open: `Taken` is raised where
    another process writes it. A killed process holds no lock.
    """

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = file.open("ab")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._handle.close()
            raise Taken(f"{file}: another process writes this file; wait for it or stop it") from error
        content = file.read_bytes()
        self.rows, complete = complete_rows(file, content)
        if complete < len(content):
            self._handle.truncate(complete)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows and return when they are on disk."""
        self._handle.write("".join(_line(row) for row in rows).encode())
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> AppendOnly:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"
