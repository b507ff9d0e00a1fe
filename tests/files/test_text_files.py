"""Text files: what is wrong with one is one line of file, line and repair; a written one is whole and on disk."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.errors import UserError, one_line
from dynfocus.files import (
    flush,
    read_csv,
    read_json,
    read_jsonl,
    read_model,
    read_text,
    read_yaml,
    write_json,
    write_text,
)

REPAIR = "fetch it again"


@dataclass(frozen=True)
class Row:
    """A typed object for `read_model`."""

    name: str
    count: int = 0


READERS = {
    "text": lambda file: read_text(file, REPAIR),
    "json": lambda file: read_json(file, dict, REPAIR),
    "jsonl": lambda file: read_jsonl(file, REPAIR),
    "yaml": lambda file: read_yaml(file, repair=REPAIR),
    "csv": lambda file: read_csv(file, ["a"], repair=REPAIR),
    "model": lambda file: read_model(Row, file, REPAIR),
}

FAULTS = [
    # Any reader
    *((kind, b"a: \xff\n", "line 1: not UTF-8 text") for kind in READERS),
    *((kind, b"ok\n\xe4\n", "line 2: not UTF-8 text") for kind in READERS),
    *((kind, "{}".encode("utf-16"), "not UTF-8 text") for kind in READERS),
    *((kind, "{}".encode("utf-16-le"), "line 1: holds a zero byte") for kind in READERS),
    *((kind, b"", "is empty") for kind in READERS if kind != "text"),
    *((kind, b" \n\t\n", "is empty") for kind in READERS if kind != "text"),
    # JSON
    ("json", b"[1]", "must hold keys and values, got a list"),
    ("json", b'{"a": 1,\n "a": 2}', "key `a` given twice"),
    ("json", b'{"a":\n 1,}', "line 2: not valid JSON"),
    ("json", b'{"a": 1} x', "line 1: not valid JSON"),
    ("json", b'{"a": NaN}', "the number NaN is not finite"),
    ("json", b'{"a": -Infinity}', "the number -Infinity is not finite"),
    ("json", b'{"a": 1e999}', "the number 1e999 is not finite"),
    ("json", b'{"a": ' + b"9" * 5000 + b"}", "limit"),
    ("json", b"[" * 100_000, "nested too deeply"),
    ("json", b'{"a": "\\ud800"}', "half of a surrogate pair"),
    ("jsonl", b'{}\n\n{"a": 1', "line 3: not valid JSON"),
    ("jsonl", b"{}\n[1]\n", "line 2: must hold keys and values, got a list"),
    ("jsonl", b'{}\n{"a": NaN}', "line 2: the number NaN is not finite"),
    ("model", b'{"count": 1}', "name: field required"),
    ("model", b'{"name": "x", "count": "1"}', "count: input should be a valid integer"),
    ("model", b'{"name": "x", "count": true}', "count: input should be a valid integer"),
    ("model", b"[]", "input should be an object"),
    # YAML
    ("yaml", b"- 1\n", "must hold keys and values, got a list"),
    ("yaml", b"a: 1\nb: 2\na: 3\n", "line 3: not valid YAML (key `a` given twice)"),
    ("yaml", b"a: {b: [{c: 1,\n c: 2}]}", "line 2: not valid YAML (key `c` given twice)"),
    ("yaml", b"a: &x 1\nb: *x\n", "line 2: not valid YAML (an alias"),
    ("yaml", b"a: !!python/object:os.system x\n", "line 1: not valid YAML (a tag"),
    ("yaml", b"a: 1\n1: 2\n", "line 2: not valid YAML (a key must be a text)"),
    ("yaml", b"a: [\n", "not valid YAML"),
    ("yaml", b"a: \x01\n", "line 1: not valid YAML"),
    ("yaml", b"a: 2024-13-45\n", "not valid YAML"),
    ("yaml", b"[" * 5000, "nested too deeply"),
    ("yaml", b'a: "\\ud800"', "half of a surrogate pair"),
    # CSV
    ("csv", b"b,c\n1,2\n", "line 1: column `a` is missing, found only b, c"),
    ("csv", b"a,b,b\n1,2,3\n", "line 1: column `b` is named twice"),
    ("csv", b"a,b\n1,2\n\n1\n", "line 4: 1 cells where the header has 2"),
    ("csv", b"a,b\n1,2,3\n", "line 2: 3 cells where the header has 2"),
    ("csv", b'a,b\n1,"2\n3,4\n', "line 2: not valid CSV"),
    ("csv", b'a,b\n"1"2,3\n', "line 2: not valid CSV"),
    ("csv", b"a,b\n", "holds no row"),
]


@pytest.mark.parametrize(("kind", "content", "words"), FAULTS, ids=[f"{f[0]} {f[1][:20]}" for f in FAULTS])
def test_a_fault_is_one_line_with_file_and_repair(tmp_path, kind, content, words):
    file = tmp_path / "some.file"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        READERS[kind](file)
    said = str(caught.value)
    assert said.startswith(f"{file}") and words in said and said.endswith(REPAIR)
    assert said.isprintable()


@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_is_none_is_one_line(tmp_path, kind):
    for place in (tmp_path / "gone", tmp_path, tmp_path / "a\nb", tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"no such file|cannot be read") as caught:
            READERS[kind](place)
        assert str(caught.value).isprintable()


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    file = tmp_path / "windows"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": "\xe2\x80\xa8"}\r\n')
    assert read_jsonl(file) == [(1, {"a": 1}), (2, {"a": "\u2028"})]
    file.write_bytes(b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n3,4\r\n')
    assert read_csv(file, ["a"]) == [(2, {"a": "1", "b": "x\r\ny"}), (5, {"a": "3", "b": "4"})]
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert read_yaml(file) == {"a": 1}


def test_comments_alone_are_an_empty_mapping_and_lines_may_be_none(tmp_path):
    file = tmp_path / "none"
    file.write_text("# nothing yet\n")
    assert read_yaml(file) == {}
    file.write_text("")
    assert read_jsonl(file, may_be_empty=True) == []


# Reading back what was written

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_written_json_is_read_back_whatever_it_holds(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "value.json"
    write_json(file, value)
    assert read_json(file, dict) == value


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_file_is_flushed_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b)))
    write_text(tmp_path / "deep/file.txt", "whole")
    assert [os.path.basename(event) for event in events] == [f".file.txt.{os.getpid()}.partial", "rename", "deep"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "file.txt"
    write_text(file, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"file\.txt: cannot be written \(no space left on device\); make room"):
        write_text(file, "new")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file/below.txt", tmp_path / ("x" * 255)):
        with pytest.raises(UserError, match="cannot be written"):
            write_text(place, "text")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path, "text")


def test_a_folder_is_flushed_whole_and_may_lose_files_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    flush(tmp_path)
    assert {str(tmp_path / path) for path in ("a", "a/b", "a/b/file")} | {str(tmp_path)} == set(flushed)


@given(st.text())
def test_one_line_is_printable_and_keeps_plain_text(text):
    assert one_line(text).isprintable()
    assert one_line(text) == text or not text.isprintable()


# Nothing a parser reads is lost or changed

scalars = st.integers(-(10**6), 10**6) | st.booleans() | st.text("abc é:#'\"-[]{}&*!|>%@`,?\n\t", max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text("abc -:#é", min_size=1, max_size=5), scalars | st.lists(scalars, max_size=3), max_size=4)
)
def test_yaml_reads_what_was_dumped(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "value.yaml"
    file.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    assert read_yaml(file) == value


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text("ab,\"'\n\ré"), st.text("ab, \t")), min_size=1, max_size=4))
def test_csv_reads_every_cell_that_was_written(tmp_path_factory, rows):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    file = tmp_path_factory.getbasetemp() / "value.csv"
    file.write_bytes(text.getvalue().encode())
    assert [tuple(row.values()) for _, row in read_csv(file, ["a", "b"])] == rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.text(), values, max_size=2), min_size=1, max_size=4))
def test_lines_read_every_row_and_know_its_number(tmp_path_factory, rows):
    file = tmp_path_factory.getbasetemp() / "value.jsonl"
    file.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert read_jsonl(file) == [(2 * number + 1, row) for number, row in enumerate(rows)]
