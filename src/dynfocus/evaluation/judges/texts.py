"""Judge texts from an official evaluation script: read as a syntax tree, never run, never copied.

A script is a Python file that holds one list of two messages, `{"role": "system", "content": ...}` and
`{"role": "user", "content": f"..."}`, as those of Video-ChatGPT, LLaMA-VID and MLVU do. The names
in braces are filled from the item.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dynfocus.errors import UserError
from dynfocus.evaluation.judges.prompts import Message, messages

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

FIELDS = {
    "question": ("question", "question_1"),
    "question1": ("question_1",),
    "question2": ("question_2",),
    "answer": ("answer",),
    "pred": ("prediction", "prediction_1"),
    "pred1": ("prediction_1",),
    "pred2": ("prediction_2",),
    "scoring_points": ("scoring_points",),
}
"""Names in the scripts, and the fields of an item that they mean."""

Template = tuple[tuple[str, bool], ...]
"""Pieces of a text: (words, False) or (a name of `FIELDS`, True)."""


def messages_of(criterion: str, fields: Mapping[str, Any], judge: Judge) -> list[Message]:
    """System and user message of one call, in the words that the configuration chooses."""
    text = judge.texts.get(cast(Any, criterion.removesuffix("_released")))
    if text is None:
        return messages(criterion, fields)
    return [
        {
            "role": role,
            "content": "".join(_value(piece, fields, text.file) if named else piece for piece, named in parts),
        }
        for role, parts in zip(("system", "user"), read_templates(Path(text.file), text.sha256), strict=True)
    ]


@cache
def read_templates(file: Path, sha256: str) -> tuple[Template, Template]:
    """System and user text of a script. Raises UserError for another file, or one without exactly one such pair."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; docs/benchmarks/judge.md says where judge texts are") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(f"{file}: its SHA-256 is {found}, evaluation.judge.texts says {sha256}; take the right version")
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{file}: not a Python file; evaluation.judge.texts wants an evaluation script") from error
    pairs = {pair for node in ast.walk(tree) if isinstance(node, ast.List) and (pair := _pair(node, file))}
    if len(pairs) != 1:
        raise UserError(f"{file}: {len(pairs)} pairs of a system and a user message, wanted one; name another file")
    return pairs.pop()


def _pair(node: ast.List, file: Path) -> tuple[Template, Template] | None:
    """The texts of a list literal of two messages; None for any other list."""
    texts = {}
    for element in node.elts:
        entries = _entries(element)
        role = entries.get("role")
        if isinstance(role, ast.Constant) and "content" in entries:
            texts[role.value] = tuple(_pieces(entries["content"], file))
    return (texts["system"], texts["user"]) if len(node.elts) == 2 and texts.keys() == {"system", "user"} else None


def _entries(node: ast.expr) -> dict[Any, ast.expr]:
    if not isinstance(node, ast.Dict):
        return {}
    pairs = zip(node.keys, node.values, strict=True)
    return {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}


def _pieces(node: ast.expr, file: Path) -> Iterator[tuple[str, bool]]:
    match node:
        case ast.Constant(value=str(words)):
            yield words, False
        case ast.JoinedStr(values=values):
            for value in values:
                yield from _pieces(value, file)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _pieces(left, file)
            yield from _pieces(right, file)
        case ast.FormattedValue(value=ast.Name(id=name), conversion=-1, format_spec=None) if name in FIELDS:
            yield name, True
        case _:
            known = ", ".join(FIELDS)
            raise UserError(
                f"{file}, line {node.lineno}: {ast.unparse(node)[:60]!r} is no plain text and no known name ({known})"
            )


def _value(name: str, fields: Mapping[str, Any], file: str) -> str:
    for field in FIELDS[name]:
        if field in fields:
            value = fields[field]
            return str(list(value) if isinstance(value, tuple) else value)
    raise UserError(f"{file}: it asks for {name}, which this criterion does not have; name the script of the criterion")
