"""This project's own reading of a reply: the one option, or the one word, that it means, or none.

The rule is one meaning or none: a reply that names two options, whose letter and text disagree, or that only denies
what it names is not read. How often this fails, beside the official scripts (`official.py`) and lmms-eval, is measured
on the replies of tests/evaluation/replies.yaml; docs/benchmarks/extraction.md has the numbers.

A reply is brought into a plain form in which every letter that stands for an option is one character, and so is every
option named by its text. Then forms of speech are tried, the most certain first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dynfocus.evaluation.naming import AMBIGUOUS, MARKS, mark_options, named_alike
from dynfocus.evaluation.plain import plain, said

LETTERS = "ABCDEF"

_LABELS = 0xE100
_SPOKEN = "ABCDEFGH"
"""Letters that are taken for options; one beyond those of the question is a meaning that it does not have."""
_L = rf"(?:[{chr(_LABELS)}-{chr(_LABELS + len(_SPOKEN) - 1)}]\)?)"
"""A letter that stands for an option, with ")" where it stood in brackets."""
_O = f"[{chr(MARKS)}-{chr(MARKS + len(LETTERS) - 1)}{AMBIGUOUS}]"
"""An option named by its text."""
_W = r"[^\w\ue000-\ue1ff]"
"""What stands between words and symbols."""
_JOIN = r"\s*(?:(?:[,/&+、]|(?<![^\W\d_])(?:and|or|nor|y|o|und|oder|et|ou)(?!\w)|和|或|与|與|及|と|および)\s*){1,3}"
_NOUN = (
    r"(?:options?|answers?|choices?|letters?|statements?|number|opción|opciones|Antwort|lettre|选项|選項|選択肢|옵션)"
)
_THE = r"(?:(?:the|la|le|die|der|das|los|both|either|maybe|perhaps|possibly|even)\s+)?"
# Labels joined by commas or words; as many as questions have options, so that a reply that loops is read in no time.
_LIST = rf"(?:{_L}(?:{_W}{{0,2}}{_O})?(?:{_JOIN}{_THE}(?:{_NOUN}\s*)?{_L}(?:{_W}{{0,2}}{_O})?){{0,7}})"
_ITEM = f"(?:{_L}{_W}{{0,2}}{_O}|{_L}|{_O})"
_ITEMS = rf"(?:{_ITEM}(?:{_JOIN}{_THE}(?:{_NOUN}\s*)?{_ITEM}){{0,7}})"
_GAP = r"[^.;:!?\n。；：！？]"

_LATIN = r"A-Za-z0-9_À-ɏ"
_AFTER_A = (
    r"(?:because|as|since|for|due|and|or|nor|is|was|are|were|would|seems?|looks?|but|based|given|in|with|option|can|"
    r"can't|cannot|could|has|fits|matches|best|I|isn't|does|doesn't|must|should|instead|not|then|by|from|if|makes)\b"
)
_BRACKETED = re.compile(r"[(\[<]\s*([A-Ha-h])\s*[.:]?\s*[)\]>]")
_RUN = re.compile(r"(?:[(\[]\s*[A-Ha-h]\s*[)\]](?:[\s,>→–-]|then|and)*){2,}")
_CAPITAL = re.compile(
    rf"(?<![{_LATIN}'])(?:([B-H])(?![{_LATIN}'&-]|\.\w)|(A)(?![{_LATIN}'&-]|\.\w)(?![ \t]+(?!{_AFTER_A})[^\W\d_]))"
)
_SMALL = [
    re.compile(r"\A\s*(?:option|answer|choice)?\s*[:(]?\s*([a-h])\s*(?:[.):,;!]|\Z)", re.IGNORECASE),
    re.compile(
        r"\b(?:answer|ans|option|choice|letter)\s*(?:is|would be|should be|must be|[:=])?\s*(?:option\s+|the letter )?"
        rf"([a-h])(?![{_LATIN}'])(?!\s+\w)",
        re.IGNORECASE,
    ),
]

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS)})\s+(?:option|answer|choice|alternative)\b", re.IGNORECASE)

_NOT = (
    r"(?:n't\b|\b(?:not|never|cannot|neither|nor|except(?:\s+for)?|rather\s+than|instead\s+of|unlike|without|no|nicht|pas|"
    r"ru(?:les?|led|ling)\s+out)\b|\b(?:exclud|eliminat|reject|discard)\w*|不是|并非|不选|排除|除了)"
)
_DENIED_BEFORE = re.compile(
    rf"(?:\band\s+)?{_NOT}\s*(?:(?:be|is|it's|show|shows|shown|see|seen|think|believe|say|that|it|this|the|a|an|of|any|there|both|either|"
    rf"correct|right|only|just|depict|contain|as)\s+|{_NOUN}\s*)*{_ITEMS}|{_NOT}(?:\s+(?!but\b)\w+){{1,4}}\s+{_O}",
    re.IGNORECASE,
)
_WRONG = (
    r"(?:wrong|incorrect|false|out\b|impossible|unlikely|irrelevant|eliminated|excluded|ruled|rejected|missing|absent|"
    r"not\b|never\b|neither\b|contradicted|unsupported|implausible|falsch|incorrecta|fausse?|out)"
)
_DENIED_AFTER = re.compile(
    rf"(?:{_NOUN}\s*)?{_ITEMS}[,)]?\s*(?:{_GAP}{{0,30}}?\s)?(?:(?:(?:is|are|was|were|seems?|looks?|can|could|does|do|did|has|have|"
    rf"would|will|must|ist|es|est)\s*(?:be\s+|all\s+|both\s+|clearly\s+|definitely\s+|obviously\s+|simply\s+|also\s+|an?\s+)*{_WRONG})"
    r"|(?:isn't|aren't|wasn't|weren't|can't|cannot|couldn't|doesn't|don't|didn't|won't|hasn't)\b"
    r"|\s*(?:不对|不对|错误|错|不正确|是错))",
    re.IGNORECASE,
)

_SURE = (
    r"(?:(?:most|more|likely|probably|clearly|definitely|certainly|surely|therefore|thus|hence|then|indeed|simply|just|"
    r"now|actually|in\s+fact|letter|la|le|el|die|der|das|the|lettre|letra|option|opción|opcion|choice|answer|antwort|"
    r"both|either|statement|number|that|it's|it\s+is)\b|[(\[:=→⇒,–—\s-]|是|为|為|选|選|应|選項|选项|項|项)*"
)
_BE = (
    r"(?:\b(?:is|was|are|would\s+be|should\s+be|must\s+be|must\s+then\s+be|has\s+to\s+be|seems\s+to\s+be|will\s+be|"
    r"appears\s+to\s+be|remains|lautet|ist|est|es|è|é|sería|serait|wäre|будет)(?!\w)|[:=→⇒]|\s[-–—]\s|->|=>)"
)
_GOOD = (
    r"(?:correct|right|best|final|true|accurate|appropriate|suitable|likely|fitting|proper|valid|correcta|richtig\w*)"
)
_ANSWER = (
    r"(?:\b(?:answers?|ans|options?|choices?|letters?|selection|solution|conclusion|pick)\b"
    rf"|\b{_GOOD}\s+(?:one|statement|description|response|alternative|order|sequence)\b"
    r"|\b(?:antwort(?:möglichkeit)?|lösung|réponse|respuesta|resposta|risposta|cevap|odpowiedź|opción)\b|\bответ\b|"
    r"đáp\s+án|الإجابة|उत्तर)"
)
_STATED = re.compile(
    rf"{_ANSWER}{_GAP}{{0,40}}?\s*{_BE}\s*{_SURE}(?P<said>{_LIST}|{_O})"
    rf"|\b(?:answer|réponse|respuesta|antwort|ответ|cevap|risposta|resposta)\s+(?P<bare>{_LIST})(?=\s*(?:[.,;!)]|\Z|\n))"
    r"|(?:答案|正解|正确的?|正確的?|答え|回答|해답|정답|답)\s*(?:选项|選項|应该|應該|应|應)?\s*(?:是|为|為|选|選|は|은|는|:|=|的|\s)*"
    rf"(?:选项|選項|選択肢|옵션)?\s*(?P<cjk>{_LIST}|{_O})"
    rf"|(?:选择|選擇|选|選)(?:的?是|了|为|:|\s)*(?:选项|選項)?\s*(?P<chosen>{_LIST})",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    rf"\b(?:but|however|though)\b[,\s]*(?:(?:most|more|likely|probably|rather|I\s+think|I'd\s+say|I\s+would\s+say|it\s+is|"
    rf"it's|maybe)\b[,\s]*)*(?:{_NOUN}\s*)?(?P<turned>{_LIST})(?=\s*(?:[.,;:!)]|\Z|\n))"
    r"|\b(?:wait|actually|correction|sorry|I\s+mean|make\s+that|scratch\s+that|on\s+second\s+thought)\b[,:;.!\s–—-]*"
    rf"(?:(?:no|so|but|I\s+think|it\s+is|it's|that\s+is|it\s+should\s+be|the)\b[,:\s]*)*(?:{_NOUN}\s*)?(?P<said>{_LIST})",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"\b(?:wait|actually|correction|sorry|scratch|second\s+thought|however|but|final(?:ly)?|therefore|so|thus|hence|"
    r"instead|conclusion|overall|all\s+things|after\s+all)\b|所以|因此|最终|综上",
    re.IGNORECASE,
)
_CONCLUDED = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|consequently|ergo)\b|所以|因此|故|→|⇒|=>|->)[,:\s]*"
    rf"(?:(?:it\s+is|it's|it\s+must\s+be|must\s+be|I\s+(?:choose|pick|say|go\s+with)|the|only|is)\b\s*)*(?:{_NOUN}\s*)?"
    rf"(?P<said>{_LIST})(?=\s*(?:[.,;:!)]|\Z|\n|is\b))",
    re.IGNORECASE,
)
_LEADING = re.compile(
    rf"{_W}*(?:(?:sure|certainly|yes|no|ok|okay|well|of\s+course)\b{_W}+)?(?:{_NOUN}\s*)?"
    rf"(?P<said>{_L})(?:\s*(?:[.:()\],;!。，、]|\Z|\n|[–—-]\s|→)|\s+(?:is|option|选项|{_AFTER_A})|\s*(?=[选項选项是])|\s+(?={_O}))",
    re.IGNORECASE,
)
_SECOND = re.compile(rf"{_W}{{0,3}}?(?:{_JOIN}{_THE}|\s*(?:\n\s*|-\s*|[.)]\s*)?){_L}", re.IGNORECASE)
_CONFIRMED = re.compile(
    rf"(?P<said>{_LIST})(?:(?!{_L}){_GAP}){{0,60}}?\s*(?:\b(?:is|seems|looks|are|appears|would\s+be|must\s+be|has\s+to\s+be|ist|es|est)\s+"
    rf"(?:(?:the|to\s+be|clearly|definitely|probably|indeed|only|my|la|die)\s+)*(?:(?:most|better|best)\s+\w+|{_GOOD}|better|answer|one|choice)\b"
    r"|\b(?:fits|matches|describes|answers|captures)\s+\w*\s*(?:best|exactly|it|the)|是?(?:正确|正確|对的|正解))",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"\b(?:choose|chose|choosing|pick|picking|select|selecting|go\s+with|going\s+with|go\s+for|opt\s+for|say|guess|"
    r"settle\s+on|prefer|answer|believe|think|vote\s+for|match(?:es)?|corresponds?\s+to|points?\s+to|wähle|elijo|choisis)"
    rf"[\s:,]+(?:(?:that|it\s+is|it's|would\s+be|the|with|is)\s+)*(?:{_NOUN}\s+)?(?P<said>{_LIST})"
    rf"(?=\s*(?:[.,;:!)]|\Z|\n|here\b|{_AFTER_A}))",
    re.IGNORECASE,
)
_CUED = re.compile(
    r"(?:\b(?:it's|it\s+is|is|be|definitely|clearly|probably|certainly|surely|obviously|possibly|maybe|perhaps|leaving|but|then|option|"
    rf"choice|letter|only|namely|no)\b|是)[\s,:]*(?P<said>{_LIST})(?=\s*(?:[.,;:!)]|\Z|\n))",
    re.IGNORECASE,
)
_LISTED = rf"^{_W}*{_L}(?:{_W}*|(?:(?!{_L})[^\n])*?[–—:(-]\s*)"
_LINE_DENIED = re.compile(
    rf"{_LISTED}(?:(?:incorrect|wrong|false|no|not\s+\w+)\b{_W}*|[✗✘❌×][^\n]*)$", re.IGNORECASE | re.MULTILINE
)
_LINE_CONFIRMED = re.compile(
    rf"{_LISTED}(?:(?:correct|right|true|yes)\b{_W}*|[✓✔✅][^\n]*)$", re.IGNORECASE | re.MULTILINE
)
_CANDIDATES = re.compile(
    rf"\b(?:between|among|from|of)\s+{_L}(?:\s*,\s*{_L})*\s*,?\s*(?:and|or|&)\s*{_L}", re.IGNORECASE
)
_LINE = re.compile(rf"^{_W}*{_L}\s*[.:)].*", re.MULTILINE)
_LINE_START = re.compile(rf"^{_W}*({_L})(?=\s*[.:)])", re.MULTILINE)
_PAIRED = re.compile(rf"({_L}){_W}{{1,3}}({_O})")
_NAMED = re.compile(
    rf"(?P<start>(?:\A|[.:;,!?\n])\s*)?(?P<noun>\b{_NOUN}\s+)?(?P<said>{_LIST})(?P<point>\s*[.:)?!])?", re.IGNORECASE
)


def option_letter(reply: str, options: Sequence[str]) -> str | None:
    """The one option that the reply means, as an upper-case letter; None if there is none or more than one.

    Thoughts in tags are no part of the reply; of answer tags and boxes only the contents are read. Tried in this order:
    the letter alone; a correction or a statement such as "the answer is C" (of several that differ the last, and only
    if a word such as "but" or "therefore" leads to it); a conclusion ("so C"); a letter called correct; a letter at the
    start; a choice ("I pick C"); the only bracketed or dotted letter; a letter after a verb at the end of a clause; the
    only option named by its text. What is denied is no evidence. A letter with the text of another option has no
    meaning, and neither has one beyond the options.
    """
    meanings = {_meaning(content, options) for content in said(reply)}
    letter = meanings.pop() if len(meanings) == 1 else None
    return letter if letter is not None and letter in LETTERS[: len(options)] else None


def yes_no(reply: str) -> str | None:
    """ "yes" or "no": the word that the reply starts with, states as its answer, or alone contains.

    A reply that starts with both ("Yes or no") says neither.
    """
    meanings = {_word(plain(content).lower()) for content in said(reply)}
    return meanings.pop() if len(meanings) == 1 else None


def _word(text: str) -> str | None:
    start = re.match(r"(yes|no)\b(\s*(?:or|and|/)\s*(?:yes|no)\b)?", text)
    if start and start.group(2):
        return None
    if start:
        return start.group(1)
    stated = re.findall(r"\banswer\s*(?:is|:)?\s*:?\s*(yes|no)\b", text)
    if stated:
        return stated[-1]
    return _only(re.findall(r"\b(yes|no)\b", text))


def _meaning(content: str, options: Sequence[str]) -> str | None:
    """The letter that a text means, in the options or beyond them."""
    text, options = plain(content), [plain(option) for option in options]
    alone = re.fullmatch(r"(?:option|answer|choice|letter)?[\s:]*[(\[]*\s*([A-Ha-h])\s*[)\]]*[\s.:,;!?。]*", text, re.I)
    if alone:
        return alone.group(1).upper()
    marked = symbols(text, options)
    if _disagreeing(marked):
        return None
    affirmed = _CANDIDATES.sub(" ", _LINE_DENIED.sub("", marked))
    affirmed = _DENIED_AFTER.sub(" ", _DENIED_BEFORE.sub(" ", affirmed)).strip()
    several = len(set(_letters("".join(_LINE_START.findall(affirmed))))) > 1
    unlisted = _LINE.sub("", affirmed) if several else affirmed
    for read in (_stated, _concluded, _confirmed, _leading, _chosen, _labelled, _cued):
        found = read(affirmed if read is _confirmed else unlisted)
        if found is not None:
            return found or None
    return _named(affirmed, marked, text, options)


def symbols(text: str, options: Sequence[str]) -> str:
    """The text with each option named by its text, and each letter that stands for an option, as one character.

    "A" before another word is the article, except before words such as "is". Where the options list letters in brackets
    (the order of events), letters in brackets after one another are such a list, and so are small ones among words.
    """
    text = mark_options(text, options)
    listing = [match.group(1) for option in options for match in _BRACKETED.finditer(option)]
    if listing:
        text = _RUN.sub(" ", text)
    small = any(letter.islower() for letter in listing)
    text = _BRACKETED.sub(
        lambda match: match.group() if small and match.group(1).islower() else f"{_symbol(match.group(1))})", text
    )
    text = _ORDINAL.sub(lambda match: _symbol(_SPOKEN[_ORDINALS.index(match.group(1).lower())]), text)
    for pattern in _SMALL:
        text = pattern.sub(lambda match: _replaced(match), text)
    return _CAPITAL.sub(lambda match: _symbol(match.group(1) or match.group(2)), text)


def _symbol(letter: str) -> str:
    return chr(_LABELS + _SPOKEN.index(letter.upper()))


def _replaced(match: re.Match[str]) -> str:
    """The match with its letter as a symbol."""
    start, end = (place - match.start() for place in match.span(1))
    return f"{match.group()[:start]}{_symbol(match.group(1))}{match.group()[end:]}"


def _letters(text: str) -> list[str]:
    """Letters of the symbols in a text, of options named by their text too; "" where several options share a text."""
    letters = []
    for character in text:
        place = ord(character)
        if _LABELS <= place < _LABELS + len(_SPOKEN):
            letters.append(_SPOKEN[place - _LABELS])
        elif character == AMBIGUOUS:
            letters.append("")
        elif MARKS <= place < MARKS + len(LETTERS):
            letters.append(LETTERS[place - MARKS])
    return letters


def _one_of(text: str) -> str:
    """The letter of a phrase; "" where it holds more than one."""
    labels = [letter for letter in _letters(re.sub(_O, "", text)) or _letters(text)]
    return labels[0] if len(set(labels)) == 1 else ""


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(set(found)) == 1 else None


def _disagreeing(text: str) -> bool:
    """Whether a letter is followed by the text of another option."""
    return any(mark != AMBIGUOUS and _letters(label) != _letters(mark) for label, mark in _PAIRED.findall(text))


def _said(match: re.Match[str]) -> str:
    return next(group for group in match.groupdict().values() if group)


def _stated(text: str) -> str | None:
    """Statements and corrections; None where there are none."""
    corrected = list(_CORRECTED.finditer(text))
    stated = sorted([*_STATED.finditer(text), *corrected], key=lambda match: match.end())
    if not stated:
        return None
    letters = [_one_of(_said(match)) for match in stated]
    if len(set(letters)) == 1 or stated[-1] in corrected:
        return letters[-1]
    turned = _TURN.search(text[stated[-2].end() : stated[-1].end()])
    return letters[-1] if turned else ""


def _concluded(text: str) -> str | None:
    found = list(_CONCLUDED.finditer(text))
    return _one_of(found[-1]["said"]) if found else None


def _confirmed(text: str) -> str | None:
    """Letters called correct, in a sentence or by a word at the end of their line in a list."""
    found = [_one_of(match["said"]) for match in _CONFIRMED.finditer(text)]
    found += [_one_of(match.group()) for match in _LINE_CONFIRMED.finditer(text)]
    return None if not found else _only(found) or ""


def _leading(text: str) -> str | None:
    """A letter at the start, unless another follows at once or several letters are listed with their texts."""
    match = _LEADING.match(text)
    if not match:
        return None
    listed = _letters("".join(label for label, _ in _PAIRED.findall(text)) + match["said"])
    several = _SECOND.match(text[match.end("said") :]) or len(set(listed)) > 1
    return "" if several else _one_of(match["said"])


def _chosen(text: str) -> str | None:
    found = [_one_of(match["said"]) for match in _CHOSEN.finditer(text)]
    return None if not found else _only(found) or ""


def _labelled(text: str) -> str | None:
    """Letters in brackets, after a word such as "option", or between the start of a clause and a point."""
    found = [
        _one_of(match["said"])
        for match in _NAMED.finditer(text)
        if match["noun"] or ")" in match["said"] or (match["start"] is not None and match["point"])
    ]
    return None if not found else _only(found) or ""


def _cued(text: str) -> str | None:
    found = [_one_of(match["said"]) for match in _CUED.finditer(text)]
    return None if not found else _only(found) or ""


def _named(affirmed: str, marked: str, text: str, options: Sequence[str]) -> str | None:
    """The only option named by its text, or alike to all of a reply that names none."""
    named = _letters("".join(re.findall(_O, affirmed)))
    if named or re.search(_O, marked):
        return _only(named) or None
    alike = named_alike(text, options)
    return None if alike is None else LETTERS[alike]
