"""Verdicts on values and on directions."""

from pathlib import Path

import pytest

from dynfocus.config import load_config
from dynfocus.reporting.results import Gap, Measured
from dynfocus.reporting.verdicts import Verdict, correct, judge_direction, judge_obstacle, judge_value, scale_obstacle


def measured(value: float, half: float) -> Measured:
    return Measured(value, value - half, value + half, 100, (0,), (value,), ("results/scores/dynfocus/seed-0.json",))


@pytest.mark.parametrize(
    ("paper", "verdict"),
    [
        (60.0, Verdict.REPLICATES),
        (62.0, Verdict.REPLICATES),
        (62.1, Verdict.WITHIN_NOISE),
        (62.8, Verdict.WITHIN_NOISE),  # 2 * sqrt 2 = 2.83
        (62.9, Verdict.DIFFERS),
        (57.0, Verdict.DIFFERS),
    ],
)
def test_value_against_the_interval_60_plus_minus_2(paper, verdict):
    assert judge_value(paper, measured(60.0, 2.0), "") == verdict


def test_a_sample_is_never_held_against_the_paper(repository):
    config = load_config([repository / "config" / "paper.yaml"])
    assert scale_obstacle(config) == ""
    few = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"limit": 50})})
    assert scale_obstacle(few) == "a sample of 50 questions of each benchmark"


def test_small_scale_never_judges_values():
    assert judge_value(60.0, measured(60.0, 2.0), "generated films") == Verdict.OTHER_SCALE


@pytest.mark.parametrize(("paper", "ours"), [(60.0, None), (60.0, Gap("missing", "")), (None, measured(60.0, 2.0))])
def test_nothing_to_compare_is_not_attempted(paper, ours):
    assert judge_value(paper, ours, "") == Verdict.NOT_ATTEMPTED


@pytest.mark.parametrize(
    ("difference", "p_difference", "p_equivalence", "verdict"),
    [
        (2.0, 0.01, 0.4, Verdict.REPLICATES),
        (-2.0, 0.01, 0.4, Verdict.CONTRADICTED),
        (0.1, 0.4, 0.01, Verdict.EQUIVALENT),
        (0.5, 0.01, 0.01, Verdict.REPLICATES),  # there, and small: a direction comes first
        (2.0, 0.051, 0.051, Verdict.UNDECIDED),
    ],
)
def test_direction(difference, p_difference, p_equivalence, verdict):
    assert judge_direction(difference, p_difference, p_equivalence) == verdict


def test_p_values_are_corrected_after_benjamini_and_hochberg():
    assert correct([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])
    assert correct([]) == []


def test_mini_is_another_scale_and_paper_is_not():
    assert scale_obstacle(load_config([Path("config/mini.yaml")]))
    paper = load_config([Path("config/paper.yaml")])
    assert scale_obstacle(paper) == ""


def test_the_papers_judge_is_no_obstacle():
    config = load_config([Path("config/paper.yaml")], ["evaluation.judge.model=gpt-3.5-turbo-16k"])
    assert judge_obstacle(config, "msvd_qa") == ""


@pytest.mark.parametrize("settings", [["evaluation.judge.kind=rule"], []])
def test_another_judge_is_another_scale_only_for_judged_sets(settings):
    config = load_config([Path("config/paper.yaml")], settings)
    assert judge_obstacle(config, "msvd_qa")
    assert judge_obstacle(config, "video_mme") == ""
