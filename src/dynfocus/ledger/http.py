"""One file by HTTP: resumed where it was cut, retried while bytes arrive, verified before it gets its name.

The unfinished file is `{name}.part` with `{name}.part.json` beside it, which holds the server's validator (ETag or
Last-Modified): a range is asked for with `If-Range`, so that a file that changed meanwhile starts anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from dynfocus.errors import UserError
from dynfocus.files import read_json, write_json

TIMEOUT = httpx.Timeout(30.0)
TRIES = 5
"""Tries in a row that bring no new byte before the download stops."""
PAUSE = 1.0
"""Seconds before the second try; doubled each time, up to a minute."""
GONE = (404, 410)
CLOSED = (401, 403)
BUSY = (408, 425, 429, 500, 502, 503, 504)

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is fetched; `said_by` names who says so in messages."""

    bytes: int | None = None
    sha256: str | None = None
    said_by: str = "the publisher"


class Unavailable(UserError):
    """A source that does not have the file, or not for this user: trying again is of no use, another source is."""


class _Again(Exception):
    """The connection broke or the server is busy: worth another try."""


def fetch(client: httpx.Client, url: str, file: Path, expected: Expected, advance: Advance = lambda _: None) -> str:
    """Download `url` to `file` and return its SHA-256; `advance` is told of every change of the bytes at hand.

    Raises:
        UserError: the address is closed, gone or silent, or the content is not what was expected (it is removed).
    """
    part = file.with_name(f"{file.name}.part")
    file.parent.mkdir(parents=True, exist_ok=True)
    advance(_size(part))
    idle = 0
    while True:
        before = _size(part)
        try:
            _get(client, url, part, advance)
            break
        except _Again as problem:
            idle = 0 if _size(part) > before else idle + 1
            if idle >= TRIES:
                raise UserError(
                    f"{url}: {problem}; {_size(part):,} bytes are kept in {part}; run the command again to go on"
                ) from None
            time.sleep(min(60.0, PAUSE * 2**idle))
    checksum = check(part, url, expected)
    os.replace(part, file)
    _note(part).unlink(missing_ok=True)
    return checksum


def check(file: Path, url: str, expected: Expected) -> str:
    """SHA-256 of a finished download; one that differs from what was expected is removed with a UserError."""
    size, checksum = file.stat().st_size, sha256_of(file)
    if expected.bytes is not None and size != expected.bytes:
        wrong = f"{size:,} bytes, where {expected.said_by} says {expected.bytes:,}"
    elif expected.sha256 is not None and checksum != expected.sha256:
        wrong = f"SHA-256 {checksum}, where {expected.said_by} says {expected.sha256}"
    else:
        return checksum
    file.unlink()
    _note(file).unlink(missing_ok=True)
    raise UserError(
        f"{url}: arrived with {wrong}; it was removed: run the command again, and if that repeats, the file has "
        "changed at its source: compare it and correct config/datasets.yaml or config/datasets.lock.json"
    )


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _get(client: httpx.Client, url: str, part: Path, advance: Advance) -> None:
    """One request for what is missing of `part`."""
    have, validator = _size(part), _validator(part)
    if have and validator is None:
        _discard(part, advance)
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(validator)}
    try:
        with client.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            _check_status(response, url)
            if response.status_code == 416:
                if _total(response) == have:
                    return
                _discard(part, advance)
                raise _Again("the server refuses to go on where the file was cut")
            if response.status_code == 206 and _start(response) != have:
                raise _Again("the server sent another range than asked for")
            if response.status_code != 206 and have:
                _discard(part, advance)
            _write_validator(part, response)
            with part.open("ab") as stream:
                for block in response.iter_raw():
                    stream.write(block)
                    advance(len(block))
            _check_complete(response, part)
    except httpx.HTTPError as error:
        raise _Again(f"the connection failed ({type(error).__name__})") from error


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in CLOSED:
        raise Unavailable(f"{url}: the server wants permission (HTTP {status}); get access at the publisher's page")
    if status in GONE:
        raise Unavailable(
            f"{url}: not there any more (HTTP {status}); look at the publisher's page, correct the ledger"
        )
    if status in BUSY:
        raise _Again(f"the server is busy (HTTP {status})")
    if status not in (200, 206, 416):
        raise UserError(
            f"{url}: the server answers with HTTP {status}; try later, or correct the address in the ledger"
        )


def _check_complete(response: httpx.Response, part: Path) -> None:
    """A body may end early without an error, where the connection is closed between two chunks."""
    total = _total(response)
    if total is not None and _size(part) < total:
        raise _Again(f"the connection ended at {_size(part):,} of {total:,} bytes")


def _total(response: httpx.Response) -> int | None:
    """Bytes of the whole file as a response states them."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdigit() else None


def _start(response: httpx.Response) -> int | None:
    """First byte of a partial response."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _validator(part: Path) -> str | None:
    """What the server said of the unfinished file; None where no usable note is left, and it starts anew."""
    with contextlib.suppress(UserError):
        validator = read_json(_note(part), dict).get("validator")
        return validator if isinstance(validator, str) and validator.isprintable() else None
    return None


def _write_validator(part: Path, response: httpx.Response) -> None:
    """Weak ETags cannot be used with If-Range."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    write_json(_note(part), {"validator": validator})


def _discard(part: Path, advance: Advance) -> None:
    advance(-_size(part))
    part.unlink(missing_ok=True)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
