"""Judge texts from an official script: read as Python would make them, without running a line of it."""

from __future__ import annotations

import ast
import hashlib

import pytest

from dynfocus.config.schema import Judge
from dynfocus.errors import UserError
from dynfocus.evaluation.judges.requests import call_of
from dynfocus.evaluation.judges.texts import messages_of
from dynfocus.evaluation.questions import JudgeItem

SCRIPT = '''
raise SystemExit("a script that is never run")

def annotate(question, answer, pred):
    return create(
        temperature=0,
        messages=[
            {
                "role": "system",
                "content": "You mark answers. "
                "------" + """
                   Two lines with 'quotes'.""",
            },
            {
                "role": "user",
                "content": "Mark this:\\n\\n"
                f"Question: {question}\\n"
                f"Correct: {answer}\\n" + f"Given: {pred}\\n\\n"
                "Like this: {''score': 4.8}.",
            },
        ],
    )
'''
FIELDS = {"question": "What {is} it?", "answer": "a dog", "prediction": "{answer}"}


def judge(path, script=SCRIPT, criterion="qa"):
    path.write_text(script, encoding="utf-8")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Judge(texts={criterion: {"file": str(path), "sha256": sha256}})


def by_python(script, **names):
    """The messages as the script itself would make them."""
    lists = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.List)]
    return eval(compile(ast.Expression(lists[0]), "script", "eval"), names)


def test_messages_are_those_of_the_script(tmp_path):
    found = messages_of("qa", FIELDS, judge(tmp_path / "official.py"))
    expected = by_python(SCRIPT, question="What {is} it?", answer="a dog", pred="{answer}")
    assert found == expected


def test_another_criterion_keeps_this_projects_words(tmp_path):
    ours = messages_of("detail", {"question_1": "q", "answer": "a", "prediction_1": "p"}, judge(tmp_path / "a.py"))
    assert ours[0]["content"].startswith("You evaluate the answers of a model")


def test_both_consistency_criteria_have_the_one_text(tmp_path):
    script = SCRIPT.replace("{question}", "{question1} {question2}").replace("{pred}", "{pred1} {pred2}")
    fields = {"question_1": "one", "question_2": "two", "answer": "a", "prediction_1": "p1", "prediction_2": "p2"}
    chosen = judge(tmp_path / "official.py", script, "consistency")
    for criterion in ("consistency", "consistency_released"):
        user = messages_of(criterion, fields, chosen)[1]["content"]
        assert "one two" in user and "p1 p2" in user


def test_scoring_points_are_written_as_the_official_list(tmp_path):
    script = SCRIPT.replace("{answer}", "{scoring_points}")
    user = messages_of(
        "mlvu_sub_scene", FIELDS | {"scoring_points": ("a", "b")}, judge(tmp_path / "o.py", script, "mlvu_sub_scene")
    )
    assert "Correct: ['a', 'b']\n" in user[1]["content"]


def test_the_text_is_part_of_the_key(tmp_path):
    item = JudgeItem("msvd_qa", "q", "qa", ("q",), FIELDS)
    official = call_of(item, judge(tmp_path / "official.py"))
    assert official.key != call_of(item, Judge()).key


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("x = [", "not a Python file"),
        ("x = 1", "0 pairs"),
        (SCRIPT + SCRIPT.replace("You mark", "You rate"), "2 pairs"),
        (SCRIPT.replace("{pred}", "{secret}"), "'{secret}' is no plain text and no known name"),
        (SCRIPT.replace("{pred}", "{open('x').read()}"), "is no plain text"),
        (SCRIPT.replace("{pred}", "{pred2}"), "it asks for pred2, which this criterion does not have"),
    ],
)
def test_another_file_is_refused_with_one_line(tmp_path, script, words):
    with pytest.raises(UserError, match=r"official\.py") as error:
        messages_of("qa", FIELDS, judge(tmp_path / "official.py", script))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_another_content_or_no_file_is_refused(tmp_path):
    chosen = judge(tmp_path / "official.py")
    (tmp_path / "official.py").write_text(SCRIPT + "# newer", encoding="utf-8")
    with pytest.raises(UserError, match="take the right version"):
        messages_of("qa", FIELDS, chosen)
    (tmp_path / "official.py").unlink()
    with pytest.raises(UserError, match="No such file"):
        messages_of("qa", FIELDS, chosen)
