"""The record of a reproduction and the table of records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynfocus.artefacts import attest
from dynfocus.errors import UserError
from dynfocus.steps.perform import check
from dynfocus.steps.table import RenderReport, ScoreAnswers

RECORD = {
    "by": "Ada",
    "date": "2026-01-02T03:04:05+00:00",
    "profile": "mini",
    "configuration": "0123456789ab",
    "start_from": "scratch",
    "machine": {"processor": "Some CPU", "cores": 2, "memory_gib": 7.6, "gpus": 0},
    "wall_seconds": {"backbones": 60.0, "checkpoints": 65.4},
    "scores": {"dynfocus/seed-0": {"msvd_qa": {"metric": "accuracy", "value": 49.5, "low": 42.5, "high": 56.5}}},
}


def test_table_of_records_is_written_between_the_marks(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(RECORD))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{attest.BEGIN}\nold\n{attest.END}\nafter\n")
    attest.write_table(readme, tmp_path)
    text = readme.read_text()
    assert "| Ada | 2026-01-02 | mini | 0123456789ab | scratch | Some CPU, 2 cores, 8 GiB | 2 min 5 s |" in text
    assert "dynfocus msvd_qa 49.5 [42.5, 56.5]" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    attest.write_table(readme, tmp_path)
    assert readme.read_text() == text


def test_readme_without_marks_is_told_what_to_add(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing")
    with pytest.raises(UserError, match="attestations: begin"):
        attest.write_table(readme, tmp_path)


def test_table_in_the_readme_follows_the_records(repository):
    folder = repository / attest.RECORDS
    if any(folder.glob("*.json")):
        assert attest.table(folder) in (repository / "README.md").read_text(), "write it again: dynfocus attest"


def test_unfinished_run_is_not_attested(finished):
    finished.layout.report.unlink()
    with pytest.raises(UserError, match="finish the run"):
        attest.attest(finished)


def test_record_names_no_machine_and_no_folder(finished, monkeypatch):
    monkeypatch.setattr(attest, "scores", lambda jobs: {})
    record = json.loads(attest.attest(finished, "Ada").read_text())
    assert {"by", "date", "profile", "versions", "machine", "claims", "content", "tables"} <= record.keys()
    assert record["content"].keys() >= {"checkpoints/instruction/dynfocus/seed-0", "data/msvd_qa"}
    assert str(Path.cwd()) not in json.dumps(record)


def test_a_record_takes_the_evidence_for_the_claims_along(finished, monkeypatch):
    taken = []
    monkeypatch.setattr(attest, "scores", lambda jobs: {})
    monkeypatch.setattr("dynfocus.reporting.claims.add_evidence", taken.append)
    attest.attest(finished, "Ada")
    assert taken == [finished]


def test_edited_scores_are_not_attested(finished):
    file = ScoreAnswers("dynfocus", 0).path(finished)
    file.write_text('[{"benchmark": "msvd_qa"}]')
    with pytest.raises(UserError, match="damaged or edited"):
        attest.attest(finished)


def test_a_report_without_its_scores_is_not_made(finished):
    """After `dvc pull` the pages of all items are there, and the scores behind them not yet."""
    scored = ScoreAnswers("dynfocus", 0)
    assert scored in RenderReport().inputs(finished)
    scored.path(finished).unlink()
    with pytest.raises(UserError):
        check(finished, RenderReport().inputs(finished))
