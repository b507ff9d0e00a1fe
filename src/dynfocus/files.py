"""Text files read and written: the one place that knows what can be wrong with one.

    read_text, read_json, read_jsonl, read_yaml, read_csv    what a person or a publisher wrote
    read_model                                               JSON as a typed object, for what this package wrote
    read_tensors                                             weights in the safetensors format
    write_text, write_json                                   a file that is whole and on disk, or as it was before
    flush                                                    a finished folder on disk

Every fault is one line of `UserError`: the file, its line where there is one, what is wrong, what to do. Refused are
a file that is missing, empty, not UTF-8 or of another type; a key given twice, of which parsers keep the last without
a word; numbers that are not finite; and text that no UTF-8 file can hold, which would fail when it is written again.
`repair` says what to do about a bad file; a reader passes what is true of its files.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from dynfocus.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

REPAIR = "correct the file"
KINDS: dict[type[Any], str] = {dict: "keys and values", list: "a list", str: "a text"}
HALF = "a text holds half of a surrogate pair, which is no character"
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(file: Path, repair: str = REPAIR) -> str:
    """The UTF-8 text of a file, without a byte order mark.

    Raises:
        UserError: no such file, one that cannot be read, or no text.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; {repair}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({_reason(error)}); {repair}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}, line {line}: not UTF-8 text; save it as UTF-8, or {repair}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{file}, line {line}: holds a zero byte, so it is no UTF-8 text; {repair}")
    return text


def read_json(file: Path, kind: type | None = None, repair: str = REPAIR) -> Any:
    """The value in a JSON file, which must be of `kind` (dict, list) where one is given.

    Raises:
        UserError: see `read_text`; the text is empty, not JSON, or holds something else.
    """
    value = parse_json(_content(file, repair), file, repair)
    _require(kind, value, str(file), repair)
    return value


def read_jsonl(file: Path, repair: str = REPAIR, may_be_empty: bool = False) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON lines file, each with the number of its line; blank lines are passed over.

    Raises:
        UserError: see `read_json`; a line holds no object, or, unless it `may_be_empty`, the file has none.
    """
    text = read_text(file, repair) if may_be_empty else _content(file, repair)
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            value = parse_json(line, file, repair, number)
            _require(dict, value, f"{file}, line {number}", repair)
            rows.append((number, value))
    return rows


def read_model(kind: type[T], file: Path, repair: str = REPAIR) -> T:
    """The content of a JSON file as `kind`, any type that pydantic can check.

    Raises:
        UserError: see `read_json`; a field is missing, unknown or of another type.
    """
    text = _content(file, repair)
    parse_json(text, file, repair)
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{file}: {'.'.join(map(str, first['loc']))}" if first["loc"] else str(file)
        raise UserError(f"{where}: {_lower(first['msg'])}; {repair}") from None


def parse_json(text: str, file: Path, repair: str = REPAIR, first_line: int = 1) -> Any:
    """The value of a JSON text of `file` that begins at `first_line`.

    Raises:
        UserError: not JSON, a key given twice, a number that is not finite, or half a character.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_finite, parse_float=_finite)
        if SURROGATE.search(text):
            _encode(value)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise UserError(f"{file}, line {line}: not valid JSON ({error.msg}); {repair}") from None
    except RecursionError:
        raise UserError(f"{file}, line {first_line}: nested too deeply; {repair}") from None
    except UnicodeEncodeError:
        raise UserError(f"{file}, line {first_line}: {HALF}; {repair}") from None
    except ValueError as error:
        raise UserError(f"{file}, line {first_line}: {_reason(error)}; {repair}") from None
    return value


def read_yaml(file: Path, kind: type = dict, repair: str = REPAIR) -> Any:
    """The value in a YAML file, which must be of `kind`; a file of comments alone is an empty one.

    Raises:
        UserError: see `read_text`; the text is empty, not YAML (see `parse_yaml`), or holds something else.
    """
    value = parse_yaml(_content(file, repair), str(file), repair)
    value = kind() if value is None else value
    _require(kind, value, str(file), repair)
    return value


def parse_yaml(text: str, where: str, repair: str = REPAIR) -> Any:
    """The value of a YAML text; `where` names it in messages.

    Raises:
        UserError: not YAML, a key given twice, an alias (a few of them can stand for any amount), or a tag.
    """
    try:
        value = yaml.load(text, _Loader)
        if "\\" in text:
            _encode(value)
        return value
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML ({error.problem or error.context}); {repair}") from None
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise UserError(f"{where}, line {number}: not valid YAML ({error.reason}); {repair}") from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply; {repair}") from None
    except UnicodeEncodeError:
        raise UserError(f"{where}: {HALF}; {repair}") from None
    except ValueError as error:
        raise UserError(f"{where}: not valid YAML ({_reason(error)}); {repair}") from None


