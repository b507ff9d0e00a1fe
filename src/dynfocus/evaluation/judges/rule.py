"""The rule judge: deterministic, offline, and no substitute for a reader.

A short answer is right when its reference stands in the reply as whole words, in order; longer
answers get marks from the overlap of content words. It serves the mini world, whose vocabulary is
closed, and is named in every table that it marks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dynfocus.evaluation import parsing
from dynfocus.evaluation.questions import JudgeItem

NAME = "rule"
_ARTICLES = {"a", "an", "the"}
_FUNCTION_WORDS = _ARTICLES | {
    *("is", "are", "was", "were", "be", "been", "being", "it", "its", "this", "that"),
    *("of", "in", "on", "at", "to", "with", "and", "or"),
}
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}


def reply(item: JudgeItem) -> str:
    """The judge's reply in the official form."""
    fields = item.fields
    if item.criterion == "qa":
        return _short_answer(str(fields["answer"]), str(fields["prediction"]))
    if item.criterion == "mlvu_sub_scene":
        return _sub_scene(fields)
    if item.criterion == "mlvu_summary":
        overlap = overlap_of(str(fields["answer"]), str(fields["prediction"]))
        return _two_marks("score_completeness", 1 + 4 * overlap[0], "score_reliability", 1 + 4 * overlap[1])
    answer, first = str(fields["answer"]), str(fields["prediction_1"])
    second = str(fields.get("prediction_2", first))
    if item.criterion == "temporal":
        share = order_share(answer, first)
    elif item.criterion == "detail":
        share = overlap_of(answer, first)[0]
    else:
        share = min(f1(answer, first), f1(answer, second))
    return f"{{'score': {round(5 * share)}}}"


def words(text: str) -> list[str]:
    """Lower-case words without punctuation and articles, small numbers as digits."""
    found = re.findall(r"\w+", text.lower())
    return [_NUMBERS.get(word, word) for word in found if word not in _ARTICLES]


def is_match(answer: str, prediction: str) -> bool:
    """Whether the reference stands in the prediction; yes/no references need that word and not the other."""
    expected, given = words(answer), words(prediction)
    if expected in (["yes"], ["no"]):
        return parsing.yes_no(prediction) == expected[0]
    length = len(expected)
    return length > 0 and any(given[i : i + length] == expected for i in range(len(given) - length + 1))


def overlap_of(reference: str, prediction: str) -> tuple[float, float]:
    """Share of the reference's content words that the prediction has, and the reverse; repeats count."""
    expected, given = Counter(_content(reference)), Counter(_content(prediction))
    common = (expected & given).total()
    return common / max(1, expected.total()), common / max(1, given.total())


def f1(reference: str, prediction: str) -> float:
    """Harmonic mean of both overlaps."""
    recall, precision = overlap_of(reference, prediction)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def order_share(reference: str, prediction: str) -> float:
    """Longest common subsequence of content words over the longer of the two texts."""
    a, b = _content(reference), _content(prediction)
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for column, other in enumerate(b, 1):
            diagonal, row[column] = row[column], diagonal + 1 if word == other else max(row[column], row[column - 1])
    return row[-1] / max(1, len(a), len(b))


def _short_answer(answer: str, prediction: str) -> str:
    if is_match(answer, prediction):
        return "{'pred': 'yes', 'score': 5}"
    return f"{{'pred': 'no', 'score': {min(4, round(5 * f1(answer, prediction)))}}}"


def _sub_scene(fields: Mapping[str, Any]) -> str:
    prediction = str(fields["prediction"])
    recalls = [overlap_of(str(point), prediction)[0] for point in fields["scoring_points"]]
    points = [5 if recall >= 0.8 else 3 if recall >= 0.3 else 1 for recall in recalls]
    relevance = 1 + 4 * overlap_of(f"{fields['question']} {fields['answer']}", prediction)[1]
    return _two_marks("score_accuracy", sum(points) / max(1, len(points)), "score_relevance", relevance)


def _two_marks(first: str, first_mark: float, second: str, second_mark: float) -> str:
    total = first_mark + second_mark
    return f"{{'{first}': {first_mark:.2f}, '{second}': {second_mark:.2f}, 'total_score': {total:.2f}}}"


def _content(text: str) -> list[str]:
    return [word for word in words(text) if word not in _FUNCTION_WORDS]
