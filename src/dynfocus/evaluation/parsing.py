"""Reading an option letter or a yes/no out of a free reply.

`option_letter` and `yes_no` are the project's own ("strict") readings: one meaning or none, an
ambiguous reply is a parse failure. The functions named after a benchmark reproduce what its
official script does, faults included, so that published numbers can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEF"

_BRACKETED = r"[(\[{]\s*([A-Fa-f])\s*[)\]}]"
_REASON = r"(?:because|as|since|for|due|and)\b"
_WORD_END = r"(?![\w'’-])"
_CLEAR = rf"{_BRACKETED}|([B-Fb-f]){_WORD_END}|([Aa]){_WORD_END}(?!\s+(?!{_REASON})\w)"
"""A letter where a letter is expected; "A" before a word is the article unless a reason follows."""

_WRAPPING = re.compile(r"[*_`\"“”‘$]|</?\w+>|\\(?:boxed|text|textbf|mathbf|mathrm)\b")
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\\w+\s*\{)?\s*\(?([A-F])\)?\s*\}")
_NEGATED = re.compile(
    r"(?:\b[Nn]ot|n['’]t(?: be)?|\brather than|\binstead of|\bexcept)\s+(?:option\s+|answer\s+)?"
    rf"(?:[(\[][A-Fa-f][)\]]|[A-F]{_WORD_END})"
)
_BARE = re.compile(r"(?:option|answer|choice)?\s*[(\[{]?\s*([A-Fa-f])\s*[)\]}]?\s*[.:,;!]?", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice|[Ll]etter)\s*"
    r"(?:(?:is|was|would be|should be|must be|seems to be|appears to be)\b|[:=])"
    r"[\s:=-]*(?:(?:most likely|probably|clearly|therefore|the|option|letter|choice|answer)\s+)*"
    rf"(?:{_CLEAR})"
)
_CONFIRMED = re.compile(
    r"(?:[Oo]ption|[Aa]nswer|[Cc]hoice)?\s*(?:[(\[]\s*([A-Fa-f])\s*[)\]]|(?<![\w'’-])([A-F]))"
    r"[^.;\n]{0,60}?\s+(?:is|seems|looks)\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|accurate|likely)"
)
_LEADING = re.compile(
    rf"(?:option\s+)?(?:{_BRACKETED}|([A-Fa-f])\s*[.:)\]]|([A-F])\s*(?:[,;\n–—]|-\s)|([A-F])\s+(?:is\b|{_REASON}))",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"\b(?:choose|chose|pick|select|go with|going with|opt for|match(?:es)?|it(?: is|'s|’s)|be)\s+"
    rf"(?:(?:the|option|answer|choice|letter)\s+)*(?:{_BRACKETED}|([A-F])(?=\s*(?:[.,;:!]|$|{_REASON})))"
)
_MARKED = re.compile(r"[(\[]\s*([A-Fa-f])\s*[)\]]|(?<![\w'’(])([A-F])[.:)](?!\w)")
_LONE = re.compile(rf"(?<![\w'’-])(?:([B-F]){_WORD_END}|(A){_WORD_END}(?!\s+(?!and\b|or\b)\w))")
_SECOND = re.compile(rf"\s*(?:or|and|,|/|&)\s*[(\[]?[A-F]{_WORD_END}")


def option_letter(reply: str, options: Sequence[str]) -> str | None:
    """The one option that the reply means, as an upper-case letter; None if there is none or more than one.

    Tried in this order: a boxed letter; the whole reply is a letter; the last statement such as "the
    answer is C"; a letter at the start, unless the reply lists all options; a letter called correct;
    a letter chosen ("I pick C"); the only bracketed or dotted letter; the text of exactly one
    option; the only lone capital letter. A letter after "not" is no evidence, one beyond the options
    neither.
    """
    allowed = LETTERS[: len(options)]
    boxed = _allowed(_BOXED.findall(reply), allowed)
    if boxed:
        return boxed[-1]
    text = _WRAPPING.sub("", reply).strip().strip("{}").strip()
    whole = _BARE.fullmatch(text)
    if whole:
        return _only(_allowed([whole.group(1)], allowed))
    text = _NEGATED.sub(" ", text).strip()
    stated = _letters(_STATED, text, allowed)
    if stated:
        return stated[-1]
    marked = set(_letters(_MARKED, text, allowed))
    leading = _LEADING.match(text)
    if leading and len(marked) < len(allowed):
        several = _SECOND.match(text[leading.end() :])
        return None if several else _only(_allowed([_caught(leading)], allowed))
    for pattern in (_CONFIRMED, _CHOSEN):
        found = _letters(pattern, text, allowed)
        if found:
            return _only(found)
    if marked:
        return _only(sorted(marked))
    return _option_named(text, options) or _only(_letters(_LONE, text, allowed))


def yes_no(reply: str) -> str | None:
    """ "yes" or "no": the word that the reply starts with, states as its answer, or alone contains."""
    text = _WRAPPING.sub("", reply).strip().lower()
    start = re.match(r"(yes|no)\b", text)
    if start:
        return start.group(1)
    stated = re.findall(r"\banswer\s*(?:is|:)?\s*:?\s*(yes|no)\b", text)
    if stated:
        return stated[-1]
    return _only(re.findall(r"\b(yes|no)\b", text))


def video_mme_official(reply: str) -> str | None:
    """Video-MME's script: known lead-ins are deleted, then the first of A-D anywhere counts.

    Two lead-ins of its list are fused pairs (missing commas), so "The best option is", "The correct
    option is", "Best answer:" and "Best option:" stay and may donate their own capital letter.
    None (no letter) leaves the row out of the accuracy.
    """
    text = reply.strip()
    for lead_in in (
        "The best answer is",
        "The correct answer is",
        "The answer is",
        "The answer",
        "The best option is" + "The correct option is",
        "Best answer:" + "Best option:",
    ):
        text = text.replace(lead_in, "")
    first = re.search("[ABCD]", text)
    return first.group() if first else None


def lvbench_polished(reply: str) -> str:
    """LVBench's cleaning helper, which its scorer does not call: the first letter after "(" or of the first word."""
    text = reply.strip().split(")")[0].strip()
    if "(" in text:
        text = text.split("(")[1].strip()
    return text.split(" ")[0][:1]


