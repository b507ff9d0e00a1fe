"""Where a reply names an option by its text: word for word, or with small differences.

Words are compared in lower case, without articles and with numbers as digits, so that "Three red balls." is named by
"3 red balls". Small differences are another ending, or one wrong letter in a long word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MARKS = 0xE000
"""First of the private code points that stand for options in a marked text, in the order of the options."""
AMBIGUOUS = chr(MARKS + 0xFF)
"""Stands for a text that several options share."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ARTICLES = ("a", "an", "the")
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS)}
_ENDINGS = ("ing", "ies", "ied", "es", "ed", "s", "e", "y")


@dataclass(frozen=True)
class Word:
    """A word of a text in the form in which it is compared, and its place."""

    form: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """The words of a text without its articles; "a" in brackets or before punctuation is a letter and stays."""
    found = []
    for match in _WORD.finditer(text):
        form = match.group().lower().replace("’", "'").removesuffix("'s")
        if form in _ARTICLES and re.match(r"\s+\w", text[match.end() :]):
            continue
        found.append(Word(_DIGITS.get(form, form), match.start(), match.end()))
    return found


def mark_options(text: str, options: Sequence[str]) -> str:
    """The text with every option that it names replaced by that option's mark.

    Longer options come first, and of options as long the one that stands there to the letter: in "B. (a)(c)(b)" the
    words "b a c" are those of "(b)(a)(c)" too.
    """
    forms = [tuple(word.form for word in words(option)) for option in options]
    found = words(text)
    named: list[tuple[tuple[int, int, bool], int, int, str]] = []
    for form in dict.fromkeys(filter(None, forms)):
        owners = [place for place, other in enumerate(forms) if other == form]
        mark = chr(MARKS + owners[0]) if len(owners) == 1 else AMBIGUOUS
        for first in range(len(found) - len(form) + 1):
            run = found[first : first + len(form)]
            if tuple(word.form for word in run) == form and _together(text, run):
                inexact = not any(_to_the_letter(text, run[0].start, options[place]) for place in owners)
                rank = (-len(form), -sum(map(len, form)), inexact)
                named.append((rank, _with_article(text, run[0].start), run[-1].end, mark))
    spans: list[tuple[int, int, str]] = []
    for _, start, end, mark in sorted(named, key=lambda one: one[0]):
        if all(end <= known[0] or start >= known[1] for known in spans):
            spans.append((start, end, mark))
    for start, end, mark in sorted(spans, reverse=True):
        text = f"{text[:start]}{mark}{text[end:]}"
    return text


def named_alike(text: str, options: Sequence[str]) -> int | None:
    """The only option that the whole of a text names up to small differences."""
    said = [word.form for word in words(text)]
    alike = [place for place, option in enumerate(options) if _alike(said, [word.form for word in words(option)])]
    return alike[0] if len(alike) == 1 else None


def _together(text: str, run: Sequence[Word]) -> bool:
    """Whether the words stand in one line, as those of an option do.

    A lone letter is no text, and neither is a capital one with small ones behind it: it is the label of a list.
    """
    if len(run) == 1 and len(run[0].form) == 1 and not run[0].form.isdigit():
        return False
    letters = [text[word.start : word.end] for word in run if word.end - word.start == 1]
    if len(letters) == len(run) and letters[0].isupper() and all(map(str.islower, letters[1:])):
        return False
    return not any("\n" in text[left.end : right.start] for left, right in pairwise(run))


def _to_the_letter(text: str, start: int, option: str) -> bool:
    """Whether an option stands in the text with its first word at `start`, but for what ends its sentence."""
    core = option.rstrip(" .")
    return text.startswith(core, start - words(option)[0].start)


def _with_article(text: str, start: int) -> int:
    """The start of the article before a place, if there is one."""
    before = re.search(r"(?<!\w)(?:an?|the)\s+$", text[:start], re.IGNORECASE)
    return before.start() if before else start


def _alike(said: Sequence[str], option: Sequence[str]) -> bool:
    return bool(option) and len(said) == len(option) and all(map(_same_word, said, option))


def _same_word(one: str, other: str) -> bool:
    if one == other or _stem(one) == _stem(other):
        return True
    return min(len(one), len(other)) >= 5 and one.isalpha() and other.isalpha() and _one_apart(one, other)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter more, less, different or swapped with its neighbour makes the words equal."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    first = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
    if len(one) < len(other):
        return one[first:] == other[first + 1 :]
    swapped = one[first : first + 2] == other[first : first + 2][::-1] and one[first + 2 :] == other[first + 2 :]
    return one[first + 1 :] == other[first + 1 :] or swapped
