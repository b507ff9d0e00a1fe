"""Shared pieces: a configuration, an answerer without a model, and one pass over the three steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dynfocus.config.schema import Config, Evaluation, Hardware, Judge, Stage
from dynfocus.evaluation.answer import VideoProblem, answer_batches, plan_batches
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.score import score_run

sys.path.insert(0, str(Path(__file__).parent))


def make_config(**evaluation) -> Config:
    """A configuration on the CPU; keyword arguments are settings of its evaluation."""
    stage = Stage(
        datasets=["scienceqa"],
        trainable=["projectors"],
        global_batch=1,
        micro_batch=1,
        learning_rate=1e-3,
        zero_stage=0,
        precision="fp32",
    )
    settings = {"judge": Judge(kind="rule"), "bootstrap": 200, **evaluation}
    return Config(
        profile="test",
        root="unused",
        alignment=stage,
        instruction=stage,
        evaluation=Evaluation(**settings),
        hardware=Hardware(device="cpu", gpus=0, processes=1, threads=1),
    )


class Scripted:
    """An answerer that looks replies up by question id; `broken` maps a video to its problem."""

    def __init__(self, replies, broken=None):
        self.replies = replies
        self.broken = broken or {}
        self.batches = []

    def load(self, question):
        if question.video in self.broken:
            raise VideoProblem(self.broken[question.video], "as the test wants")
        return question.video

    def answer(self, requests):
        assert all(request.video == request.question.video for request in requests)
        self.batches.append([request.question.question_id for request in requests])
        return [self.replies(request.question) for request in requests]


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def run_scores(tmp_path):
    """Answer, judge by rule and score one benchmark; returns its record."""

    def run(name, folder, replies, broken=None, judge=True):
        data_dir = folder.parent
        questions = load_questions(benchmark(name), data_dir)
        rows = answer_batches(plan_batches(questions, 3), lambda: Scripted(replies, broken), tmp_path / "part.jsonl")
        answers, verdicts, out = (tmp_path / file for file in ("answers.jsonl", "verdicts.jsonl", "scores.json"))
        write_lines(answers, rows)
        if judge:
            judge_answers(make_config(), [answers], data_dir, tmp_path / "cache", verdicts)
        score_run(make_config(), "run", 0, [name], [answers], verdicts, data_dir, out)
        return json.loads(out.read_text())[0]

    return run
