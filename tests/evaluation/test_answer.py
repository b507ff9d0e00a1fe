"""Shards, batches and kills never change, lose or repeat an answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import official_files
import pytest
from scripted import Scripted, make_config

from dynfocus.errors import UserError
from dynfocus.evaluation import answer as answering
from dynfocus.evaluation.answer import answer_batches, answer_shard, plan_batches, rectified, reply_to, shard_batches
from dynfocus.evaluation.answerers.base import Reply
from dynfocus.evaluation.benchmarks import BENCHMARKS, benchmark, load_questions
from dynfocus.evaluation.lines import AppendOnly, Taken, read_lines


@pytest.fixture
def data_dir(tmp_path):
    official_files.all_sets(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def questions(data_dir):
    return [question for name in BENCHMARKS for question in load_questions(benchmark(name), data_dir)]


def reply_of(question):
    """A reply that differs from question to question."""
    return f"{question.question_id} of {question.video}"


@pytest.fixture
def scripted(monkeypatch):
    """Makes `answer_shard` use a scripted answerer; returns it."""
    answerer = Scripted(reply_of)
    monkeypatch.setattr("dynfocus.evaluation.answerers.load_answerer", lambda *_: answerer)
    return answerer


def run_shards(tmp_path, data_dir, num_shards, name, **settings):
    config = make_config(**settings)
    (tmp_path / "model").mkdir(exist_ok=True)
    for shard in range(num_shards):
        out = tmp_path / name / f"shard-{shard}-of-{num_shards}.jsonl"
        places = (tmp_path / "model", data_dir, tmp_path / "features", out, tmp_path / "work")
        answer_shard(config, "run", 0, list(BENCHMARKS), shard, num_shards, *places)
    return sorted((tmp_path / name).glob("*.jsonl"))


def merged(files):
    return sorted(line for file in files for line in file.read_text().splitlines())


def test_one_shard_equals_seven_shards(tmp_path, data_dir, questions, scripted):
    one = run_shards(tmp_path, data_dir, 1, "one")
    batches_of_one = sorted(scripted.batches)
    scripted.batches.clear()
    seven = run_shards(tmp_path, data_dir, 7, "seven")
    assert merged(one) == merged(seven)
    assert len(merged(one)) == len(questions)
    assert sorted(scripted.batches) == batches_of_one, "the same questions share a batch"


def test_batch_size_does_not_change_the_answers(tmp_path, data_dir, scripted):
    assert merged(run_shards(tmp_path, data_dir, 2, "small", batch_size=1)) == merged(
        run_shards(tmp_path, data_dir, 2, "large", batch_size=16)
    )
    assert {min(map(len, scripted.batches)), max(map(len, scripted.batches))} == {1, 16}


def test_a_shard_file_is_sorted_and_leaves_no_work_behind(tmp_path, data_dir, scripted):
    (file,) = run_shards(tmp_path, data_dir, 1, "one")
    keys = [(row["benchmark"], row["question_id"]) for row in read_lines(file)]
    assert keys == sorted(keys)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_line_has_the_prompts_and_the_video(tmp_path, data_dir, scripted):
    (file,) = run_shards(tmp_path, data_dir, 1, "one")
    row = next(row for row in read_lines(file) if row["benchmark"] == "lvbench" and row["question_id"] == "2")
    assert row["video"] == "videos/aaaaaaaaaaa.mp4" and row["status"] == "ok"
    assert row["encoder_prompt"] == "Which colour has ball 2?" and "(A) Red" in row["prompt"]


def test_more_shards_than_videos_gives_empty_files(tmp_path, data_dir, scripted):
    files = run_shards(tmp_path, data_dir, 60, "many")
    assert len(files) == 60 and any(file.read_text() == "" for file in files)
    assert len(merged(files)) == len(merged(run_shards(tmp_path, data_dir, 1, "one")))


def test_what_a_batch_left_close_is_asked_again_alone():
    asked = []

    def answer(requests):
        asked.append(list(requests))
        return [Reply(f"{request} of {len(requests)}", close=request == "b") for request in requests]

    assert reply_to(["a", "b", "c"], answer) == (["a of 3", "b of 1", "c of 3"], 1)
    assert asked == [["a", "b", "c"], ["b"]]
    assert reply_to(["b"], answer) == (["b of 1"], 0), "alone it stays as it is"
    assert reply_to([], answer) == ([], 0)
    assert len(asked) == 3


def test_batches_hold_one_benchmark_and_keep_a_video_together(questions):
    batches = plan_batches(questions, 4)
    assert all(len({question.benchmark for question in batch}) == 1 for batch in batches)
    assert all(len(batch) <= 4 for batch in batches)
    assert sorted(question.key for batch in batches for question in batch) == sorted(q.key for q in questions)
    videos = [question.video for batch in batches for question in batch if question.benchmark == "msvd_qa"]
    assert videos == sorted(videos)


def test_the_plan_does_not_depend_on_the_order_of_the_questions(questions):
    assert plan_batches(questions, 4) == plan_batches(questions[::-1], 4)


def test_every_batch_is_in_exactly_one_shard(questions):
    batches = plan_batches(questions, 2)
    dealt = [batch for shard in range(5) for batch in shard_batches(batches, shard, 5)]
    assert sorted(b[0].key for b in dealt) == sorted(b[0].key for b in batches)


def test_missing_and_unreadable_videos_are_recorded_with_their_status(tmp_path, questions):
    chosen = [question for question in questions if question.benchmark == "msvd_qa"]
    broken = {"videos/clip0_0_10.avi": "missing_video", "videos/clip2_0_10.avi": "unreadable"}
    rows = answer_batches(plan_batches(chosen, 4), lambda: Scripted(reply_of, broken), tmp_path / "part.jsonl")
    found = {row["question_id"]: (row["status"], row["reply"]) for row in rows}
    assert found["v_clip0_0_10_1"] == ("missing_video", "")
    assert found["v_clip2_0_10_0"] == ("unreadable", "")
    assert found["v_clip1_0_10_0"] == ("ok", "v_clip1_0_10_0 of videos/clip1_0_10.avi")
    assert {row["reason"] for row in rows if row["status"] != "ok"} == {"as the test wants"}


def test_a_restart_answers_only_what_is_left_and_a_torn_batch_again_as_a_whole(tmp_path, questions):
    batches = plan_batches(questions, 4)
    part = tmp_path / "part.jsonl"
    whole = answer_batches(batches, lambda: Scripted(reply_of), tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    kept = sum(len(batch) for batch in batches[:3]) + 1
    part.write_bytes(b"".join(lines[:kept]) + lines[kept][:-5])
    again = Scripted(reply_of)
    assert answer_batches(batches, lambda: again, part) == whole
    assert again.batches == [[question.question_id for question in batch] for batch in batches[3:]]


def test_nothing_is_loaded_where_nothing_is_left(tmp_path, questions):
    batches = plan_batches(questions, 4)
    part = tmp_path / "part.jsonl"
    whole = answer_batches(batches, lambda: Scripted(reply_of), part)

    def never():
        raise AssertionError("a model was loaded")

    assert answer_batches(batches, never, part) == whole


def test_unfinished_answers_of_another_model_are_not_joined(tmp_path, data_dir, scripted, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(answering, "write_lines", killed)
    with pytest.raises(Killed):
        run_shards(tmp_path, data_dir, 1, "one")
    monkeypatch.undo()
    other = Scripted(lambda question: "another model")
    monkeypatch.setattr("dynfocus.evaluation.answerers.load_answerer", lambda *_: other)
    (tmp_path / "model" / "weights").write_text("new")
    (file,) = run_shards(tmp_path, data_dir, 1, "one")
    assert {row["reply"] for row in read_lines(file)} == {"another model"}


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scripted import Scripted
from dynfocus.evaluation.answer import answer_batches, plan_batches
from dynfocus.evaluation.benchmarks import benchmark, load_questions

def slow(question):
    time.sleep(0.02)
    return question.question_id + " of " + question.video

questions = load_questions(benchmark("videohallucer"), Path(sys.argv[2]))
answer_batches(plan_batches(questions, 2), lambda: Scripted(slow), Path(sys.argv[3]))
"""


