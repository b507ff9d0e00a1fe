"""Redundancy of appendix A: equations 1 and 2 by hand, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.measuring.similarity import (
    consecutive_similarity,
    draw_questions,
    irrelevant_ratio,
    min_max,
    repetitive_ratio,
    sensitivity,
    similarities,
    summarise,
    text_similarity,
    unit_rows,
)


def angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_equation_1_by_hand():
    # turns of 0, 90 and 60 degrees: cosines 1, 0, 0.5, already in [0, 1]; only the first is above 0.6
    curve = consecutive_similarity(angles(0, 0, 90, 150))
    assert curve == pytest.approx([1.0, 0.0, 0.5])
    assert repetitive_ratio(curve) == pytest.approx(1 / 3)


def test_equation_2_by_hand():
    # cosines to the text 1, 0.5, 0, -1 become 1, 0.75, 0.5, 0: one of four is below 0.4
    curve = text_similarity(angles(0, 60, 90, 180), np.array([2.0, 0.0]))
    assert curve == pytest.approx([1.0, 0.75, 0.5, 0.0])
    assert irrelevant_ratio(curve) == 0.25


def test_thresholds_are_strict():
    assert repetitive_ratio(np.array([0.6, 0.7])) == 0.5
    assert irrelevant_ratio(np.array([0.4, 0.3])) == 0.5


def test_a_still_video_repeats_in_every_pair_and_one_frame_in_none():
    assert repetitive_ratio(consecutive_similarity(np.ones((5, 3)))) == 1.0
    assert repetitive_ratio(consecutive_similarity(np.ones((1, 3)))) == 0.0


def test_a_feature_without_direction_is_refused():
    with pytest.raises(ValueError, match="no direction"):
        unit_rows(np.array([[0.0, 0.0]]))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.floats(0.1, 10), st.floats(-5, 5))
def test_min_max_ignores_scale_and_offset(values, scale, offset):
    values = np.array(values)
    if np.ptp(values) > 1e-3:
        assert min_max(values * scale + offset) == pytest.approx(min_max(values), abs=1e-6)
        assert (min_max(values).min(), min_max(values).max()) == (0.0, 1.0)


def test_draw_is_seeded_and_ignores_the_order_of_the_file():
    questions = [(f"{video}.mp4", f"question {number}") for video in range(50) for number in range(3)]
    drawn = draw_questions(questions, seed=0)
    assert drawn == draw_questions(questions[::-1], seed=0)
    assert drawn != draw_questions(questions, seed=1)
    assert len({video for video, _ in drawn}) == len(drawn) == 20
    assert len(draw_questions(questions[:6], seed=0)) == 2


class FakeEmbedder:
    """Frames that turn by 90 degrees once, and a text along the first."""

    def frames(self, video):
        return angles(0, 0, 90, 90)

    def text(self, text):
        return np.array([1.0, 0.0])


def test_a_benchmark_is_the_mean_over_its_videos():
    curves = similarities([("a.mp4", "what"), ("b.mp4", "who")], FakeEmbedder())
    found = summarise("msvd_qa", curves)
    assert (found.repetitive, found.irrelevant, found.videos) == (pytest.approx(2 / 3), 0.5, 2)


def test_more_is_repetitive_and_less_irrelevant_at_lower_thresholds():
    rows = sensitivity(similarities([("a.mp4", "what")], FakeEmbedder()))
    repetitive, irrelevant = zip(*(rows[threshold] for threshold in sorted(rows)), strict=True)
    assert list(repetitive) == sorted(repetitive, reverse=True)
    assert list(irrelevant) == sorted(irrelevant)


def test_no_video_is_an_error_and_not_a_zero():
    with pytest.raises(ValueError, match="no video"):
        summarise("msvd_qa", [])
