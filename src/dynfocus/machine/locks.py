"""Locks that end with the process that holds them, however it ends.

The operating system releases such a lock even after `kill -9`, so nobody has to unlock by hand; and
a job that outlives its killed workflow still holds its own, so a second one cannot write beside it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dynfocus.errors import UserError


def acquire(file: Path, what: str) -> IO[str]:
    """Take the lock `file` for `what`; it is held until the returned stream is closed or the process ends.

    Raises:
        UserError: another process holds it; the message names that process.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    stream = file.open("a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip() or "unknown"
        stream.close()
        raise UserError(f"{what}: still running as process {holder}; wait for it to end, or end it") from None
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream


@contextmanager
def only_one(file: Path, what: str) -> Iterator[None]:
    """Hold the lock `file` during the body."""
    stream = acquire(file, what)
    try:
        yield
    finally:
        stream.close()