def mlvu_official(reply: str) -> str:
    """MLVU's script: the character before the first ")", or the whole reply."""
    position = reply.find(")")
    return reply if position < 0 else reply[position - 1 : position]


def videohallucer_official(reply: str, gold: str) -> bool:
    """VideoHallucer's hit: the gold word anywhere in the reply; a reply with both words hits both."""
    return re.search(rf"\b{re.escape(gold)}\b", reply, re.IGNORECASE) is not None


def scienceqa_official(reply: str) -> str | None:
    """ScienceQA as the LLaVA family scores it: a letter A-E, "A. ...", or one "The answer is A."."""
    if reply in tuple("ABCDE"):
        return reply
    if len(reply) >= 3 and reply[0] in "ABCDE" and reply[1:3] == ". ":
        return reply[0]
    stated = re.findall(r"The answer is ([A-Z]).", reply)
    return stated[0] if len(stated) == 1 else None


def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces: the form in which option texts are compared."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def _caught(match: re.Match[str]) -> str:
    """The letter of a match, whichever of its groups caught it."""
    return next(group for group in match.groups() if group)


def _letters(pattern: re.Pattern[str], text: str, allowed: str) -> list[str]:
    """Allowed letters of all matches, in order."""
    return _allowed([_caught(match) for match in pattern.finditer(text)], allowed)


def _allowed(letters: Sequence[str], allowed: str) -> list[str]:
    return [letter.upper() for letter in letters if letter.upper() in allowed]


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(set(found)) == 1 else None


def _option_named(reply: str, options: Sequence[str]) -> str | None:
    """The letter of the only option whose text the reply contains, not counting one inside a longer named one."""
    padded = f" {normalised(reply)} "
    texts = [normalised(option) for option in options]
    named = [text for text in texts if text and f" {text} " in padded]
    longest = [text for text in named if not any(text != other and f" {text} " in f" {other} " for other in named)]
    if len(longest) != 1 or texts.count(longest[0]) != 1:
        return None
    return LETTERS[texts.index(longest[0])]
