"""Annotation files as they exist: marks at their start, odd separators, nulls, long fields; errors name the place."""

from __future__ import annotations

import json

import pytest

from dynfocus.datasets.rows import Row, read_object, read_rows
from dynfocus.errors import UserError

TEXT = "one\u2028two\u0085three\x0bfour"
"""Characters at which Python splits lines and JSON lines do not end."""


def test_json_lines_end_at_line_feeds_alone(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"a": TEXT}, ensure_ascii=False) + "\r\n\n" + json.dumps({"a": 2}), encoding="utf-8")
    assert [row["a"] for row in read_rows(file)] == [TEXT, 2]


@pytest.mark.parametrize(
    ("name", "text"), [("rows.json", '[{"a": "x"}]'), ("rows.jsonl", '{"a": "x"}\n'), ("rows.csv", "a,b\r\nx,y\r\n")]
)
def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert [row.text("a") for row in read_rows(tmp_path / name)] == ["x"]


def test_a_csv_field_may_be_longer_than_the_module_allows_and_hold_line_feeds(tmp_path):
    long = "word\n" * 100_000
    (tmp_path / "rows.csv").write_text(f'a,b\n"{long}",1\n', encoding="utf-8", newline="")
    (row,) = read_rows(tmp_path / "rows.csv")
    assert row["a"] == long and row.text("b") == "1"


def test_null_and_not_a_number_are_absent(tmp_path):
    (tmp_path / "rows.json").write_text('[{"type": null, "score": NaN, "id": 7010.0}]')
    (row,) = read_rows(tmp_path / "rows.json")
    assert row.get("type", 3) == 3 and row.get("score") is None and row.text("id") == "7010"
    with pytest.raises(UserError, match=r"rows\.json, row 1: field `type` is missing; .* found only id"):
        row.text("type")


def test_parquet_nulls_and_lists_read_as_in_json(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": ["x", None], "b": [["p", "q"], ["r"]]}), tmp_path / "rows.parquet")
    first, second = read_rows(tmp_path / "rows.parquet")
    assert first.text("a") == "x" and first.texts("b") == ["p", "q"] and "a" not in second


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", b'[{"a": ', "not valid JSON"),
        ("rows.json", b"\xff\xfe", "not UTF-8 text"),
        ("rows.json", b'{"a": 1}', "expected a list of rows, found dict"),
        ("rows.json", b"[1]", "row 1: expected an object with fields, found int"),
        ("rows.jsonl", b'{"a": 1}\n{"a"\n', "row 2: not valid JSON"),
        ("rows.csv", b"a,b\n1,2,3\n", "row 1: more fields than the header names"),
        ("rows.csv", b"a,b\n1\n", "row 1: field `b` is missing"),
        ("rows.parquet", b"PAR0", "not a parquet file"),
        ("rows.xml", b"", "unknown annotation format"),
    ],
)
def test_a_broken_file_is_named_with_the_place_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        [row["b"] for row in read_rows(tmp_path / name)]
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_says_where_its_layout_is_described(tmp_path):
    for read in (read_rows, read_object):
        with pytest.raises(UserError, match=r"rows\.json: annotation file not found; see .*LAYOUT\.md"):
            read(tmp_path / "rows.json")


def test_a_field_of_another_kind_is_named(tmp_path):
    row = Row({"n": True, "o": {"p": 1}, "i": "9"}, tmp_path, "row 4")
    for read in (lambda: row.of("n", int), lambda: row.text("n"), lambda: row.texts("o"), lambda: row.index("i", 4)):
        with pytest.raises(UserError, match="row 4: field `"):
            read()
    assert row.index("i", 10) == 9