def test_kill_in_the_middle_leaves_no_gap_and_no_duplicate(tmp_path, data_dir):
    part = tmp_path / "part.jsonl"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(data_dir), str(part)]
    child = subprocess.Popen(command)
    while not part.is_file() or part.read_bytes().count(b"\n") < 4:
        assert child.poll() is None
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = part.read_bytes().count(b"\n")
    questions = load_questions(benchmark("videohallucer"), data_dir)
    assert 4 <= before < len(questions), "the child was killed in the middle"
    rows = answer_batches(plan_batches(questions, 2), lambda: Scripted(reply_of), part)
    assert [row["question_id"] for row in rows] == [q.question_id for b in plan_batches(questions, 2) for q in b]
    written = [json.loads(line) for line in part.read_text().splitlines()]
    assert sorted(row["question_id"] for row in written) == sorted(q.question_id for q in questions)


def test_two_processes_cannot_write_the_same_unfinished_file(tmp_path):
    with AppendOnly(tmp_path / "x.jsonl"), pytest.raises(Taken):
        AppendOnly(tmp_path / "x.jsonl")


def test_a_shard_number_out_of_range_is_a_user_error(tmp_path, data_dir):
    with pytest.raises(UserError, match="from 0 to 1"):
        answer_shard(make_config(), "r", 0, [], 2, 2, tmp_path, data_dir, tmp_path, tmp_path / "o", tmp_path)


def test_the_rectified_sentence_follows_the_question(questions):
    question = next(q for q in questions if q.question_id == "temporal/0/basic")
    changed = rectified(question, "Please Carefully Think.")
    expected = "Is there a dog 0? Please Carefully Think.\nAnswer the question using 'yes' or 'no'."
    assert changed.text == expected and changed.encoder_prompt == question.encoder_prompt
    assert rectified(question, "") is question
