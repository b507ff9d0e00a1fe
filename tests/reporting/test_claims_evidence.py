"""Evidence adds up: small files, further seeds from anywhere, and never two settings in one test."""

import json

import numpy as np
import pytest
from evidence_files import answers, evidence_of_runs, finish_scores, jobs_of, questions, series

from dynfocus.errors import UserError
from dynfocus.evaluation.evidence import Evidence, read_evidence
from dynfocus.paper.register import load_claims
from dynfocus.reporting.claims import add_evidence, evidence_of, measure, store_claims
from dynfocus.reporting.evidence import collect, write_evidence
from dynfocus.steps.claims import settings_of_run
from dynfocus.steps.manifests import manifest_path
from dynfocus.steps.table import answers_of

CLAIM = next(claim for claim in load_claims() if claim.id == "clustering.dpc_knn_over_kmeans.msvd")
UNITS = [("dynfocus", "msvd_qa", "accuracy"), ("kmeans", "msvd_qa", "accuracy")]


@pytest.fixture
def jobs(tmp_path):
    """A finished run of two models on two seeds."""
    made = jobs_of(tmp_path / "here")
    for place, run in enumerate(("dynfocus", "kmeans")):
        for seed in (0, 1):
            finish_scores(made, run, seed, answers(60, 10 * place + seed))
    return made


def same(one: Evidence, other: Evidence) -> bool:
    def key(series):
        return series.unit, series.key

    pairs = zip(sorted(one.series, key=key), sorted(other.series, key=key), strict=True)
    return one.questions == other.questions and all(
        first.__dict__ | {"values": 0} == second.__dict__ | {"values": 0}
        and np.array_equal(first.values, second.values, equal_nan=True)
        for first, second in pairs
    )


def test_scores_become_evidence_with_their_origin(jobs):
    found = collect(jobs, UNITS, [0, 1, 2])
    assert len(found.series) == 4 and not found.notes
    one = found.of(*UNITS[1])[(1, "some CPU")]
    assert np.array_equal(one.values, answers(60, 11))
    assert (one.model, one.commit, one.finished) == ("kmeans-1-som", "0123456789ab", "2026-01-02")
    assert found.asked(one).films[0] == "film0"


def test_files_hold_what_was_written(jobs, tmp_path):
    found = collect(jobs, UNITS, [0, 1])
    gap = series("blind", 0, [np.nan, *answers(20, 5)[1:]], settings="s", questions=found.series[0].questions)
    found = Evidence((*found.series, gap), found.questions)
    written = write_evidence(jobs, found, tmp_path / "kept")
    assert len(written) == 3  # two trainings, one set of questions
    assert same(read_evidence(tmp_path / "kept"), found)


def test_a_later_run_adds_its_rows_and_replaces_its_own(jobs, tmp_path):
    write_evidence(jobs, collect(jobs, UNITS[:1], [0]), tmp_path)
    finish_scores(jobs, "dynfocus", 0, answers(90, 7))
    finish_scores(jobs, "kmeans", 0, answers(60, 8), processor="other CPU")
    write_evidence(jobs, collect(jobs, UNITS, [0]), tmp_path)
    kept = read_evidence(tmp_path)
    assert [(one.run, one.processor) for one in kept.series] == [("kmeans", "other CPU"), ("dynfocus", "some CPU")]
    assert np.array_equal(kept.of(*UNITS[0])[(0, "some CPU")].values, answers(90, 7))


def test_evidence_is_small(tmp_path):
    jobs = jobs_of(tmp_path)
    runs = {f"run{number}": 60.0 for number in range(36)}
    for seed in range(3):
        found = evidence_of_runs(runs, seeds=1)
        made = [
            series(one.run, seed, np.concatenate([one.values, one.values, one.values]), questions="msvd_qa-v1")
            for one in found.series
        ]
        write_evidence(jobs, Evidence(tuple(made), questions()), tmp_path / "kept")
    size = sum(path.stat().st_size for path in (tmp_path / "kept").iterdir())
    assert size < 60_000, f"{size} bytes for 3 seeds of 36 runs of 600 questions"


