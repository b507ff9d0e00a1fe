"""Files that a person or a broken disk has changed: each fault is one line that names the file, never a traceback."""

from __future__ import annotations

import json

import pytest

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.errors import UserError
from dynfocus.evaluation.judges.requests import reply_of
from dynfocus.evaluation.lines import AppendOnly
from dynfocus.evaluation.records import read_answers, read_verdicts
from dynfocus.evaluation.score import read_samples

ANSWER = {"benchmark": "msvd_qa", "question_id": "q", "status": "ok", "reply": "a cat"}
VERDICT = {
    "benchmark": "msvd_qa",
    "item_id": "q",
    "criterion": "qa",
    "question_ids": ["q"],
    "judge": "rule",
    "status": "ok",
    "marks": {"pred": "yes", "score": 3},
    "reply": "",
}
SAMPLE = {
    "benchmark": "msvd_qa",
    "sample_id": "q",
    "question_ids": ["q"],
    "video": "v",
    "status": "ok",
    "values": {"accuracy": 1.0, "score": None},
    "groups": {"type": ["what"]},
    "unparsed": False,
    "predicted": None,
    "correct": None,
}
READERS = {
    "answers": (lambda file: read_answers([file]), ANSWER),
    "verdicts": (read_verdicts, VERDICT),
    "samples": (lambda file: read_samples(file, "msvd_qa"), SAMPLE),
}
BROKEN = {
    "nested": b"[" * 100_000,
    "null": b"null",
    "a list": b"[1]",
    "no field": b"{}",
    "not UTF-8": b'{"a": "\xe9"}',
    "zero bytes": b"\0\0",
    "half a pair": b'{"a": "\\ud800"}',
    "cut": b'{"benchmark": "msvd_qa", "item',
}
WRONG = [
    ("answers", {"reply": None}),
    ("answers", {"status": "great"}),
    ("answers", {"question_id": ["q"]}),
    ("verdicts", {"item_id": ["q"]}),
    ("verdicts", {"criterion": {}}),
    ("verdicts", {"marks": "yes"}),
    ("verdicts", {"status": "great"}),
    ("samples", {"values": {"accuracy": "high"}}),
    ("samples", {"groups": ["what"]}),
    ("samples", {"video": None}),
]


@pytest.mark.parametrize("kind", READERS)
def test_what_was_written_is_read(kind, tmp_path):
    read, row = READERS[kind]
    (tmp_path / "rows").write_text(json.dumps(row) + "\n")
    assert len(read(tmp_path / "rows")) == 1


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("kind", READERS)
def test_a_broken_line_is_one_line(kind, content, tmp_path):
    read, row = READERS[kind]
    (tmp_path / "rows").write_bytes(json.dumps(row).encode() + b"\n" + content + b"\n")
    with pytest.raises(UserError, match=r"rows, line 2: .*; .*run the step") as caught:
        read(tmp_path / "rows")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "change"), WRONG, ids=str)
def test_a_field_of_another_type_is_named(kind, change, tmp_path):
    read, row = READERS[kind]
    (tmp_path / "rows").write_text(json.dumps(row | change) + "\n")
    with pytest.raises(UserError, match=rf"rows, line 1: {next(iter(change))}.*: .*; delete it"):
        read(tmp_path / "rows")


@pytest.mark.parametrize("kind", ["answers", "verdicts"])
def test_a_row_twice_is_refused(kind, tmp_path):
    read, row = READERS[kind]
    (tmp_path / "rows").write_text(2 * (json.dumps(row) + "\n"))
    with pytest.raises(UserError, match="twice"):
        read(tmp_path / "rows")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"null", b"[1]", b"\xe9"])
def test_unfinished_work_with_a_broken_line_is_one_line(content, tmp_path):
    (tmp_path / "rows").write_bytes(b"{}\n" + content + b"\n")
    with pytest.raises(UserError, match=r"rows, line 2: .*; mend or delete that line"):
        AppendOnly(tmp_path / "rows")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", '{"a": 1}\n{"a": "\\ud800"}\n', "row 2: .*half of a surrogate pair"),
        ("a.json", '[{"a": ' + "9" * 5000 + "}]", "not valid JSON"),
        ("a.csv", "a,b,a\n1,2,3\n", "the header names a twice"),
        ("a.csv", "a,b\n1,2,3\n", "row 1: more fields"),
        ("a.parquet", "PAR1 junk PAR1", "not a parquet file"),
    ],
)
def test_hostile_annotations_are_one_line(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name}.*{message}") as caught:
        read_rows(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [[None, "red"], [{"text": "red"}], [["red"]], [True], "red", {"A": "red"}])
def test_options_that_are_no_texts_are_refused(options, tmp_path):
    with pytest.raises(UserError, match="`options` must be a list of texts"):
        Row({"options": options}, tmp_path / "a.json", "row 1").texts("options")


@pytest.mark.parametrize("answer", ["9" * 5000, -1, 5, "A", 2.5, True])
def test_an_index_out_of_range_is_refused_in_a_short_line(answer, tmp_path):
    with pytest.raises(UserError, match="`answer` must be") as caught:
        Row({"answer": answer}, tmp_path / "a.json", "row 1").index("answer", 5)
    assert len(str(caught.value)) < 400


def test_half_a_character_in_a_reply_of_a_server_can_be_kept():
    body = {"model": "m\udc00", "choices": [{"message": {"content": "\ud800{'pred': 'yes', 'score': 4}"}}]}
    reply = reply_of(body)
    assert reply is not None and (reply.text, reply.served_by) == ("?{'pred': 'yes', 'score': 4}", "m?")
