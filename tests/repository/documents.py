"""Markdown pages taken apart: fenced blocks, code spans, links, headings, and the commands they show.

The info string of a fenced block says what the tests do with it:

    ```bash            the commands must parse
    ```bash run        they are also executed, at smoke size, in the order of the page
    ```yaml merge=F    merged into the YAML file F before the next executed block
    ```python file=F   written as the file F before the next executed block
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("dynfocus", "snakemake", "make", "python", "papermill", "dvc", "docker", "apptainer")
_FENCE = re.compile(r"^(?P<mark>```+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=mark)[ \t]*$", flags=re.M | re.S)
_INDENTED = re.compile(r"(?:^|\n)\n((?: {4}[^\n]*\n)+)")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", flags=re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text."""

    language: str
    words: tuple[str, ...]
    body: str

    def option(self, name: str) -> str | None:
        """The value of `name=value` in the info string."""
        return next((word.split("=", 1)[1] for word in self.words if word.startswith(f"{name}=")), None)

    @property
    def executed(self) -> bool:
        return self.language == "bash" and "run" in self.words


@dataclass(frozen=True)
class Document:
    """A page of the documentation."""

    file: Path
    blocks: list[Block]
    spans: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    shown: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, file: Path, text: str) -> Document:
        blocks = []
        for match in _FENCE.finditer(text):
            language, *words = match["info"].split() or [""]
            blocks.append(Block(language, tuple(words), match["body"]))
        prose = _FENCE.sub("", text)
        indented = _INDENTED.findall(prose)
        prose = _INDENTED.sub("\n", prose)
        return cls(
            file,
            blocks,
            spans=_SPAN.findall(prose),
            links=_LINK.findall(_SPAN.sub("", prose)),
            anchors={slug(heading) for heading in _HEADING.findall(prose)},
            shown=indented,
        )

    def commands(self) -> list[list[str]]:
        """Every command line of the page that begins with a known program, as words."""
        lines = [line for block in self.blocks if block.language == "bash" for line in command_lines(block.body)]
        lines += [line for text in self.shown for line in command_lines(re.sub(r"^ {4}", "", text, flags=re.M))]
        lines += [span for span in self.spans if " " in span]
        return [words for words in map(words_of, lines) if words and words[0] in PROGRAMS]


def slug(heading: str) -> str:
    """The anchor that a heading gets on the usual code hosts."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower())
    return kept.replace(" ", "-")


def command_lines(body: str) -> list[str]:
    """Lines of a shell block, continued lines joined, comments and blank lines left out."""
    joined = re.sub(r"\\\n\s*", " ", body)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def words_of(line: str) -> list[str]:
    """A command line as words: without comment, variables set before it, redirection, and the environment's folder."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    while words and re.match(r"^[A-Z_]+=", words[0]):
        words = words[1:]
    for stop in ("|", ">", ">>", "->", "&&", ";"):
        if stop in words:
            words = words[: words.index(stop)]
    if words:
        words[0] = words[0].removeprefix(".venv/bin/")
    return words
