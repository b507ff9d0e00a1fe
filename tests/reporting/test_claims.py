"""Direction claims: paired over seeds, sweeps by their optimum."""

import json
from pathlib import Path

import pytest
from score_files import score_record

from dynfocus.config import load_config
from dynfocus.paper.register import Claim, load_claims
from dynfocus.reporting.claims import (
    claim_evaluations,
    claim_runs,
    claim_settings,
    judge_claim,
    judge_claims,
    origin_of,
    paired_interval,
    prefer_more_seeds,
    read_stored,
    store_claims,
)
from dynfocus.reporting.reasons import reason_of
from dynfocus.reporting.results import Results
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.settings import hash_of


def pair(better: str = "dynfocus", worse: str = "kmeans", metric: str = "accuracy") -> Claim:
    return Claim(
        id="x", statement="x", source="x", kind="pair", benchmark="msvd_qa", metric=metric, group="",
        better=better, worse=worse, note="",
    )  # fmt: skip


def runs(better: list[float], worse: list[float]) -> list[dict]:
    return [
        score_record("msvd_qa", run, seed, {"accuracy": value})
        for run, values in (("dynfocus", better), ("kmeans", worse))
        for seed, value in enumerate(values)
    ]


def test_paired_interval_by_hand():
    # differences 1, 2, 3: mean 2, sd 1, error 0.57735, t 4.302653
    mean, low, high, p = paired_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == (2.0, pytest.approx(2 - 2.484138), pytest.approx(2 + 2.484138))
    assert p == pytest.approx(0.0742, abs=1e-4)


def test_pairing_removes_what_the_seeds_share(scores):
    root = scores(runs([50.0, 60.0, 70.0], [48.0, 58.1, 68.0]))
    outcome = judge_claim(Results(root, (0, 1, 2)), pair())
    assert outcome.verdict == "replicates"
    assert outcome.difference == pytest.approx((2 + 1.9 + 2) / 3)


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [
        ([50.0, 51.0, 52.0], [48.0, 53.0, 51.0], "within noise"),
        ([48.0, 48.0, 48.1], [50.0, 50.1, 50.0], "differs"),
        ([50.0, 51.0], [40.0, 41.0], "not attempted"),
    ],
)
def test_verdicts(scores, better, worse, verdict):
    root = scores(runs(better, worse))
    assert judge_claim(Results(root, (0, 1, 2)), pair()).verdict == verdict


def test_two_seeds_show_the_difference_and_say_what_is_lacking(scores):
    outcome = judge_claim(Results(scores(runs([50.0, 51.0], [40.0, 41.0])), (0, 1)), pair())
    assert (outcome.difference, outcome.reason) == (10.0, "needs 3 seeds, has 2")


def test_a_missing_run_is_named(tmp_path):
    outcome = judge_claim(Results(tmp_path, (0, 1, 2)), pair())
    assert (outcome.verdict, outcome.reason) == ("not attempted", "no results of dynfocus and kmeans")


def test_two_metrics_of_one_run_can_be_compared(scores):
    metrics = {"basic_accuracy": 90.0, "halluc_accuracy": 40.0}
    root = scores([score_record("msvd_qa", "dynfocus", seed, metrics) for seed in range(3)])
    outcome = judge_claim(Results(root, (0, 1, 2)), pair("dynfocus:basic_accuracy", "dynfocus:halluc_accuracy"))
    assert (outcome.difference, outcome.verdict) == (50.0, "replicates")


def test_optimum_of_a_sweep(scores):
    # long films are best at L = 55, short ones at L = 15
    accuracy = {5: (40, 30), 15: (60, 35), 55: (50, 45)}
    root = scores(
        [
            score_record(
                "video_mme", f"prototypes_{setting}", seed, {"accuracy": 40.0},
                {"duration": {"short": {"accuracy": short}, "long": {"accuracy": long}}},
            )
            for setting, (short, long) in accuracy.items()
            for seed in range(3)
        ]
    )  # fmt: skip
    claim = next(one for one in load_claims() if one.id == "length.longer_prefers_more_prototypes")
    outcome = judge_claim(Results(root, (0, 1, 2)), claim)
    assert (outcome.better_value, outcome.worse_value, outcome.verdict) == (55.0, 15.0, "replicates")


def test_all_claims_of_an_empty_root_are_not_attempted(tmp_path):
    outcomes = judge_claims(Results(tmp_path, (0,)))
    assert len(outcomes) == len(load_claims())
    assert {outcome.verdict for outcome in outcomes} == {"not attempted"}


def jobs_of(root: Path, *overrides: str) -> Jobs:
    settings = [f"root={root}", "items=[all]", "runs=[all]", "benchmarks=[all]", *overrides]
    return Jobs.load(load_config([Path("config/mini.yaml")], settings))


def test_stored_outcomes_with_more_seeds_are_shown(scores, tmp_path):
    root = scores(runs([50.0, 60.0, 70.0], [48.0, 58.1, 68.0]))
    file = tmp_path / "claims.json"
    stored = store_claims(jobs_of(root), file)
    assert read_stored(file, "mini") == stored and read_stored(file, "paper") is None
    assert read_stored(tmp_path / "none.json", "mini") is None
    name = "clustering.dpc_knn_over_kmeans.msvd"
    one = [judge_claim(Results(root, (0,)), claim) for claim in load_claims() if claim.id == name]
    (shown,) = prefer_more_seeds(one, stored)
    assert (shown.verdict, shown.stored, shown.seeds) == ("replicates", True, [0, 1, 2])
    assert shown.here == 2.0
    (fresh,) = prefer_more_seeds(one, None)
    assert (fresh.verdict, fresh.stored) == ("not attempted", False)


