"""Direction claims: paired over seeds, sweeps by their optimum."""

import json

import pytest
from score_files import score_record

from dynfocus.reporting.claims import (
    judge_claim,
    judge_claims,
    paired_interval,
    prefer_more_seeds,
    read_outcomes,
    write_outcomes,
)
from dynfocus.reporting.register import Claim, load_claims
from dynfocus.reporting.results import Results


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


def test_stored_outcomes_with_more_seeds_are_shown(scores, tmp_path):
    root = scores(runs([50.0, 60.0, 70.0], [48.0, 58.1, 68.0]))
    many = [judge_claim(Results(root, (0, 1, 2)), pair())]
    one = [judge_claim(Results(root, (0,)), pair())]
    write_outcomes(many, "mini", tmp_path / "claims.json")
    assert prefer_more_seeds(one, read_outcomes(tmp_path / "claims.json", "mini")) == many
    assert prefer_more_seeds(one, read_outcomes(tmp_path / "claims.json", "paper")) == one


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
