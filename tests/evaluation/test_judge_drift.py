"""One set of answers, several judges: the rule, a served one, and the served one a second time."""

from __future__ import annotations

import re

import pytest
import test_judge_server as steps
from judge_server import JudgeServer
from scripted import make_config

from dynfocus.config import load_config
from dynfocus.config.schema import Judge
from dynfocus.errors import UserError
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.lines import read_lines, write_lines
from dynfocus.reporting.judge_agreement import COLUMNS, agreement_table


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    steps.make_quick(monkeypatch)


@pytest.fixture
def answered(tmp_path):
    """Twelve answers, of which every third is the reference, and every third its plural."""
    steps.write_answered_questions(tmp_path)
    gold = {}
    judge_answers(make_config(), [tmp_path / "answers.jsonl"], tmp_path / "data", tmp_path / "cache", tmp_path / "x")
    questions = steps.load_questions(steps.benchmark("msvd_qa"), tmp_path / "data")
    gold = {question.question_id: question.gold for question in questions}
    rows = read_lines(tmp_path / "answers.jsonl")
    for number, row in enumerate(rows):
        row["reply"] = [gold[row["question_id"]], gold[row["question_id"]] + "s", "something else"][number % 3]
    write_lines(tmp_path / "answers.jsonl", rows)
    return tmp_path


def lenient(prompt, number):
    """A judge that takes a plural for the same, as a reader would and the rule does not."""
    answer, given = (
        re.search(rf"{head}: (.*)", prompt)[1].strip().lower() for head in ("Correct Answer", "Predicted Answer")
    )
    return "text:{'pred': 'yes', 'score': 5}" if given in (answer, answer + "s") else "text:{'pred': 'no', 'score': 0}"


def moody(prompt, number):
    """The same judge, which says no to everything when it is asked again."""
    return lenient(prompt, number) if number == 1 else "text:{'pred': 'no', 'score': 0}"


def marked(folder, name, judge, second=None):
    """The verdict file of a judge, or of the second judge of a configuration."""
    config = make_config(judge=judge, second_judge=second)
    out = folder / name
    judge_answers(config, [folder / "answers.jsonl"], folder / "data", folder / "cache", out, second=second is not None)
    return out


def rows_of(first, second):
    return {
        row.labels[2]: dict(zip(COLUMNS, row.cells, strict=True)) for row in agreement_table([(first, second)]).rows
    }


def test_rule_against_a_served_judge(answered):
    rule = Judge(kind="rule")
    with JudgeServer(lenient).running() as url:
        served = Judge(model="m", base_url="http://judge.test/v1", address=url)
        yes = rows_of(marked(answered, "first", rule), marked(answered, "second", rule, served))["yes"]
    assert (yes["both"], yes["first"], yes["second"], yes["shift"]) == ("12", "33.3", "66.7", "+33.3")
    assert (yes["same"], yes["κ"]) == ("66.7%", "0.40")


def test_one_judge_twice(answered):
    server = JudgeServer(moody)
    with server.running() as url:
        judge = Judge(model="m", base_url="http://judge.test/v1", address=url)
        first, again = marked(answered, "first", judge), marked(answered, "again", judge)
        second = marked(answered, "second", judge, judge.model_copy(update={"repeat": 1}))
    assert read_lines(first) == read_lines(again), "stored replies are not asked for again"
    assert set(server.requests.values()) == {2}
    assert rows_of(first, second)["yes"]["shift"] == "-66.7"
    assert agreement_table([(first, second)]).notes == [
        "First: m (served as judge-2024-01-01). Second: m (served as judge-2024-01-01, repeat 1)."
    ]


def test_a_second_judge_starts_from_the_first():
    settings = ["evaluation.judge.temperature=0.5", "evaluation.second_judge={repeat: 1}"]
    evaluation = load_config([steps.Path("config/paper.yaml")], settings).evaluation
    assert evaluation.second_judge == evaluation.judge.model_copy(update={"repeat": 1})


def test_no_second_judge_is_one_line(answered):
    with pytest.raises(UserError, match=r"evaluation\.second_judge: it is not set"):
        judge_answers(make_config(), [], answered, answered, answered / "x", second=True)
