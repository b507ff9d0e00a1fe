"""The rule judge, the judge's prompts and the reading of its replies."""

from __future__ import annotations

import json

import pytest

from dynfocus.evaluation.benchmarks.mlvu import CRITERIA as MLVU_CRITERIA
from dynfocus.evaluation.benchmarks.vcg_bench import ASPECTS
from dynfocus.evaluation.judges import rule
from dynfocus.evaluation.judges.prompts import CRITERIA, messages, reply_schema
from dynfocus.evaluation.judges.replies import read_marks
from dynfocus.evaluation.questions import JudgeItem

QA = {"question": "what is shown?", "answer": "dog", "prediction": "a dog"}


@pytest.mark.parametrize(
    ("answer", "prediction", "match"),
    [
        ("dog", "dog", True),
        ("dog", "The dog runs.", True),
        ("dog", "hotdog", False),
        ("dog", "dogs", False),
        ("two", "There are 2.", True),
        ("2", "two balls", True),
        ("red ball", "a red ball", True),
        ("red ball", "a ball that is red", False),
        ("yes", "Yes, it is.", True),
        ("yes", "no", False),
        ("no", "There is no dog.", True),
        ("no", "yes or no, hard to say", False),
        ("the", "the", False),
        ("dog", "", False),
    ],
)
def test_rule_match(answer, prediction, match):
    assert rule.is_match(answer, prediction) is match


def item(criterion, **fields):
    return JudgeItem("b", "i", criterion, ("i",), fields)


def test_rule_judge_of_short_answers():
    assert read_marks("qa", rule.reply(item("qa", **QA))) == {"pred": "yes", "score": 5.0}
    wrong = rule.reply(item("qa", **(QA | {"prediction": "a cat"})))
    assert read_marks("qa", wrong) == {"pred": "no", "score": 0.0}
    half = rule.reply(item("qa", question="", answer="red ball", prediction="red box"))
    assert read_marks("qa", half) == {"pred": "no", "score": 2.0}


def test_a_wrong_short_answer_never_has_the_full_score():
    swapped = rule.reply(item("qa", question="", answer="red ball", prediction="ball red"))
    assert read_marks("qa", swapped) == {"pred": "no", "score": 4.0}


def test_rule_judge_of_order_and_consistency():
    fields = {"answer": "first jumps then runs", "question_1": "", "prediction_1": "first runs then jumps"}
    assert read_marks("temporal", rule.reply(item("temporal", **fields))) == {"score": 2.0}  # 2 of 4 words in order
    assert read_marks("correctness", rule.reply(item("correctness", **fields))) == {"score": 5.0}
    pair = {"answer": "red hat", "question_1": "", "question_2": "", "prediction_1": "red hat", "prediction_2": "blue"}
    assert read_marks("consistency", rule.reply(item("consistency", **pair))) == {"score": 0.0}


def test_rule_judge_of_generation_tasks():
    fields = {
        "question": "describe",
        "answer": "ball rolls",
        "scoring_points": ("The ball rolls", "dog sleeps"),
        "prediction": "ball rolls",
    }
    marks = read_marks("mlvu_sub_scene", rule.reply(item("mlvu_sub_scene", **fields)))
    assert marks == {"score_accuracy": 3.0, "score_relevance": 5.0}  # one point met (5), one missed (1)
    summary = rule.reply(item("mlvu_summary", answer="ball rolls stops twice", prediction="ball rolls"))
    assert read_marks("mlvu_summary", summary) == {"score_completeness": 3.0, "score_reliability": 5.0}


