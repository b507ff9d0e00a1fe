"""Paper lint: numbers worked by hand, and exactly the known contradictions."""

import pytest

from dynfocus.paper import lint

FINDINGS = {finding.id: finding for finding in lint.run()}


def test_exactly_the_known_contradictions():
    assert {name for name, finding in FINDINGS.items() if finding.outcome == "contradiction"} == {
        "text.gain_videochat2",
        "same.table_7.dynfocus_video.vcg_score~table_1",
        "same.table_7.dynfocus_video.vcg_score~table_6",
        "table_7.label",
        "table_11.alignment_learning_rate",
        "table_8.llama_vid_7b",
        "table_8.llama_vid_13b",
        "table_8.dynfocus_rectified",
        "table_8.dynfocus_rectified.external_factual",
    }


@pytest.mark.parametrize(
    ("name", "recomputed"),
    [
        ("text.gain_videochat2", 27.3),  # 35.1 - 7.8
        ("text.gain_training_state", 0.16),  # 2.81 - 2.65
        ("table_8.llama_vid_7b", 17.5),  # (43.5 + 21 + 17 + 2.5 + 3.5) / 5
        ("table_8.llama_vid_13b", 29.2),  # (44.5 + 27 + 25.5 + 12.5 + 36.5) / 5
        ("table_8.dynfocus_rectified", 35.2),  # (52.5 + 33.5 + 38.5 + 13 + 38.5) / 5
        ("table_8.dynfocus_rectified.external_factual", 13.5),  # 98.5 + 15 - 100
        ("table_2.with", 33.1),  # 7.75 + 25.35
        ("text.token_reduction", 64.2857),  # 100 - 100 * 40 / 112
    ],
)
def test_recomputed_numbers(name, recomputed):
    assert FINDINGS[name].recomputed == pytest.approx(recomputed, abs=1e-3)


def test_every_contradiction_says_what_is_done():
    assert all(finding.choice for finding in FINDINGS.values() if finding.outcome == "contradiction")


def test_selection_multiply_adds():
    # e = 4: 16 + 8 + 2 + 1 for one prototype of width 2
    assert lint.selection_multiply_adds(2, 1) == 27


@pytest.mark.parametrize(("printed", "outcome"), [(35.2, "ok"), (35.1, "contradiction"), (35.3, "contradiction")])
def test_agreement_is_rounding_to_the_last_digit(printed, outcome):
    assert lint.compare("x", "x", printed, 35.2, 1).outcome == outcome
    assert lint.compare("x", "x", 35.2, 35.249, 1).outcome == "ok"
