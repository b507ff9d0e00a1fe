"""Multiple-choice questions as text, in the form of the released trainer's comments (ScienceQA)."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase


def with_options(question: str, options: Sequence[str]) -> str:
    """The question followed by its lettered options, one a line."""
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([f"{question} There are several options:", *lines])


def answer_letters(right: Sequence[int]) -> str:
    """The sentence that names the right option(s) by letter; `right` holds their indices."""
    letters = [ascii_uppercase[index] for index in right]
    if not letters:
        return "None of the options is right."
    if len(letters) == 1:
        return f"The answer is {letters[0]}."
    return f"The answers are {', '.join(letters[:-1])} and {letters[-1]}."