@pytest.mark.parametrize("criterion", [*ASPECTS, *MLVU_CRITERIA.values(), "qa", "consistency_released"])
def test_every_criterion_has_a_prompt_and_a_rule_reply_that_can_be_read(criterion):
    fields = {
        **QA,
        **{"question_1": "Q1?", "prediction_1": "p1"},
        "scoring_points": ("dog",),
    }
    if criterion.startswith("consistency"):
        fields |= {"question_2": "Q2?", "prediction_2": "p2"}
    system, user = messages(criterion, fields)
    assert (system["role"], user["role"]) == ("system", "user") and CRITERIA[criterion].system == system["content"]
    expected = ("p1",) if "prediction_1" in user["content"] or "p1" in user["content"] else ("a dog",)
    assert all(text in user["content"] for text in expected)
    assert set(read_marks(criterion, rule.reply(item(criterion, **fields)))) >= set(CRITERIA[criterion].marks)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_reply_in_the_schema_can_be_read(criterion):
    schema = reply_schema(criterion)
    values = {"pred": "yes", "score": 4, "reasons": "it {fits}"}
    reply = {name: values.get(name, 3.5) for name in schema["required"]}
    assert list(schema["properties"]) == schema["required"] and schema["additionalProperties"] is False
    marks = read_marks(criterion, json.dumps(reply))
    assert marks == {name: value for name, value in reply.items() if name != "reasons"}


def test_short_answer_prompt_has_its_parts_in_order():
    user = messages("qa", QA)[1]["content"]
    parts = ["Question: what is shown?", "Correct Answer: dog", "Predicted Answer: a dog", "'pred'", "For example"]
    assert [user.index(part) for part in parts] == sorted(user.index(part) for part in parts)


@pytest.mark.parametrize(
    ("criterion", "reply", "marks"),
    [
        ("qa", "{'pred': 'yes', 'score': 4}", {"pred": "yes", "score": 4.0}),
        ("qa", '{"pred": "no", "score": 0}', {"pred": "no", "score": 0.0}),
        ("qa", "Sure! {'pred': 'yes', 'score': 4.8} Thank you.", {"pred": "yes", "score": 4.8}),
        ("qa", "{'pred': 'yes', 'score': '4'}", {"pred": "yes", "score": 4.0}),
        ("qa", "```python\n{'pred': 'yes', 'score': 5}\n```", {"pred": "yes", "score": 5.0}),
        ("qa", "{'pred': 'maybe', 'score': 3}", {"pred": "maybe", "score": 3.0}),
        ("qa", "{'pred': 'yes'}", None),
        ("qa", "{'score': 4}", None),
        ("qa", "{'pred': True, 'score': 4}", None),
        ("qa", "{'pred': 'yes', 'score': 9}", None),
        ("qa", "{'pred': 'yes', 'score': None}", None),
        ("qa", "yes, 4", None),
        ("qa", "{'pred': 'yes', 'sco", None),
        ("qa", "", None),
        ("correctness", "{''score': 4.8}", {"score": 4.8}),
        ("correctness", "{'score': 2}", {"score": 2.0}),
        (
            "mlvu_summary",
            "Reasons {with} words. {'score_completeness': 3, 'score_reliability': 2, 'total_score': 5}",
            {"score_completeness": 3.0, "score_reliability": 2.0},
        ),
        ("mlvu_summary", "{'score_completeness': 0, 'score_reliability': 2}", None),
        (
            "mlvu_summary",
            '{"reasons": "it names {two} points", "score_completeness": 3, "score_reliability": 2}',
            {"score_completeness": 3.0, "score_reliability": 2.0},
        ),
        ("correctness", "<think>{'score': 1}?</think>{'score': 2}", {"score": 2.0}),
        ("correctness", "{'score': 1}? No.</think>{'score': 2}", {"score": 2.0}),
        ("correctness", "<think>Perhaps {'score': 1}", None),
        ("correctness", "<think>Perhaps {'score': 1}</think>", None),
        ("correctness", "{'score': True}", None),
        ("correctness", "{'score': nan}", None),
        ("correctness", '{"score": NaN}', None),
        ("correctness", '{"score":' + "[" * 100_000, None),
    ],
)
def test_reading_marks(criterion, reply, marks):
    assert read_marks(criterion, reply) == marks
