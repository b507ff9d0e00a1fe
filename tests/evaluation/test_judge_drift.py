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
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import JudgeAgain, RenderReport, needed


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


def marked(folder, name, judge):
    """The verdict file of a judge."""
    out = folder / name
    judge_answers(make_config(), [folder / "answers.jsonl"], folder / "data", folder / "cache", out, judge)
    return out


def jobs_of(*settings):
    """The jobs of the mini profile with one run."""
    return Jobs.load(load_config([steps.Path("config/mini.yaml")], ["items=[table_7]", "runs=[dynfocus]", *settings]))


def rows_of(first, second):
    return {
        row.labels[2]: dict(zip(COLUMNS, row.cells, strict=True)) for row in agreement_table([(first, second)]).rows
    }


def test_rule_against_a_served_judge(answered):
    rule = Judge(kind="rule")
    with JudgeServer(lenient).running() as url:
        served = Judge(model="m", base_url="http://judge.test/v1", address=url)
        yes = rows_of(marked(answered, "first", rule), marked(answered, "second", served))["yes"]
    assert (yes["both"], yes["first"], yes["second"], yes["shift"]) == ("12", "33.3", "66.7", "+33.3")
    assert (yes["same"], yes["κ"]) == ("66.7%", "0.40")


def test_one_judge_twice(answered):
    server = JudgeServer(moody)
    with server.running() as url:
        judge = Judge(model="m", base_url="http://judge.test/v1", address=url)
        first, again = marked(answered, "first", judge), marked(answered, "again", judge)
        second = marked(answered, "second", judge.model_copy(update={"repeat": 1}))
    assert read_lines(first) == read_lines(again), "stored replies are not asked for again"
    assert set(server.requests.values()) == {2}
    assert rows_of(first, second)["yes"]["shift"] == "-66.7"
    assert agreement_table([(first, second)]).notes == [
        "First: m (served as judge-2024-01-01). Second: m (served as judge-2024-01-01, repeat 1).",
        "Answers of 1 run.",
    ]


def test_a_second_judge_starts_from_the_first():
    settings = ["evaluation.judge.temperature=0.5", "evaluation.second_judge={repeat: 1}"]
    evaluation = load_config([steps.Path("config/paper.yaml")], settings).evaluation
    assert evaluation.second_judge == evaluation.judge.model_copy(update={"repeat": 1})


SERVED = "evaluation.judge={kind: openai, model: m, base_url: http://judge.test/v1}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "it is not set"),
        (("evaluation.second_judge={}",), "agree in all"),
        (("evaluation.second_judge={repeat: 1}",), "agree in all"),
        ((SERVED, "evaluation.second_judge={concurrency: 2, timeout: 9}"), "agree in all"),
    ],
    ids=["none", "the same", "the rule twice", "the same at another pace"],
)
def test_a_second_judge_that_says_nothing_new_is_one_line(settings, message):
    with pytest.raises(UserError, match=rf"evaluation\.second_judge: .*{message}"):
        JudgeAgain("dynfocus", 0).judge(jobs_of(*settings))


def test_the_report_waits_for_both_judges_where_a_second_is_set():
    report = RenderReport()
    without, jobs = jobs_of(SERVED), jobs_of(SERVED, "evaluation.second_judge={repeat: 1}")
    added = set(needed(jobs, [report])) - set(needed(without, [report]))
    assert added == {JudgeAgain("dynfocus", seed) for seed in jobs.config.seeds}
    assert all(step.settings(jobs) == step.settings(without) for step in needed(without, [report])), (
        "no result depends on it"
    )
    assert JudgeAgain("dynfocus", 0).settings(jobs) != JudgeAgain("dynfocus", 0).settings(without)
