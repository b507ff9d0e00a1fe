"""Every source of the ledger visited without a download: is it there, how large is it, at which commit?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import httpx
from rich.table import Table

from dynfocus.errors import UserError
from dynfocus.ledger import http, hub
from dynfocus.ledger.entries import HubSource, Ledger, ManualSource, Part, UrlSource

SIZE_TOLERANCE = 0.05
"""Sizes of the ledger are those of pages, rounded to three digits; some sum up several files."""
VISITORS = 8


class State(StrEnum):
    """What a visit found."""

    THERE = "there"
    CHANGED = "another size"
    GONE = "not there"
    SILENT = "no answer"
    BY_HAND = "by hand"


@dataclass(frozen=True)
class Visit:
    """One source of one part: its state, files and bytes that it offers, and the commit at which it was seen."""

    set: str
    to: str
    origin: str
    state: State
    files: int = 0
    bytes: int | None = None
    commit: str | None = None
    message: str = ""


def visit_all(ledger: Ledger, names: Iterable[str]) -> list[Visit]:
    """Visit every source of the named sets, in their order."""
    asked = [(name, part, source) for name in names for part in ledger.sets[name].parts for source in part.sources]
    with httpx.Client(follow_redirects=True, timeout=http.TIMEOUT) as client, ThreadPoolExecutor(VISITORS) as pool:
        return list(pool.map(lambda one: visit(client, *one), asked))


def visit(client: httpx.Client, name: str, part: Part, source: HubSource | UrlSource | ManualSource) -> Visit:
    """Visit one source."""
    if isinstance(source, ManualSource):
        return Visit(name, part.to, source.origin, State.BY_HAND)
    try:
        if isinstance(source, HubSource):
            found = hub.find(source)
            files, commit = len(found), found[0].commit
            size: int | None = sum(file.bytes for file in found)
        else:
            sizes = [_size(client, url) for url in source.urls]
            files, commit = len(sizes), None
            size = None if None in sizes else sum(known for known in sizes if known is not None)
    except http.Unavailable as error:
        return Visit(name, part.to, source.origin, State.GONE, message=str(error))
    except (UserError, httpx.HTTPError) as error:
        return Visit(name, part.to, source.origin, State.SILENT, message=str(error) or type(error).__name__)
    expected = source.download_bytes
    wrong = size is not None and expected is not None and abs(size - expected) > SIZE_TOLERANCE * expected
    message = f"the ledger says {expected:,} bytes" if wrong else ""
    return Visit(name, part.to, source.origin, State.CHANGED if wrong else State.THERE, files, size, commit, message)


def unobtainable(visits: Iterable[Visit]) -> dict[tuple[str, str], State]:
    """(set, part) of those parts that have sources to download from and none that is there: whether any said so."""
    states: dict[tuple[str, str], list[State]] = {}
    for one in visits:
        if one.state is not State.BY_HAND:
            states.setdefault((one.set, one.to), []).append(one.state)
    return {
        key: State.GONE if State.GONE in found else State.SILENT
        for key, found in states.items()
        if not {State.THERE, State.CHANGED} & set(found)
    }


def table(visits: Iterable[Visit]) -> Table:
    """One row per source."""
    made = Table("set", "part", "source", "state", "files", "GB", "commit", "")
    for row in _rows(visits):
        made.add_row(*row)
    return made


def _rows(visits: Iterable[Visit]) -> Iterator[tuple[str, ...]]:
    for one in visits:
        size = "" if one.bytes is None else f"{one.bytes / 1e9:.3g}"
        count = str(one.files or "")
        yield one.set, one.to, one.origin, one.state, count, size, (one.commit or "")[:12], one.message


def _size(client: httpx.Client, url: str) -> int | None:
    """Bytes of a file as its server states them; asked for its first byte where the server knows no HEAD."""
    answer = client.head(url)
    if answer.status_code in (403, 405, 501):
        with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as answer:
            answer.close()
    if answer.status_code in (*http.GONE, *http.CLOSED):
        raise http.Unavailable(f"HTTP {answer.status_code}")
    answer.raise_for_status()
    total = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None
