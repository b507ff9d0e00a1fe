"""What a reader sees first: the verdict in a sentence, names of things, ranks, and one film."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from score_files import score_record

from dynfocus.config import load_config
from dynfocus.evaluation.evidence import Series
from dynfocus.measuring.pictures import to_text
from dynfocus.reporting.claims import Outcome
from dynfocus.reporting.cone_recall import Recall
from dynfocus.reporting.figures import percent_bars
from dynfocus.reporting.film import MOST, Film, film_of, marked, replies_table, strip_figure
from dynfocus.reporting.forest import WIDEST, line_of
from dynfocus.reporting.names import in_words, side_name
from dynfocus.reporting.report import GROUPS
from dynfocus.reporting.results import Results
from dynfocus.reporting.session import Session
from dynfocus.reporting.summary import recall_sentence, seed_spread, verdict_sentence
from dynfocus.reporting.tables import Comparison, Scale, paper_table, plain_table
from dynfocus.reporting.verdicts import Verdict

TITLES = {"dynfocus": "DynFocus", "dynfocus_full": "DynFocus, full mixture", "two_token": "w/o DPE+CCE"}


def outcome(verdict: Verdict, difference: float | None = 1.0, **fields) -> Outcome:
    return Outcome(
        id="structure.x", statement="A beats B", source="x", margin=3.0, verdict=verdict.value, difference=difference,
        better="dynfocus", worse="two_token", metric="msvd_qa accuracy", **fields,
    )  # fmt: skip


def test_the_verdict_counts_what_was_decided():
    found = 3 * [outcome(Verdict.REPLICATES)] + [outcome(Verdict.CONTRADICTED, -5.0)] + [outcome(Verdict.UNDECIDED)]
    assert verdict_sentence(found) == ("Of the paper's 5 claims 3 replicate, 1 is contradicted and 1 stays undecided.")
    single = [outcome(Verdict.UNDECIDED, 4.0, seeds=["0"]), outcome(Verdict.UNDECIDED, -4.0, seeds=["0"])]
    assert "a verdict needs 3 seeds, and there is 1. By sign alone 1 of 2 point" in verdict_sentence(single)
    assert "has been measured yet" in verdict_sentence([outcome(Verdict.NOT_ATTEMPTED, None)])


@pytest.mark.parametrize(
    ("difference", "low", "high", "middle", "beyond"),
    [
        (3.0, 0.0, 6.0, 1.0, ()),
        (3.0 * WIDEST + 1, None, None, WIDEST, ("right",)),
        (-12.0, -3.0 * WIDEST - 1, -3.0, -4.0, ("left",)),
    ],
)
def test_a_claim_is_drawn_in_margins_and_never_out_of_the_axis(difference, low, high, middle, beyond):
    line = line_of(outcome(Verdict.UNDECIDED, difference, low=low, high=high), TITLES)
    assert (line.middle, line.beyond) == (middle, beyond)
    assert line.sides == "MSVD-QA accuracy: DynFocus against w/o DPE+CCE"
    assert line.mark == (middle if abs(middle) < WIDEST else None) and (line.at(-WIDEST), line.at(WIDEST)) == (10, 210)


def test_names_stand_for_identifiers_and_paths_are_left_alone():
    said = in_words("two_token on msvd_qa; results/msvd_qa_two/x of dynfocus_full", TITLES)
    assert said == "w/o DPE+CCE on MSVD-QA; results/msvd_qa_two/x of DynFocus, full mixture"
    assert side_name("dynfocus_full:halluc_accuracy", TITLES) == "DynFocus, full mixture, hallucinated questions"


def test_at_another_scale_ranks_take_the_place_of_differences(scores):
    runs = {"kmeans": 30.0, "weighted_kmeans": 50.0, "dynfocus": 40.0}
    root = scores([score_record("msvd_qa", run, 0, {"accuracy": value}) for run, value in runs.items()])
    table = paper_table("table_5", "Clustering", Results(root, (0,)), Scale("mini", "small"), heads=("Clustering",))
    column = table.columns.index("MSVD-QA Acc")
    said = {row.labels[0]: table.ranks(column).get(place) for place, row in enumerate(table.rows)}
    assert said["DPC-KNN"] == "rank 2 of these 3, paper 1"
    assert all(cell.difference is None for cell in table.comparisons())
    paper_size = paper_table("table_5", "Clustering", Results(root, (0,)), Scale("paper"), heads=("Clustering",))
    assert not paper_size.ranks(column)


@pytest.fixture
def session(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(repository)
    return Session(load_config([Path("config/mini.yaml")], [f"root={tmp_path}"]), tmp_path)


def measure(session: Session) -> dict:
    frame = to_text(np.zeros((4, 4, 3), dtype=np.uint8))
    timeline = {
        "prototype_of_frame": [0, 1, 1], "prototype_frames": [0, 2], "scores": [1.0, 0.2],
        "cones": [True, False, False], "tokens_per_frame": [40, 2, 2],
    }  # fmt: skip
    found = {
        "run": "dynfocus_full", "benchmark": "video_mme", "video": "data/a.mp4", "question": "what?",
        "timeline": timeline, "frames": 3 * [frame], "seconds": [0.0, 2.0, 4.0], "fine": 3 * [[[0, 1], [0, 0]]],
        "questions": [
            {"id": "1", "question": "what?", "truth": "red"}, {"id": "2", "question": "who?", "truth": "ring"},
        ],
    }  # fmt: skip
    path = session.layout.measurement("figure_3")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    return found


def test_a_film_counts_its_tokens_and_shows_every_frame(session):
    film = film_of(measure(session), session.titles)
    assert (film.cones, film.tokens, film.tokens_if_all_cones) == (1, 44, 120)
    figure = strip_figure(film)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said.count("rod") == 2 and said.count("cone") == 1 and "4 s" in said
    assert "44 tokens instead of 120" in figure.get_suptitle()
    assert film.grid == 2 and film.frames[0].outline == "M1 0L1 1M1 1L2 1"


def test_ranks_are_taken_among_equal_measures_alone():
    def cell(paper, ours, measure):
        return Comparison(paper=paper, ours=ours, measure=measure, verdict=Verdict.OTHER_SCALE.value)

    rows = [("a", [cell(1, 5, "x")]), ("b", [cell(2, 6, "y")]), ("c", [cell(3, 4, "x")])]
    table = plain_table("t", "T", ("Row",), ("Acc",), [((name,), cells) for name, cells in rows])
    assert table.ranks(0) == {0: "rank 1 of these 2, paper 2", 2: "rank 2 of these 2, paper 1"}


def test_a_column_of_numbers_as_text_is_aligned_as_numbers():
    rows = [("a", ["12 %", "1 min 02 s", "4.2", "big"]), ("b", ["–", "3.1 s", "−1", "5"])]
    table = plain_table("t", "T", ("Row",), ("A", "B", "C", "D"), [((name,), cells) for name, cells in rows])
    assert [table.is_text(column) for column in range(4)] == [False, False, False, True]


def test_the_recall_is_read_against_a_draw_and_against_even_spacing():
    def recall(frames, **means):
        hits = {kind.replace("_", " "): np.full((2, 4), mean) for kind, mean in means.items()}
        films = ("a", "a", "b", "b")
        return Recall("dynfocus", "after stage 2", "msvd_qa", frames, 5, 8, (0, 1), films, hits)

    found = [
        recall(12, cones=0.8, drawn_among_prototypes=0.7, evenly_spaced=0.9),
        recall(24, cones=0.5, drawn_among_prototypes=0.3, evenly_spaced=0.4),
    ]
    said = recall_sentence(found, "dynfocus")
    assert "draw among the prototypes in 2 of 2 rows" in said and "evenly spaced frames in 1 (seeds 0, 1)" in said
    assert recall_sentence(found, "blind") == ""


def test_how_far_trainings_lie_apart_is_said_where_there_are_several():
    def series(seed, values):
        words = ("p", "m", "s", "q", "2026-01-01", "c")
        return Series("dynfocus", "msvd_qa", "accuracy", seed, *words, np.array(values))

    several = {one.key: one for one in (series(0, [1, 1, 0, np.nan]), series(1, [1, 0, 0, 0]))}
    assert len(several) == 2 and "DynFocus has 25 to 67 % on MSVD-QA over 2 seeds" in seed_spread(several, "DynFocus")
    assert seed_spread(dict(list(several.items())[:1]), "DynFocus") == ""


def test_guessing_is_drawn_where_its_accuracy_is_known():
    bars = {"DynFocus": {"order": Comparison(ours=30.0, low=20.0, high=40.0)}}
    assert "guessing, 25 %" in percent_bars(bars, "accuracy (%)", 25.0).axes[0].get_legend_handles_labels()[1]
    assert percent_bars(bars, "accuracy (%)").axes[0].get_legend() is None


def test_of_a_long_film_all_cones_and_rods_between_them_are_shown(session):
    (frame, *_), cones = film_of(measure(session), session.titles).frames, {5, 250, 299}
    frames = tuple(replace(frame, number=number, cone=number in cones) for number in range(300))
    shown = [one.number for one in Film("a", "DynFocus", "what?", frames, 2).shown]
    assert len(shown) == MOST and cones <= set(shown) and shown == sorted(shown) and shown[0] == 0


def test_replies_stand_beside_the_truth(session):
    measure(session)
    shard = session.layout.answers("dynfocus", 0, 0, 1)
    shard.parent.mkdir(parents=True)
    rows = [
        {"benchmark": "video_mme", "question_id": name, "status": "ok", "reply": reply}
        for name, reply in (("1", "Red"), ("2", "star"))
    ]
    shard.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = replies_table(session, ["dynfocus", "blind"])
    assert table.columns == ["Truth", "DynFocus"]
    assert [row.cells for row in table.rows] == [["red", "✓ Red"], ["ring", "star"]]
    assert marked("", "") == ""


def test_every_item_has_one_place_on_the_page(session):
    placed = [item for items in GROUPS.values() for item in items]
    assert len(placed) == len(set(placed)) and set(placed) <= set(session.experiments.items)
    assert not [title for title in session.titles.values() if re.search(r"[a-z]_[a-z]", title)]
