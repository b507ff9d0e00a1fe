"""Intervals by video, bounds and paired tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.evaluation.questions import Metric, Sample
from dynfocus.evaluation.statistics import bounds, compare, estimate

MEAN = Metric("accuracy", "accuracy")
MACRO = Metric("m_avg", "accuracy", macro="task")


def samples_of(values, clusters=None, tasks=None, status="ok"):
    return [
        Sample(
            sample_id=str(i),
            cluster=str(clusters[i]) if clusters else str(i),
            question_ids=(str(i),),
            status=status,
            values={"accuracy": value},
            groups={"task": (tasks[i],)} if tasks else {},
        )
        for i, value in enumerate(values)
    ]


def test_mean_and_macro_mean():
    samples = samples_of([1.0, 0.0, 0.0, 0.0, 1.0], tasks="aaaab")
    assert estimate(samples, MEAN, 50, "s").value == pytest.approx(40.0)
    assert estimate(samples, MACRO, 50, "s").value == pytest.approx((25 + 100) / 2)


def test_interval_of_independent_questions_has_the_binomial_width():
    values = [1.0] * 300 + [0.0] * 700
    found = estimate(samples_of(values), MEAN, 4000, "s")
    half = 1.96 * 100 * np.sqrt(0.3 * 0.7 / 1000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_questions_that_agree_within_a_video_widen_the_interval():
    values = [1.0] * 300 + [0.0] * 700
    clustered = estimate(samples_of(values, clusters=[i // 10 for i in range(1000)]), MEAN, 4000, "s")
    free = estimate(samples_of(values), MEAN, 4000, "s")
    assert (clustered.high - clustered.low) == pytest.approx(np.sqrt(10) * (free.high - free.low), rel=0.1)


def test_bootstrap_equals_a_plain_loop():
    generator = np.random.default_rng(0)
    values = generator.random(40)
    clusters = [i % 8 for i in range(40)]
    means = []
    for _ in range(4000):
        drawn = generator.integers(0, 8, 8)
        means.append(np.concatenate([values[[i for i in range(40) if clusters[i] == video]] for video in drawn]).mean())
    low, high = 100 * np.percentile(means, [2.5, 97.5])
    found = estimate(samples_of(values.tolist(), clusters), MEAN, 4000, "s")
    assert (found.low, found.high) == (pytest.approx(low, abs=0.7), pytest.approx(high, abs=0.7))


def test_an_interval_depends_on_its_seed_text_alone():
    samples = samples_of(np.random.default_rng(0).random(30).tolist())
    assert estimate(samples, MEAN, 100, "a") == estimate(samples[::-1], MEAN, 100, "a")
    assert estimate(samples, MEAN, 100, "a") != estimate(samples, MEAN, 100, "b")


def test_samples_without_a_value_do_not_count():
    found = estimate(samples_of([1.0, None, 0.0, None]), MEAN, 10, "s")
    assert (found.value, found.n) == (50.0, 2)
    assert estimate(samples_of([None]), MEAN, 10, "s").record() == {"value": None, "low": None, "high": None, "n": 0}


def test_bounds_fill_unknown_samples_and_leave_out_what_the_rule_leaves_out():
    known, unknown = samples_of([1.0, 0.0]), samples_of([None, None], status="missing_video")
    assert bounds([*known, *unknown], MEAN) == (25.0, 75.0)
    left_out = samples_of([None, None], status="ok")
    assert bounds([*known, *left_out], MEAN) == (50.0, 50.0)
    assert bounds([*known, *unknown], Metric("score", "accuracy", scale=1.0, low=2.0, high=10.0)) == (1.25, 5.25)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, None]), st.integers(0, 4)), min_size=1, max_size=30))
def test_bounds_enclose_the_score(rows):
    samples = [
        Sample(str(i), str(video), (str(i),), "ok" if value is not None else "unjudged", {"accuracy": value}, {})
        for i, (value, video) in enumerate(rows)
    ]
    low, high = bounds(samples, MEAN)
    found = estimate(samples, MEAN, 20, "s").value
    assert low <= high
    assert found is None or low - 1e-9 <= found <= high + 1e-9


def test_equal_runs_do_not_differ():
    samples = samples_of([1.0, 0.0, 1.0, 1.0], clusters=[0, 0, 1, 2])
    found = compare(samples, samples, MEAN, 200, "s")
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_gain_is_significant_and_pairing_makes_it_so():
    generator = np.random.default_rng(1)
    base = generator.integers(0, 2, 200).astype(float)
    better = base.copy()
    better[np.flatnonzero(base == 0)[:20]] = 1.0
    found = compare(samples_of(better.tolist()), samples_of(base.tolist()), MEAN, 2000, "s")
    assert found.difference == pytest.approx(10.0)
    assert found.low > 0 and found.p < 0.01
    unpaired = estimate(samples_of(base.tolist()), MEAN, 2000, "s")
    assert found.high - found.low < unpaired.high - unpaired.low


def test_a_difference_inside_one_video_is_not_significant():
    a, b = [1.0] * 20 + [0.0] * 4, [0.0] * 20 + [0.0] * 4
    clusters = [0] * 20 + [1, 2, 3, 4]
    assert compare(samples_of(a, clusters), samples_of(b, clusters), MEAN, 2000, "s").p > 0.2


def test_p_values_are_calibrated_for_runs_that_do_not_differ():
    generator = np.random.default_rng(2)
    small = 0
    for trial in range(200):
        a, b = (samples_of(generator.normal(size=30).tolist()) for _ in range(2))
        small += compare(a, b, MEAN, 200, str(trial)).p <= 0.1
    assert 6 <= small <= 36  # 200 · 0.1 expected, binomial


def test_only_common_samples_are_compared_and_macro_metrics_too():
    a = samples_of([1.0, 1.0, 0.0, 1.0], tasks="aabb")
    b = samples_of([1.0, 0.0, None, 1.0], tasks="aabb")
    found = compare(a, b, MACRO, 100, "s")
    assert found.n == 3
    assert found.difference == pytest.approx(100 * ((1.0 + 1.0) / 2 - (0.5 + 1.0) / 2))