def read_csv(
    file: Path, columns: Sequence[str], delimiter: str = ",", repair: str = REPAIR
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, each with the number of its first line; blank lines are passed over.

    Raises:
        UserError: see `read_text`; a quote that does not close, one of `columns` missing, a column named twice, a row
            with more or fewer cells than the header, or no row at all.
    """
    reader = csv.reader(io.StringIO(_content(file, repair), newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    line = 1
    try:
        for cells in reader:
            if cells and header:
                rows.append((line, _row(cells, header, f"{file}, line {line}", repair)))
            elif cells:
                header = _header(cells, columns, f"{file}, line {line}", repair)
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file}, line {line}: not valid CSV ({error}); {repair}") from None
    if not rows:
        raise UserError(f"{file}: holds no row below its header; {repair}")
    return rows


def read_tensors(file: Path, repair: str = REPAIR, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose names are wanted, by name.

    Raises:
        UserError: no such file, or one that is broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys() if wanted(name)}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; {repair}") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file}: no readable safetensors file ({_reason(error)}); {repair}") from None


def write_text(file: Path, text: str) -> None:
    """Write a text file that is there whole and on disk, or as it was before, whatever happens.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, file)
    except UserError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _flush_folder(file.parent)


@contextlib.contextmanager
def writing(file: Path) -> Iterator[None]:
    """Turn what the disk refuses during the body, which writes `file`, into a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({_reason(error)}); make room or give access there") from None


def write_json(file: Path, value: Any, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Write a value as JSON, as `write_text` does; a number that is not finite is an error, as no reader takes it."""
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    write_text(file, text + "\n")


def write_result(stem: Path, result: Any, page: str) -> None:
    """Write what a script measured for programs, `{stem}.json`, and for people, `{stem}.md`; folders are made."""
    write_json(stem.with_name(f"{stem.name}.json"), result, indent=2)
    write_text(stem.with_name(f"{stem.name}.md"), page)


def flush(folder: Path) -> None:
    """Return when everything below a folder is on disk; what another process removes meanwhile is passed over."""
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError), open(os.path.join(place, name), "rb") as stream:
                os.fsync(stream.fileno())
        _flush_folder(Path(place))


def _flush_folder(folder: Path) -> None:
    """Flush the entries of a folder; some network file systems cannot, and do so when a file closes."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Loader(yaml.SafeLoader):
    """YAML of plain values: a key given twice, an alias and a tag are errors."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            message = "an alias (*) is not taken, write it out"
            raise yaml.composer.ComposerError(None, None, message, getattr(event, "start_mark", None))
        if getattr(event, "tag", None) not in (None, "!"):
            raise yaml.composer.ComposerError(None, None, "a tag (!) is not taken, leave it out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key `{key}` given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _content(file: Path, repair: str) -> str:
    """The text of a file that must hold something."""
    text = read_text(file, repair)
    if not text.strip():
        raise UserError(f"{file}: is empty; {repair}")
    return text


def _require(kind: type[Any] | None, value: Any, where: str, repair: str) -> None:
    if kind is not None and not isinstance(value, kind):
        raise UserError(f"{where}: must hold {KINDS[kind]}, got {_kind_of(value)}; {repair}")


def _kind_of(value: Any) -> str:
    return KINDS.get(type(value), type(value).__name__)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key `{next(name for name in names if names.count(name) > 1)}` given twice")
    return made


def _finite(text: str) -> float:
    number = float(text) if text[-1].isdigit() else math.inf
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is not finite")
    return number


def _header(cells: list[str], columns: Sequence[str], where: str, repair: str) -> list[str]:
    missing = next((name for name in columns if name not in cells), None)
    if missing is not None:
        raise UserError(f"{where}: column `{missing}` is missing, found only {', '.join(cells)}; {repair}")
    if len(set(cells)) < len(cells):
        twice = next(name for name in cells if cells.count(name) > 1)
        raise UserError(f"{where}: column `{twice}` is named twice; {repair}")
    return cells


def _row(cells: list[str], header: list[str], where: str, repair: str) -> dict[str, str]:
    if len(cells) != len(header):
        raise UserError(f"{where}: {len(cells)} cells where the header has {len(header)}; {repair}")
    return dict(zip(header, cells, strict=True))


def _reason(error: Exception) -> str:
    """What an error says, without the number and the file that Python adds."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _lower(said.partition(";")[0])


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _encode(value: Any) -> None:
    """Raise UnicodeEncodeError where a text in `value` cannot be written as UTF-8."""
    json.dumps(value, ensure_ascii=False, default=str).encode()


def hash_of(value: Any) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a JSON value, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
