"""Annotation files row by row: JSON, JSON lines, CSV and parquet, with errors a user can act on.

Training sets and benchmarks read all of their files here. A file may begin with a byte-order mark; JSON lines end at
line feeds alone, since other line separators occur in texts; null and not-a-number count as an absent field.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.files import HALF, SURROGATE

LAYOUTS = "docs/benchmarks/LAYOUT.md for benchmarks, src/dynfocus/datasets/LAYOUT.md for training sets"
LONGEST_FIELD = 2**31 - 1
"""Characters of a CSV field; the csv module's own limit is 131,072."""
MOST_DIGITS = 9
"""Of an index in digits: more than any list has."""


class Row:
    """One row of an annotation file; a field that is not there names the file, the row and the field."""

    def __init__(self, values: Any, file: Path, position: str):
        if not isinstance(values, dict):
            raise UserError(f"{file}, {position}: expected an object with fields, found {type(values).__name__}")
        self.values = {field: value for field, value in values.items() if value is not None and value == value}
        self.file = file
        self.position = position

    def __contains__(self, field: str) -> bool:
        return field in self.values

    def __getitem__(self, field: str) -> Any:
        if field not in self.values:
            raise UserError(
                f"{self.file}, {self.position}: field `{field}` is missing; take the official file, "
                f"found only {', '.join(sorted(map(str, self.values))) or 'no field'}"
            )
        return self.values[field]

    def get(self, field: str, default: Any = None) -> Any:
        """An optional field."""
        return self.values.get(field, default)

    def of(self, field: str, kind: type | tuple[type, ...]) -> Any:
        """A field that must be of a type, or of one of several."""
        value = self[field]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(known.__name__ for known in kinds)
            raise UserError(
                f"{self.file}, {self.position}: field `{field}` is {type(value).__name__}, not {expected}; "
                "correct the row"
            )
        return value

    def text(self, *fields: str) -> str:
        """The first of several fields that is there, as text without surrounding white space; 7010.0 reads 7010."""
        field = next((known for known in fields if known in self.values), fields[0])
        value = self[field]
        if isinstance(value, (dict, list, bool)):
            raise self.wrong(field, "a text or a number")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return str(value).strip()

    def texts(self, field: str) -> list[str]:
        """A field that must hold a list of texts."""
        value = self[field]
        if isinstance(value, (str, dict)) or not hasattr(value, "__iter__"):
            raise self.wrong(field, "a list of texts")
        if any(item is None or isinstance(item, (dict, list, bool)) for item in value):
            raise self.wrong(field, "a list of texts, and one of its items is none")
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

    def index(self, field: str, count: int) -> int:
        """A field that must be a whole number from 0 to `count` - 1, as a number or in digits."""
        text = self.text(field)
        if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) >= count:
            raise self.wrong(field, f"an index from 0 to {count - 1}, not {text[: MOST_DIGITS + 1]!r}")
        return int(text)

    def wrong(self, field: str, expected: str) -> UserError:
        """The error of a field that is there but cannot be used."""
        return UserError(f"{self.file}, {self.position}: field `{field}` must be {expected}; take the official file")


def read_rows(file: Path) -> list[Row]:
    """Rows of a `.json` (a list), `.jsonl`, `.csv` or `.parquet` file, numbered from 1 in messages.

    Raises:
        UserError: the file is missing, of another format or broken; the message says where and what to do.
    """
    readers = {".json": _json_rows, ".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if file.suffix not in readers:
        raise UserError(f"{file}: unknown annotation format; expected one of {', '.join(readers)}")
    return [Row(values, file, f"row {number}") for number, values in readers[file.suffix](file)]


def read_object(file: Path) -> Row:
    """The one object of a JSON file."""
    return Row(_parsed(file, _content(file), ""), file, "top level")


def _content(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: annotation file not found; see {LAYOUTS}") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); see {LAYOUTS}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error}); fetch the file again") from error


def _parsed(file: Path, text: str, place: str) -> Any:
    try:
        value = json.loads(text)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise UserError(f"{file}{place}: {HALF}; fetch the file again") from None
    except RecursionError:
        raise UserError(f"{file}{place}: nested too deeply to be annotations; fetch the file again") from None
    except ValueError as error:
        raise UserError(f"{file}{place}: not valid JSON ({error}); fetch the file again") from error


def _json_rows(file: Path) -> Iterator[tuple[int, Any]]:
    rows = _parsed(file, _content(file), "")
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of rows, found {type(rows).__name__}; take the official file")
    return enumerate(rows, 1)


def _jsonl_rows(file: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_content(file).split("\n"), 1):
        if line.strip():
            yield number, _parsed(file, line, f", row {number}")


def _csv_rows(file: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.DictReader(io.StringIO(_content(file), newline=""))
    try:
        names = reader.fieldnames or []
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"{file}: the header names {', '.join(twice)} twice; fetch the file again")
        for number, values in enumerate(reader, 1):
            if None in values:
                raise UserError(f"{file}, row {number}: more fields than the header names; fetch the file again")
            yield number, values
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: not valid CSV ({error}); fetch the file again") from error


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    if not file.is_file():
        raise UserError(f"{file}: annotation file not found; see {LAYOUTS}")
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise UserError(f"{file}: reading parquet needs pyarrow; run `pip install pyarrow`") from error
    try:
        return enumerate(parquet.read_table(file).to_pylist(), 1)
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a parquet file ({error}); fetch the file again") from error
