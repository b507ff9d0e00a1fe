"""What a notebook says about its table comes from the data, whichever way they fall."""

from __future__ import annotations

import pytest

from dynfocus.paper.register import load_claims
from dynfocus.reporting.claims import Outcome
from dynfocus.reporting.reading import Reading, certainty, concerns, directions, read_item, sentence
from dynfocus.reporting.session import open_session
from dynfocus.reporting.tables import Comparison, Row, Table

FOUND = {"better_value": 50.0, "worse_value": 40.0, "difference": 10.0, "low": -2.0, "high": 22.0, "by_seed": [10.0]}


def outcome(**values):
    base = {"id": "a", "statement": "A beats B", "source": "Table 7", "margin": 1.0, "worse": "b", "metric": "msvd_qa"}
    return Outcome(**(base | values))


def test_a_direction_is_said_as_it_came_out():
    tested = outcome(**FOUND, verdict="undecided", reason="needs 3 seeds, has 1", seeds=["0"], films=20)
    assert sentence(tested) == ("A beats B (Table 7): +10.0 [−2.0, +22.0] in msvd_qa, undecided; needs 3 seeds, has 1.")
    other = outcome(**(FOUND | {"difference": -10.0}), verdict="contradicted")
    assert "−10.0" in sentence(other) and "contradicted" in sentence(other)
    assert sentence(outcome(reason="no results of b")) == "A beats B (Table 7): not attempted; no results of b."
    assert directions([tested, other])[0].endswith("2; contradicted 1, undecided 1.")
    assert "films: 20" in certainty([tested])[0] and "No direction" in certainty([outcome()])[0]


def test_items_have_the_claims_of_their_runs():
    session = open_session("mini")
    of = {
        item: {claim.id.split(".")[0] for claim in load_claims() if concerns(session, item, claim)}
        for item in ("table_1", "table_5", "table_6", "prototypes", "table_8", "table_3")
    }
    assert of["table_1"] == {"training"} and of["table_5"] == {"clustering"} and of["table_6"] == {"fusion"}
    assert of["prototypes"] == {"length"} and of["table_8"] == {"hallucination"} and of["table_3"] == set()


def test_every_claim_is_read_somewhere():
    session = open_session("mini")
    lost = [
        claim.id
        for claim in load_claims()
        if not any(concerns(session, item, claim) for item in session.experiments.items)
    ]
    assert lost == []


@pytest.mark.parametrize("ours", [None, 41.0])
def test_gaps_and_scale_are_named(ours):
    cell = Comparison(paper=67.9, ours=ours, gap="" if ours else "no score file of dynfocus")
    table = Table(id="t", title="T", heads=[], columns=["Acc"], rows=[Row(labels=[], cells=[cell])])
    parts = read_item(open_session("mini"), "table_3", [table]).parts
    assert f"beside them: {int(ours is not None)} of 1" in " ".join(parts["What came out"])
    reasons = " ".join(parts["Why it may differ"])
    assert "only directions are judged" in reasons and ("1 numbers are missing" in reasons) == (ours is None)


def test_what_stands_in_results_is_text_and_no_markup():
    page = Reading({"What came out": ["<script>"], "How sure": []})._repr_html_()
    assert "&lt;script&gt;" in page and "How sure" not in page
