"""One pass over the three steps of evaluation, without a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dynfocus.evaluation.answer import answer_batches, plan_batches
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.score import score_run

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Scripted, make_config


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
