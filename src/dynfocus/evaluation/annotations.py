"""Reading official annotation files: JSON, JSON lines and parquet, with errors a user can act on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynfocus.datasets.media import VIDEO_SUFFIXES
from dynfocus.errors import UserError


class Row:
    """One row of an annotation file; a field that is not there names the file, the row and the field."""

    def __init__(self, values: dict[str, Any], file: Path, position: str):
        if not isinstance(values, dict):
            raise UserError(f"{file}, {position}: expected an object with fields, found {type(values).__name__}")
        self.values = values
        self.file = file
        self.position = position

    def __getitem__(self, field: str) -> Any:
        if field not in self.values:
            raise UserError(
                f"{self.file}, {self.position}: field `{field}` is missing; take the official file, "
                f"found only {', '.join(sorted(self.values)) or 'no field'}"
            )
        return self.values[field]

    def text(self, field: str) -> str:
        """A field as text, without surrounding white space."""
        return str(self[field]).strip()

    def texts(self, field: str) -> list[str]:
        """A field that must hold a list of texts."""
        value = self[field]
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise self.wrong(field, "a list of texts")
        return [str(item) for item in value]

    def inner(self, field: str) -> Row:
        """A field that must hold an object."""
        value = self[field]
        if not isinstance(value, dict):
            raise self.wrong(field, "an object")
        return Row(value, self.file, f"{self.position}, `{field}`")

    def rows(self, field: str) -> list[Row]:
        """A field that must hold a list of objects."""
        value = self[field]
        if not isinstance(value, list):
            raise self.wrong(field, "a list of objects")
        return [Row(item, self.file, f"{self.position}, `{field}` {number}") for number, item in enumerate(value, 1)]

    def wrong(self, field: str, expected: str) -> UserError:
        """The error of a field that is there but cannot be used."""
        return UserError(f"{self.file}, {self.position}: field `{field}` must be {expected}; take the official file")

    def get(self, field: str, default: Any = None) -> Any:
        """An optional field."""
        return self.values.get(field, default)


def read_rows(file: Path) -> list[Row]:
    """Rows of a `.json` (a list), `.jsonl` or `.parquet` file, numbered from 1 in messages."""
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if file.suffix not in readers:
        raise UserError(f"{file}: unknown annotation format; expected one of {', '.join(readers)}")
    if not file.is_file():
        raise UserError(f"{file}: annotation file not found; its folder layout is in docs/benchmarks/LAYOUT.md")
    return [Row(values, file, f"row {number}") for number, values in enumerate(readers[file.suffix](file), 1)]


def first_file(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of several accepted annotation files that exists."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: none of {', '.join(names)} found; the folder layout is in docs/benchmarks/LAYOUT.md")


class VideoFolder:
    """Finds `{stem}.*` below one of several accepted sub-folders of a data set.

    The answer is a path relative to the data set. A video that is not there keeps its official
    path, so that it is counted as missing and never skipped.
    """

    def __init__(self, data_set: Path, folders: tuple[str, ...], suffix: str = ".mp4"):
        self.folders = folders
        self.suffix = suffix
        self._paths: dict[str, str] = {}
        for folder in reversed(folders):
            for path in sorted((data_set / folder).glob("*"), reverse=True):
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self._paths[path.stem] = f"{folder}/{path.name}"

    def __call__(self, stem: str) -> str:
        return self._paths.get(stem, f"{self.folders[0]}/{stem}{self.suffix}")


def _read_json(file: Path) -> list[Any]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON ({error}); fetch the file again") from error
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of rows, found {type(rows).__name__}; take the official file")
    return rows


def _read_jsonl(file: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise UserError(f"{file}, row {number}: not valid JSON ({error}); fetch the file again") from error
    return rows


def _read_parquet(file: Path) -> list[Any]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise UserError(f"{file}: reading parquet needs pyarrow; run `pip install pyarrow`") from error
    try:
        return parquet.read_table(file).to_pylist()
    except ArrowInvalid as error:
        raise UserError(f"{file}: not a parquet file ({error}); fetch the file again") from error
