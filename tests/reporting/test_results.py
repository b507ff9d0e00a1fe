"""Results: seeds are averaged, what is not there is a gap with a reason."""

import math

import pytest
from score_files import score_record

from dynfocus.errors import UserError
from dynfocus.reporting.results import Gap, Measured, Results, join_seeds


def test_one_seed_keeps_its_own_interval(scores):
    root = scores([score_record("msvd_qa", "dynfocus", 0, {"accuracy": 61.0}, half=3.0)])
    found = Results(root, (0,)).get("dynfocus", "msvd_qa", "accuracy")
    assert (found.value, found.low, found.high, found.seeds) == (61.0, 58.0, 64.0, (0,))
    assert found.files == ("results/scores/dynfocus/seed-0.json",)


def test_interval_of_three_seeds_joins_questions_and_training():
    # values 60, 62, 64: sd 2, t(0.975, 2) = 4.302653, half = 4.302653 * 2 / sqrt 3 = 4.968; with 3 of the questions
    mean, half = join_seeds([60, 62, 64], [3, 3, 3])
    assert mean == 62
    assert half == pytest.approx(math.hypot(4.968276, 3.0), abs=1e-4)


def test_interval_never_shrinks_below_that_of_the_questions():
    assert join_seeds([50, 50, 50], [2.0, 4.0, 3.0]) == (50, 3.0)


def test_missing_file_record_metric_and_group_are_gaps(scores):
    root = scores([score_record("msvd_qa", "dynfocus", 0, {"accuracy": 61.0, "score": None})])
    results = Results(root, (0,))
    for asked in [
        ("two_token", "msvd_qa", "accuracy"),
        ("dynfocus", "lvbench", "accuracy"),
        ("dynfocus", "msvd_qa", "score"),
        ("dynfocus", "msvd_qa", "accuracy", "duration=long"),
    ]:
        found = results.get(*asked)
        assert isinstance(found, Gap) and found.state == "missing" and found.reason


def test_a_missing_seed_is_noted_and_not_averaged_as_zero(scores):
    root = scores([score_record("msvd_qa", "dynfocus", seed, {"accuracy": 60.0 + seed}) for seed in (0, 2)])
    found = Results(root, (0, 1, 2)).get("dynfocus", "msvd_qa", "accuracy")
    assert isinstance(found, Measured)
    assert (found.value, found.seeds) == (61.0, (0, 2))
    assert found.notes == ("no scores of msvd_qa for dynfocus, seed 1",)


def test_too_many_unjudged_answers_withhold_the_number(scores):
    root = scores([score_record("msvd_qa", "dynfocus", 0, {"accuracy": 61.0}, unjudged=1)])
    assert Results(root, (0,), max_unjudged=0.001).get("dynfocus", "msvd_qa", "accuracy") == Gap(
        "withheld", "1 of 40 answers unjudged"
    )
    assert isinstance(Results(root, (0,), max_unjudged=0.5).get("dynfocus", "msvd_qa", "accuracy"), Measured)


def test_a_group_is_read_by_its_label(scores):
    groups = {"duration": {"long": {"accuracy": 33.0}}}
    root = scores([score_record("video_mme", "dynfocus", 0, {"accuracy": 40.0}, groups)])
    assert Results(root, (0,)).get("dynfocus", "video_mme", "accuracy", "duration=long").value == 33.0


@pytest.mark.parametrize("content", ["{not json", '{"benchmark": "msvd_qa"}', '[{"run": "dynfocus"}]'])
def test_a_broken_score_file_is_named(scores, content):
    root = scores([score_record("msvd_qa", "dynfocus", 0, {"accuracy": 61.0})])
    (root / "results/scores/dynfocus/seed-0.json").write_text(content)
    with pytest.raises(UserError, match=r"seed-0\.json"):
        Results(root, (0,)).get("dynfocus", "msvd_qa", "accuracy")
