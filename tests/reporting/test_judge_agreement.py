"""Agreement of two judges: known values, and two verdict files of one run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dynfocus.errors import UserError
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.questions import Verdict
from dynfocus.evaluation.records import verdict_row
from dynfocus.reporting.judge_agreement import COLUMNS, agreement, agreement_table, mean_interval


def test_kappa_of_a_known_table():
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.70, by chance 0.50, κ 0.40."""
    pairs = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    assert agreement(pairs) == pytest.approx(0.4)


def test_weighted_kappa_equals_its_definition():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 6, 200)
    second = np.clip(first + generator.integers(-1, 2, 200), 0, 5)
    seen = np.zeros((6, 6))
    np.add.at(seen, (first, second), 1 / 200)
    chance = np.outer(seen.sum(1), seen.sum(0))
    weights = (np.arange(6)[:, None] - np.arange(6)) ** 2
    expected = 1 - (weights * seen).sum() / (weights * chance).sum()
    assert agreement(list(zip(first, second, strict=True))) == pytest.approx(expected)


@pytest.mark.parametrize("pairs", [[], [(1.0, 1.0)] * 5])
def test_no_kappa_where_chance_explains_all(pairs):
    assert agreement(pairs) is None


def verdicts(path, judge, marks):
    rows = [
        Verdict("msvd_qa", f"q{i}", "qa", "ok" if mark else "failed", mark, judge=judge) for i, mark in enumerate(marks)
    ]
    write_lines(path, [verdict_row(row, [row.item_id]) for row in rows])
    return path


def mark(pred, score):
    return {"pred": pred, "score": score}


def test_the_table_has_means_shift_agreement_and_what_one_judge_left_out(tmp_path):
    first = verdicts(tmp_path / "a", "rule", [mark("yes", 5), mark("no", 0), mark("no", 1), None, mark("yes", 5)])
    second = verdicts(tmp_path / "b", "served", [mark("yes", 4), mark("yes", 4), mark("no", 1), mark("no", 0), None])
    table = agreement_table([(first, second)])
    rows = {row.labels[2]: dict(zip(COLUMNS, row.cells, strict=True)) for row in table.rows}
    assert rows["yes"]["both"] == "3" and rows["yes"]["first alone"] == rows["yes"]["second alone"] == "1"
    assert (rows["yes"]["first"], rows["yes"]["second"], rows["yes"]["shift"]) == ("33.3", "66.7", "+33.3")
    assert rows["yes"]["same"] == "66.7%" and rows["yes"]["κ"] == "0.40"
    assert (rows["score"]["first"], rows["score"]["second"], rows["score"]["shift"]) == ("2.00", "3.00", "+1.00")
    assert table.notes == ["First: rule. Second: served.", "Answers of 1 run."]


def test_the_interval_is_that_of_a_mean_and_a_second_run_with_the_same_answers_does_not_narrow_it():
    values = np.random.default_rng(0).normal(size=30)
    items = [f"q{number}" for number in range(30)]
    mean, low, high = mean_interval(values, items)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 29, mean, stats.sem(values)))
    assert mean_interval(np.tile(values, 3), items * 3) == pytest.approx((mean, low, high))
    assert mean_interval(values[:2], ["q0", "q0"])[1:] == (-np.inf, np.inf)


def test_files_of_other_answers_are_refused(tmp_path):
    first = verdicts(tmp_path / "a", "rule", [mark("yes", 5), mark("no", 0)])
    second = verdicts(tmp_path / "b", "served", [mark("yes", 4)])
    with pytest.raises(UserError, match="1 items are in one of them alone"):
        agreement_table([(first, second)])
