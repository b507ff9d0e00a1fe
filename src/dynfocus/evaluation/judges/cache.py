"""Every reply that was paid for, kept in append-only files, keyed by what was asked and whom.

The key is a hash of server, model, messages and every setting that decides a reply, so a changed
prompt asks again and an unchanged one never does. A row without a reply keeps the cost of a call that
gave none. The files hold no key of an account, and are what `replay` reads.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.evaluation.lines import AppendOnly, Taken, complete_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """A judge's words; `served_by`: the model as the server names it; `finish`: why it stopped, `length` if cut."""

    text: str
    served_by: str = ""
    finish: str = ""


def key_of(request: Mapping[str, Any]) -> str:
    """SHA-256 of everything that decides a reply."""
    return hashlib.sha256(json.dumps(request, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class ReplyCache:
    """Raw replies in `{folder}/replies-{n}.jsonl`; a reply is on disk before it is used.

    All files are read; the first that no other process writes is the one that grows.
    """

    def __init__(self, folder: Path):
        self._lines = _free_file(folder)
        self._replies: dict[str, Reply] = {}
        self._spent: dict[tuple[str, str], float] = {}
        for file in sorted(folder.glob("replies-*.jsonl")):
            for row in complete_rows(file, file.read_bytes())[0]:
                self._keep(row)

    def get(self, key: str) -> Reply | None:
        """The reply to a call; None if there is none."""
        return self._replies.get(key)

    def put(
        self, key: str, server: str, model: str, reply: Reply, usage: Mapping[str, Any], cost: float, form: str = ""
    ) -> None:
        """Keep a reply. `cost`: US dollars of all tries; `form`: how the request was worded, beyond the settings."""
        row = {"key": key, "server": server, "model": model, "usage": usage, "cost": cost, "form": form}
        self._append({**row, "reply": reply.text, "served_by": reply.served_by, "finish": reply.finish})

    def book(self, key: str, server: str, model: str, failure: str, cost: float) -> None:
        """Keep what a call without a reply has cost, in US dollars."""
        self._append({"key": key, "server": server, "model": model, "reply": None, "failure": failure, "cost": cost})

    def spent(self, server: str, model: str) -> float:
        """US dollars paid to a judge for everything in the files, of earlier runs too."""
        return self._spent.get((server, model), 0.0)

    def close(self) -> None:
        """Let other processes write the file."""
        self._lines.close()

    def _append(self, row: dict[str, Any]) -> None:
        self._lines.append([row])
        self._keep(row)

    def _keep(self, row: Mapping[str, Any]) -> None:
        judge = str(row.get("server", "")), str(row["model"])
        self._spent[judge] = self._spent.get(judge, 0.0) + row["cost"]
        if row["reply"] is not None:
            self._replies[row["key"]] = Reply(row["reply"], row.get("served_by", ""), row.get("finish", ""))


@contextmanager
def open_cache(folder: Path, alone: bool) -> Iterator[ReplyCache]:
    """The cache of a folder; with `alone`, after every other process that wants it alone is done.

    A cap on money holds over processes only so: each counts what the ones before it have paid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "budget.lock").open("ab") as lock:
        if alone:
            _wait_for(lock.fileno(), folder)
        cache = ReplyCache(folder)
        try:
            yield cache
        finally:
            cache.close()


def _wait_for(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("%s: another process spends from the budget; waiting for it", folder)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _free_file(folder: Path) -> AppendOnly:
    for number in itertools.count():
        try:
            return AppendOnly(folder / f"replies-{number}.jsonl")
        except Taken:
            continue
    raise AssertionError("counting does not end")