def test_the_repository_s_evidence_joins_that_of_this_run(jobs, tmp_path):
    elsewhere = jobs_of(tmp_path / "elsewhere")
    for place, run in enumerate(("dynfocus", "kmeans")):
        for seed in (0, 2):
            finish_scores(elsewhere, run, seed, answers(60, 100 * place + seed), processor="other CPU")
    add_evidence(elsewhere, tmp_path / "stored")
    found = measure(evidence_of(jobs, tmp_path / "stored"), CLAIM)
    assert list(found.by_key) == [(0, "other CPU"), (0, "some CPU"), (1, "some CPU"), (2, "other CPU")]


def test_evidence_of_other_settings_is_left_out_and_said_so(jobs, tmp_path):
    add_evidence(jobs, tmp_path / "stored")
    changed = jobs_of(tmp_path / "empty", "instruction.learning_rate=0.5")
    assert settings_of_run(changed, "dynfocus") != settings_of_run(jobs, "dynfocus")
    found = evidence_of(changed, tmp_path / "stored")
    assert not found.series
    assert found.notes == ("4 of 4 stored series are of other settings or questions: left out",)


def test_settings_that_decide_nothing_leave_the_evidence_current(jobs, tmp_path):
    add_evidence(jobs, tmp_path / "stored")
    same_settings = jobs_of(tmp_path / "empty", "hardware.threads=2", "items=[table_7]", "seeds=[5]")
    assert len(evidence_of(same_settings, tmp_path / "stored").series) > 0


def test_answers_to_other_questions_are_not_mixed(jobs, tmp_path):
    add_evidence(jobs, tmp_path / "stored")
    newer = jobs_of(tmp_path / "newer")
    for run in ("dynfocus", "kmeans"):
        finish_scores(newer, run, 7, answers(60, 3), version="v2")
        shard = answers_of(newer, run, 7)[0].path(newer)
        later = json.loads(manifest_path(shard).read_text()) | {"finished": "2027-01-01T00:00:00+00:00"}
        manifest_path(shard).write_text(json.dumps(later))
    newer = jobs_of(tmp_path / "newer", "seeds=[7]")
    assert list(measure(evidence_of(newer, tmp_path / "stored"), CLAIM).by_key) == [(7, "some CPU")]


def test_scores_of_other_answers_or_settings_are_named_and_left_out(jobs):
    manifest = manifest_path(answers_of(jobs, "dynfocus", 0)[0].path(jobs))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"content": "other"}))
    manifest = manifest_path(answers_of(jobs, "kmeans", 0)[0].path(jobs))
    settings = json.loads(manifest.read_text())
    settings["settings"]["instruction"]["learning_rate"] = 0.5
    manifest.write_text(json.dumps(settings))
    found = collect(jobs, UNITS, [0])
    assert not found.series
    assert "which now has content other" in found.notes[0]
    assert found.notes[1] == "kmeans, seed 0: answered under other settings"


def test_withheld_scores_are_no_evidence(jobs):
    path = jobs.layout.scores("dynfocus", 0)
    (record,) = json.loads(path.read_text())
    record["failures"]["unjudged"] = 20
    path.write_text(json.dumps([record]))
    assert collect(jobs, UNITS[:1], [0]).notes == (
        "dynfocus, seed 0: msvd_qa has too many answers without a judgement",
    )


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "x-seed-0-cpu.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"x-seed-0-cpu.parquet: cannot be read as stored evidence"):
        read_evidence(tmp_path)


def test_the_claims_target_leaves_outcomes_and_the_evidence_behind_them(jobs, tmp_path):
    record = store_claims(jobs, tmp_path / "claims.json", tmp_path / "stored")
    assert record.trainings == ["seed 0, some CPU", "seed 1, some CPU"]
    assert {one.id: one.reason for one in record.claims}[CLAIM.id] == "needs 3 seeds, has 2"
    assert json.loads((tmp_path / "claims.json").read_text())["profile"] == "mini"
    assert len(read_evidence(tmp_path / "claims").series) == 4
