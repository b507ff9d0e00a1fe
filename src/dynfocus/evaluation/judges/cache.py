"""Every reply that was paid for, kept in append-only files, keyed by what was asked.

The key is a hash of model, messages and sampling settings, so a changed prompt asks again and an
unchanged one never does. The files hold no key of an account, and are what `replay` reads.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.judges.prompts import Message
from dynfocus.evaluation.lines import AppendOnly, Taken, complete_rows


def request_key(model: str, messages: Sequence[Message], temperature: float, max_tokens: int) -> str:
    """SHA-256 of everything that decides a reply."""
    canonical = json.dumps([model, list(messages), temperature, max_tokens], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class ReplyCache:
    """Raw replies in `{folder}/replies-{n}.jsonl`; a reply is on disk before it is used.

    All files are read; the first that no other process writes is the one that grows.
    """

    def __init__(self, folder: Path):
        self._lines = _free_file(folder)
        self._rows: dict[str, dict[str, Any]] = {}
        for file in sorted(folder.glob("replies-*.jsonl")):
            rows, _ = complete_rows(file, file.read_bytes())
            self._rows.update({row["key"]: row for row in rows})

    def get(self, key: str) -> str | None:
        row = self._rows.get(key)
        return None if row is None else row["reply"]

    def put(self, key: str, model: str, reply: str, served_by: str, usage: dict[str, Any], cost: float) -> None:
        """Keep a reply. `served_by`: the model name that the server reports; `cost`: US dollars."""
        row = {"key": key, "model": model, "served_by": served_by, "reply": reply, "usage": usage, "cost": cost}
        self._lines.append([row])
        self._rows[key] = row

    def spent(self) -> float:
        """US dollars paid for all replies of the file, of earlier runs too."""
        return sum(row["cost"] for row in self._rows.values())

    def close(self) -> None:
        self._lines.close()


def _free_file(folder: Path) -> AppendOnly:
    for number in itertools.count():
        try:
            return AppendOnly(folder / f"replies-{number}.jsonl")
        except Taken:
            continue
    raise AssertionError("counting does not end")
