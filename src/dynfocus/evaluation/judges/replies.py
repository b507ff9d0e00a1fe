"""Reading the marks out of a judge's raw reply."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from dynfocus.evaluation.judges.prompts import CRITERIA

_DICT = re.compile(r"\{[^{}]*\}")


def read_marks(criterion: str, reply: str) -> dict[str, Any] | None:
    """The marks that `criterion` asks for; None if one is missing, no number or out of its range.

    The last readable dict after the model's thoughts counts, written as Python or as JSON; the doubled
    quote that a widespread prompt shows as its example (`{''score': 4}`) is mended.
    """
    answer = without_thoughts(reply)
    for text in [*_DICT.findall(answer), answer.strip()][::-1]:
        values = _read_dict(text) or _read_dict(text.replace("''", "'"))
        marks = _checked(criterion, values) if values else None
        if marks:
            return marks
    return None


def without_thoughts(reply: str) -> str:
    """What follows the last closing think tag; nothing where the thoughts were cut off. Templates may open the tag."""
    return reply.rpartition("</think>")[2].partition("<think>")[0]


def _read_dict(text: str) -> Mapping[str, Any] | None:
    for reader in (ast.literal_eval, json.loads):
        try:
            values = reader(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(values, dict):
            return {str(key): value for key, value in values.items()}
    return None


def _checked(criterion: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    marks: dict[str, Any] = {}
    for mark, (low, high) in CRITERIA[criterion].marks.items():
        try:
            if isinstance(values[mark], bool):
                return None
            number = float(values[mark])
        except (KeyError, TypeError, ValueError):
            return None
        if not low <= number <= high:
            return None
        marks[mark] = number
    if criterion == "qa":
        if not isinstance(values.get("pred"), str):
            return None
        marks["pred"] = values["pred"]
    return marks
