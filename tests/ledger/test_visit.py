"""Every source is visited and none downloaded; a part without any is told."""

from __future__ import annotations

import pytest
import yaml
from loopback import COMMIT, Repository
from typer.testing import CliRunner

from dynfocus.cli import app
from dynfocus.ledger.entries import load_ledger
from dynfocus.ledger.visit import State, unobtainable, visit_all

ROWS, VIDEOS = b"[1, 2]", b"v" * 50_000


@pytest.fixture
def ledger_file(site, tmp_path):
    site.files |= {"rows.json": ROWS, "videos.zip": VIDEOS}
    site.repositories["owner/set"] = Repository({"videos.zip": VIDEOS})

    def url(name, **more):
        return {"kind": "url", "urls": [site.url(name)], **more}

    parts = [
        {"to": "rows.json", "sources": [url("rows.json", bytes=len(ROWS))]},
        {
            "to": "videos",
            "sources": [
                url("gone.zip", unpack=True),
                {"kind": "hub", "repo": "owner/set", "path": "*.zip", "unpack": True, "gigabytes": 1},
                {"kind": "manual", "how": "Ask."},
            ],
        },
        {"to": "map.json", "sources": [url("nowhere.json")]},
    ]
    entry = {"title": "S", "status": "open", "home": "https://example.org", "licence": "CC0", "mini": "x"}
    file = tmp_path / "datasets.yaml"
    file.write_text(yaml.safe_dump({"sets": {"msvd_qa": {**entry, "parts": parts}}}))
    return file


def test_each_source_has_its_state(site, ledger_file):
    visits = visit_all(load_ledger(ledger_file), ["msvd_qa"])
    assert [one.state for one in visits] == [State.THERE, State.GONE, State.CHANGED, State.BY_HAND, State.GONE]
    assert (visits[0].bytes, visits[2].bytes, visits[2].commit) == (len(ROWS), len(VIDEOS), COMMIT)
    assert "the ledger says 1,000,000,000 bytes" in visits[2].message
    assert unobtainable(visits) == {("msvd_qa", "map.json"): State.GONE}
    assert site.sent == 0, "nothing is downloaded"


def test_the_command_ends_with_status_1_where_a_part_is_nowhere(repository, ledger_file, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    options = ["--set", "source=ledger", "--set", f"ledger={ledger_file}", "--set", f"root={tmp_path}"]
    done = CliRunner().invoke(app, ["check-sources", *options])
    assert done.exit_code == 1 and "map.json is at none of its sources" in done.output