def test_a_stored_outcome_is_shown_in_the_words_of_the_register(scores, tmp_path):
    jobs = jobs_of(scores(runs([50.0, 60.0, 70.0], [48.0, 58.1, 68.0])))
    stored = store_claims(jobs, tmp_path / "claims.json")
    old = stored.model_copy(update={"claims": [one.model_copy(update={"note": "old"}) for one in stored.claims]})
    shown = prefer_more_seeds(judge_claims(Results(jobs.layout.root, (0,))), old)
    assert [outcome.note for outcome in shown] == [claim.note for claim in load_claims()]
    assert sum(outcome.stored for outcome in shown) > 0


def test_other_words_for_a_claim_leave_stored_outcomes_current(tmp_path, monkeypatch):
    jobs = jobs_of(tmp_path)
    before = hash_of(claim_settings(jobs))
    for field, changes in (("statement", False), ("note", False), ("metric", True)):
        reworded = [claim.model_copy(update={field: "other"}) for claim in load_claims()]
        monkeypatch.setattr("dynfocus.reporting.claims.load_claims", lambda reworded=reworded: reworded)
        assert (hash_of(claim_settings(jobs)) != before) == changes
        monkeypatch.undo()


def test_the_origin_of_stored_outcomes_says_when_settings_changed(tmp_path):
    jobs = jobs_of(tmp_path)
    stored = store_claims(jobs, tmp_path / "claims.json")
    assert "seeds 0, 1, 2" in origin_of(stored, jobs) and "changed" not in origin_of(stored, jobs)
    assert "changed since" in origin_of(stored, jobs_of(tmp_path, "instruction.learning_rate=0.5"))
    assert "changed" not in origin_of(stored, jobs_of(tmp_path, "hardware.threads=2", "items=[table_7]"))


def test_the_claims_target_needs_every_run_that_a_claim_names_on_three_seeds(tmp_path):
    jobs = jobs_of(tmp_path)
    named = {side.partition(":")[0] for claim in load_claims() if claim.kind == "pair"
             for side in (claim.better, claim.worse)}  # fmt: skip
    assert named <= set(claim_runs(jobs)) and "prototypes_80" in claim_runs(jobs)
    assert {seed for _, seed in claim_evaluations(jobs)} == {0, 1, 2}
    assert claim_runs(jobs_of(tmp_path, "runs=[dynfocus, blind]")) == ["dynfocus", "blind"]


def test_every_claim_is_on_a_benchmark_that_both_its_runs_answer(tmp_path):
    jobs = jobs_of(tmp_path)
    shown = {run for run, _ in jobs.evaluations}
    for claim in load_claims():
        sides = (claim.better, claim.worse) if claim.kind == "pair" else (f"{claim.better}_20", f"{claim.better}_25")
        for run in (side.partition(":")[0] for side in sides):
            if run in jobs.experiments.runs:
                assert run in shown, f"{claim.id}: no item scores {run}"
                assert claim.benchmark in jobs.benchmarks(run), claim.id


@pytest.mark.parametrize(
    ("verdict", "better", "worse", "blind", "words"),
    [
        ("replicates", [3, 4, 5], [1, 2, 3], None, ""),
        ("not attempted", [3, 4], [1, 2], None, "needs 3 seeds, has 2"),
        ("within noise", [3, 1, 5], [1, 2, 3], None, "the sign changes between seeds (+2.0, −1.0, +2.0)"),
        ("within noise", [3, 12, 5], [2, 2, 4], None, "too wide a spread for 3 seeds (+1.0, +10.0, +1.0)"),
        ("within noise", [3, 4, 5], [3, 4, 5], None, "both sides score the same on every seed"),
        ("differs", [1, 1, 1], [2, 2, 2.1], None, "the other side is ahead"),
        ("differs", [1, 1, 1], [2, 2, 2.1], 20.0, "neither side is above the blind model (20.0)"),
    ],
)
def test_every_claim_that_fails_has_a_line_on_why(verdict, better, worse, blind, words):
    reason = reason_of(verdict, dict(enumerate(better)), dict(enumerate(worse)), blind, 3)
    assert reason.startswith(words) and bool(reason) == bool(words) and "\n" not in reason


def test_one_seed_has_the_interval_of_its_videos(scores):
    root = scores(runs([75.0], [50.0]))
    for run, right in (("dynfocus", 3), ("kmeans", 2)):
        lines = [
            {
                "benchmark": "msvd_qa", "sample_id": str(number), "question_ids": [str(number)],
                "video": f"{number}.mp4",
                "status": "ok", "values": {"accuracy": float(number < right), "score": 0.0}, "groups": {},
                "unparsed": False, "predicted": None, "correct": None, "replies": [""],
            }
            for number in range(4)
        ]  # fmt: skip
        path = root / f"results/scores/{run}/seed-0.samples.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = judge_claim(Results(root, (0,)), pair())
    assert outcome.low is None
    assert outcome.video_low == 0.0 and 25.0 < outcome.video_high <= 75.0  # one of four videos differs
    assert outcome.verdict == "not attempted"
