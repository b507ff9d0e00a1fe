"""The ledger names every set, and a mistake in it is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dynfocus.config.schema import DATASETS
from dynfocus.errors import UserError
from dynfocus.ledger.entries import load_ledger
from dynfocus.ledger.table import row

SOURCE = {"kind": "url", "urls": ["https://example.org/rows.json"]}
PART = {"sources": [SOURCE], "to": "rows.json"}
ENTRY = {
    "title": "Set",
    "status": "open",
    "home": "https://example.org",
    "licence": "CC0",
    "mini": "films",
    "parts": [PART],
}
BY_HAND = {"sources": [{"kind": "manual", "how": "Ask."}], "to": "videos"}


def ledger_file(folder: Path, **changes) -> Path:
    file = folder / "datasets.yaml"
    file.write_text(yaml.safe_dump({"sets": {"msvd_qa": {**ENTRY, **changes}}}))
    return file


@pytest.fixture(scope="module")
def ledger(repository):
    return load_ledger(repository / "config" / "datasets.yaml")


def test_every_training_set_and_benchmark_has_an_entry(ledger):
    assert set(ledger.sets) == set(DATASETS)


def test_webvid_is_withdrawn_with_a_substitute(ledger):
    for name in ("webvid_cap", "webvid_qa"):
        entry = ledger.sets[name]
        assert entry.status == "withdrawn" and entry.substitute
        assert {source.kind for part in entry.parts for source in part.sources} == {"manual"}


def test_an_address_that_names_a_commit_says_so(ledger):
    for entry in ledger.sets.values():
        for source in (source for part in entry.parts for source in part.sources):
            if source.kind == "url" and "githubusercontent" in source.urls[0]:
                assert source.revision and f"/{source.revision}/" in source.urls[0]


def test_a_row_of_the_table_tells_what_is_here(ledger, tmp_path):
    entry = ledger.sets["clevrer"]
    cells = row("clevrer", entry, {}, tmp_path)
    assert cells[:7] == ("clevrer", "open", "10,000", "10,000", "12.4 GB + ?", "0 of 2", "0 of 2")
    (tmp_path / "train.json").write_text("[]")
    assert row("clevrer", entry, {}, tmp_path)[5] == "1 of 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, r"sets\.msvd_qa\.licence: input should be a valid string"),
        ({"licens": "CC0"}, r"sets\.msvd_qa\.licens: unknown key"),
        ({"status": "withdrawn"}, "a withdrawn set must name its substitute"),
        ({"status": "manual"}, "a manual set needs a part that only"),
        ({"parts": [BY_HAND]}, "an open set has no part that only"),
        ({"status": "withdrawn", "substitute": "none"}, "a withdrawn set is never downloaded"),
        ({"parts": [{**PART, "to": "../rows.json"}]}, r"without `\.\.`"),
        ({"parts": [{**PART, "to": "/rows.json"}]}, "a path below the set's folder"),
        ({"parts": [{**PART, "sources": [{**SOURCE, "sha256": "abc"}]}]}, r"parts\.0\.sources\.0.*sha256"),
        ({"parts": [{"to": ".", "sources": [{**SOURCE, "unpack": True}]}]}, "must say what it provides"),
        ({"parts": [{**PART, "sources": [{**SOURCE, "strip": 1}]}]}, "need unpack: true"),
        ({"parts": [{**PART, "sources": [{**SOURCE, "gated": True}]}]}, "a set is gated where the first source"),
        ({"parts": [{**PART, "sources": [BY_HAND["sources"][0], SOURCE]}]}, "comes last among the sources"),
        ({"parts": [{**PART, "sources": [{**SOURCE, "urls": ["file:///etc/passwd"]}]}]}, "must begin with https"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        load_ledger(ledger_file(tmp_path, **changes))
    assert "\n" not in str(error.value) and "datasets.yaml" in str(error.value)


def test_an_unknown_set_is_named_with_the_nearest(tmp_path):
    file = ledger_file(tmp_path)
    file.write_text(file.read_text().replace("msvd_qa", "msvd_aq"))
    with pytest.raises(UserError, match="msvd_aq; the nearest one is msvd_qa"):
        load_ledger(file)
