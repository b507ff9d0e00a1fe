"""The other report items: settings, training data, hours, token budget, groups, sweeps, latency, conversations."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from evidence_files import answers, questions, series
from score_files import score_record

from dynfocus.config import load_config
from dynfocus.config.schema import Video
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import Reply, VideoProblem
from dynfocus.evaluation.evidence import Evidence
from dynfocus.evaluation.questions import Question
from dynfocus.measuring import hours, mixtures
from dynfocus.measuring.latency import time_answers
from dynfocus.measuring.pictures import from_text, to_text
from dynfocus.measuring.redundancy import question_and_answer, resize
from dynfocus.reporting import sweeps
from dynfocus.reporting.breakdown import group_table
from dynfocus.reporting.cases import case_studies
from dynfocus.reporting.hours import accuracy_table, hours_table
from dynfocus.reporting.latency import latency_cell, latency_table, order_notes
from dynfocus.reporting.session import Session
from dynfocus.reporting.settings import settings_table
from dynfocus.reporting.sweeps import optimum_table, sweep_table
from dynfocus.reporting.tables import Comparison, Row
from dynfocus.reporting.token_budget import frame_table, video_table
from dynfocus.reporting.training_data import data_table


def session_of(root: Path, *overrides: str, profile: str = "mini") -> Session:
    config = load_config([Path(f"config/{profile}.yaml")], [f"root={root}", *overrides])
    return Session(config, root)


def store(session: Session, item: str, values: dict) -> None:
    """Values as the measurement of an item."""
    path = session.layout.measurement(item)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def texts(table) -> dict[str, list]:
    return {row.labels[0]: row.cells for row in table.rows}


# Table 11


def test_paper_profile_has_the_settings_of_table_11_but_for_zero(tmp_path):
    rows = texts(settings_table(session_of(tmp_path, profile="paper"), "dynfocus_full"))
    unequal = {name for name, cells in rows.items() if any("≠" in cell for cell in cells)}
    assert unequal <= {"DeepSpeed stage"}
    assert rows["Learning rate"] == ["0.001", "0.001", "2e-05", "2e-05"]


def test_another_setting_than_the_paper_s_is_marked(tmp_path):
    rows = texts(settings_table(session_of(tmp_path, "instruction.global_batch=64", profile="paper"), "dynfocus_full"))
    assert rows["Batch size"][2:] == ["32", "64 ≠"]


# Tables 9 and 10


def test_training_data_is_counted_from_the_files(tmp_path):
    part = tmp_path / "data/webvid_cap/results_2M_train_50/0.csv"
    part.parent.mkdir(parents=True)
    part.write_text("videoid,name,page_dir\n1,a red ball rolls,p\n2,a cube stops,p\n")
    session = session_of(tmp_path)
    store(session, "training_data", mixtures.measure(session.jobs, "training_data"))
    table = data_table(session, "table_10", "Alignment")
    rows = texts(table)
    assert rows["WebVid-Cap"][:4] == ["Video-Text", "Captioning", "2", "2"]
    assert rows["WebVid-Cap"][6] == "7"  # answer words: 4 + 3
    assert rows["LLaVA-filtered CC3M"][2] == "missing"
    assert rows["Total"][2] == "at least 2"
    assert any(note.startswith("LLaVA-filtered CC3M: ") and "llava_cc3m" in note for note in table.notes)


# Table 2


def write_log(folder: Path, seconds: list[float]) -> None:
    folder.mkdir(parents=True)
    lines = [f"{step},2.5,{value}" for step, value in enumerate(seconds, 1)]
    (folder / "log.csv").write_text("\n".join(["step,loss,seconds", *lines]) + "\n")


def test_hours_are_the_sum_of_the_steps_and_their_ratio(tmp_path):
    session = session_of(tmp_path)
    for run, scale in (("two_token", 1.0), ("dynfocus", 2.0)):
        write_log(session.layout.alignment(session.jobs.alignment_key(run, 0)), [900 * scale] * 2)
        write_log(session.layout.instruction(run, 0), [5400 * scale])
    store(session, "table_2", hours.measure(session.jobs, "table_2"))
    rows = texts(hours_table(session))
    assert [cell.ours for cell in rows["w/o DPE+CCE"]] == [0.5, 1.5, 2.0]
    assert rows["with / without"][2].ours == 2.0
    assert rows["with / without"][2].paper == pytest.approx(33.10 / 25.48)


def test_hours_stand_beside_what_they_buy(scores):
    root = scores([score_record("msvd_qa", "two_token", 0, {"accuracy": 40.0})])
    rows = texts(accuracy_table(session_of(root)))
    assert rows["w/o DPE+CCE"][0].ours == 40.0 and rows["DynFocus"][0].gap


def test_hours_without_a_log_are_gaps(tmp_path):
    assert all(cell.gap for cell in hours_table(session_of(tmp_path)).comparisons())


# B.3


def test_token_budget_of_the_paper_profile_is_the_paper_s(tmp_path):
    session = session_of(tmp_path, profile="paper")
    assert [cell.ours for cell in frame_table(session).comparisons()] == [40, 2, 2, 112]
    assert {cell.verdict for cell in frame_table(session).comparisons()} == {"replicates"}
    rows = texts(video_table(session, "token_budget"))
    assert rows["DynFocus"][2] == "960"  # 100 frames: 20 · 40 + 2 · 80
    assert rows["LLaMA-VID"][2] == "200"
    assert "DynFocus, L and K of the paper" not in rows


def test_token_budget_of_a_smaller_profile_shows_the_paper_s_l_and_k_too(tmp_path):
    smaller = ("network.event_prototypes=5", "network.selection_ratio=0.8")
    table = video_table(session_of(tmp_path, *smaller), "token_budget")
    rows = texts(table)
    assert rows["DynFocus"][2] == "352"  # 100 frames: 4 · 40 + 2 · 96
    assert rows["DynFocus, L and K of the paper"][2] == "960"
    assert table.notes == ["DynFocus keeps K = 4 of L = 5 event prototypes here, 20 of 25 in the paper."]


# C.3 and B.7


def test_groups_come_in_the_paper_s_order_with_gaps(scores):
    groups = {"capability": {"reasoning": {"accuracy": 30.0}, "temporal grounding": {"accuracy": 20.0}}}
    root = scores([score_record("lvbench", "dynfocus_full", 0, {"accuracy": 25.0}, groups)])
    rows = texts(group_table(session_of(root), "long_video", "lvbench", "capability", "LVBench"))
    assert next(iter(rows)) == "TG: temporal grounding" and len(rows) == 6
    assert rows["Rea: reasoning"][0].ours == 30.0
    assert rows["Sum: summarization"][0].gap


@pytest.mark.parametrize("seeds", [1, 3])
def test_best_setting_is_the_smallest_of_equals_in_the_paper_s_unit_with_its_interval(tmp_path, monkeypatch, seeds):
    asked = questions("video_mme", labels=("duration=long",))
    chances = {5: 30.0, 15: 70.0, 55: 70.0}
    made = [
        series(f"prototypes_{setting}", seed, answers(chance, seed), benchmark="video_mme", questions="video_mme-v1")
        for setting, chance in chances.items()
        for seed in range(seeds)
    ]
    monkeypatch.setattr(sweeps, "evidence_of", lambda jobs: Evidence(tuple(made), asked))
    session = session_of(tmp_path, "network.event_prototypes=5")
    rows = texts(optimum_table(session))
    assert session.jobs.run("prototypes_15").network.event_prototypes == 3
    best = rows["long videos"][0]
    assert (best.ours, best.paper, best.seeds) == (15, 60, seeds)
    assert (best.low, best.high) == ((None, None) if seeds == 1 else (15.0, 15.0))  # 15 and 55 answer alike
    assert rows["short videos"][0].gap


def test_a_sweep_shows_the_setting_that_ran_beside_the_paper_s(scores):
    groups = {"duration": {"long": {"accuracy": 45.0}}}
    root = scores([score_record("video_mme", "prototypes_15", 0, {"accuracy": 40.0}, groups)])
    here = session_of(root, "network.event_prototypes=10")
    rows = {tuple(row.labels): row.cells for row in sweep_table(here, "prototypes", "L", "L").rows}
    settings = [(2, 5), (6, 15), (10, 25), (12, 30), (16, 40), (22, 55), (24, 60), (32, 80)]
    assert list(rows) == [(str(own), str(paper)) for own, paper in settings]
    assert rows["10", "25"][2].gap and rows["6", "15"][2].ours == 45.0
    paper = sweep_table(session_of(root, profile="paper"), "prototypes", "L", "L")
    assert [row.labels[0] for row in paper.rows] == [row.labels[1] for row in paper.rows] and not paper.notes
    ratio = sweep_table(here, "ratio", "K/L", "K/L")
    assert [row.labels for row in ratio.rows] == [[f"{share:g}"] * 2 for share in (0.2, 0.4, 0.6, 0.8, 1.0)]


# Table 4 and Figures 1 and 2


def question(number: int, **changes) -> Question:
    fields = {
        "benchmark": "msvd_qa",
        "question_id": str(number),
        "video": f"{number}.mp4",
        "text": "what",
        "gold": "ball",
    }
    return Question(**fields | {"encoder_prompt": f"what is it {number}"} | changes)


class EchoAnswerer:
    """Repeats the question; the second video is missing."""

    def __init__(self):
        self.shown = []

    def load(self, asked):
        if asked.video == "2.mp4":
            raise VideoProblem("missing_video", "not there")
        return asked.video

    def answer(self, requests):
        self.shown += [request.video for request in requests]
        return [Reply(f"{request.question.encoder_prompt} in {request.video}") for request in requests]


def test_a_missing_video_is_not_timed_and_none_is_asked_twice():
    answerer = EchoAnswerer()
    assert len(time_answers(answerer, [question(number) for number in (1, 2, 3, 4)])) == 2
    assert answerer.shown == ["1.mp4", "3.mp4", "4.mp4"]
    with pytest.raises(UserError, match="1 videos could be shown; the first one warms up"):
        time_answers(answerer, [question(1), question(2)])


def test_latency_interval_by_hand():
    # 1, 2, 3 seconds: half = 4.302653 / sqrt 3
    cell = latency_cell(Comparison(paper=1.4, unit="s"), [1.0, 2.0, 3.0])
    assert (cell.ours, cell.questions) == (2.0, 3)
    assert cell.high - cell.ours == pytest.approx(2.484138, abs=1e-5)


def test_another_order_of_latencies_than_the_paper_s_is_said():
    def row(name: str, paper: float, ours: float | None) -> Row:
        return Row(labels=[name], cells=[Comparison(paper=paper, ours=ours, unit="s")])

    rows = [row("LLaMA-VID", 1.3, 0.1), row("DynFocus (L = 25)", 1.4, 0.3), row("Flash-VStream", 1.7, 0.2)]
    said = (
        "MSVD, fastest first: here LLaMA-VID, Flash-VStream, DynFocus; in the paper LLaMA-VID, DynFocus, Flash-VStream."
    )
    assert order_notes(rows, ["MSVD"]) == [said]
    assert order_notes([*rows[:2], row("Flash-VStream", 1.7, 0.4)], ["MSVD"]) == []
    assert order_notes([*rows[:2], row("Flash-VStream", 1.7, None)], ["MSVD"]) == []


def test_latency_without_checkpoints_is_gaps(tmp_path):
    cells = latency_table(session_of(tmp_path)).comparisons()
    assert len(cells) == 9 and all(cell.gap for cell in cells)


def test_latency_names_the_device_that_it_was_measured_on(tmp_path):
    session = session_of(tmp_path)
    values = {"device": "a card", "questions": 2, "seconds": {"dynfocus": {"msvd_qa": [1.0, 3.0]}}, "gaps": {}}
    store(session, "table_4", values)
    table = latency_table(session)
    assert [cell.ours for cell in table.comparisons() if not cell.gap] == [2.0]
    assert "on a card" in table.notes[0]


def test_a_conversation_shows_frames_replies_and_annotation_in_order(tmp_path):
    session, grey = session_of(tmp_path), np.full((8, 8, 3), 90, dtype=np.uint8)
    assert (from_text(to_text(grey)) == grey).all()
    turns = [{"question": f"what {number}", "reply": f"reply {number}", "gold": "ball"} for number in range(3)]
    timeline = {
        **{"prototype_of_frame": [0, 0], "prototype_frames": [1], "scores": [1.0], "cones": [False, True]},
        "tokens_per_frame": [2, 40],
    }
    case = {
        **{"run": "dynfocus_full", "video": "1.mp4", "question": "what 0", "timeline": timeline, "turns": turns},
        **{"fine": 2 * [[[0, 1], [0, 0]]], "frames": 2 * [to_text(grey)], "seconds": [0.0, 4.0]},
    }
    store(session, "figure_1", {"cases": [case]})
    (table,), figures, notes = case_studies(session, "figure_1")
    assert [row.cells[1] for row in table.rows] == ["reply 0", "reply 1", "reply 2"] and not notes
    (figure, _), *others = figures.values()
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert not others and [text for text in said if text] == ["0 s", "2", "rod", "4 s", "40", "cone"]


def test_a_figure_without_its_measurement_says_how_to_make_it(tmp_path):
    assert case_studies(session_of(tmp_path), "figure_1")[2] == [
        "missing: nothing was measured for figure_1; make it with: dynfocus measure-item --item figure_1"
    ]


# Appendix A on files


@pytest.fixture
def film(tmp_path) -> Path:
    """Twelve frames at 4 fps; frame t is grey of level 20 t."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4, options={"crf": "1"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_question_and_answer_uses_the_option_s_text():
    options = ("A. red", "B. blue")
    assert question_and_answer(question(1, gold="B", options=options)) == "what is it 1 B. blue"
    assert question_and_answer(question(1)) == "what is it 1 ball"
    assert question_and_answer(question(1, gold=None)) == "what is it 1"


def test_a_frame_of_the_right_size_is_not_touched():
    frame = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    assert resize(frame, 16, 16) is frame
    assert resize(frame, 8, 4).shape == (4, 8, 3)


def test_a_clip_checkpoint_embeds_frames_and_text(film, tmp_path):
    from dynfocus.measuring.redundancy import ClipEmbedder
    from dynfocus.network.clip import build, save

    shape = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 64, "layers": 1, "head_width": 32},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    save(build(shape), shape, tmp_path / "clip")
    embedder = ClipEmbedder(tmp_path / "clip", tmp_path, Video(fps=1.0))
    assert embedder.frames("film.mp4").shape == (3, 8)
    assert embedder.text("what is it ball").shape == (8,)
