"""A reply without its wrapping: what was thought aloud, tags, markup, full-width and boxed letters."""

from __future__ import annotations

import re
import unicodedata

_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad)"
_THOUGHTS = re.compile(rf"(?:<|◁){_THOUGHT}(?:>|▷).*?(?:</|◁/){_THOUGHT}(?:>|▷)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(rf"\A.*(?:</|◁/){_THOUGHT}(?:>|▷)", re.DOTALL | re.IGNORECASE)
_THOUGHT_CUT = re.compile(rf"(?:<|◁){_THOUGHT}(?:>|▷).*", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(
    r"<(answer|final_answer|choice|option|ans)\s*>(.*?)(?:</\1\s*>|\Z)|<\|begin_of_box\|>(.*?)<\|end_of_box\|>",
    re.DOTALL | re.IGNORECASE,
)
_ROLE = re.compile(r"\A.*\b(?:ASSISTANT|Assistant|assistant)\s*:", re.DOTALL)
_BOXED = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKUP = re.compile(
    r"<\|[^|<>]*\|>|</?(?:\w\w[^<>]*|[bipsu])>|\\(?:text|textbf|textit|textrm|mathbf|mathrm|mathsf|mathit|bf|rm|underline|boxed)\b"
    r"|\\[()\[\]]|[*`$#~]|(?<!\w)_+|_+(?!\w)"
)
_QUOTES = re.compile(r"[\"“”„‟«»「」『』]|(?<!\w)['‘’‚]|['‘’](?!\w)")
_BRACKETS = str.maketrans("{}【】〔〕〈〉《》⟨⟩", "()()()()()()")
_NEGATIVE = {0x1F150 + place: letter for place, letter in enumerate("ABCDEFGH")}
_NEGATIVE |= {0x1F170 + place: letter for place, letter in enumerate("ABCDEFGH")}
"""White letters on black discs and squares, which Unicode's compatibility forms leave alone."""


def said(reply: str) -> list[str]:
    """What a reply says once its thoughts are taken away: the contents of its answer tags or boxes, or all of it.

    A thought that never ends, of a reply cut off by its length, is no answer, whatever it considers.
    """
    text = _THOUGHT_CUT.sub("", _THOUGHT_END.sub("", _THOUGHTS.sub(" ", reply)))
    text = _ROLE.sub("", text)
    tagged = [match.group(2) or match.group(3) or "" for match in _TAGGED.finditer(text)]
    boxed = _BOXED.findall(text)
    return [content for content in tagged if content.strip()] or [b for b in boxed if b.strip()] or [text]


def plain(text: str) -> str:
    """Text in compatibility form (full-width, circled and squared letters become plain) without markup and quotes."""
    text = unicodedata.normalize("NFKC", text.translate(_NEGATIVE)).translate(_BRACKETS)
    text = _QUOTES.sub("", _MARKUP.sub("", text)).replace("’", "'")
    text = re.sub(r"\s*\n\s*\n\s*", "\n\n", re.sub(r"[^\S\n]+", " ", text))
    return text.strip().lstrip("-–—>=→• ")
