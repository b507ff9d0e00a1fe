"""Locks that end with the process that holds them, however it ends.

The operating system releases such a lock even after `kill -9`, so nobody has to unlock by hand; and
a job that outlives its killed workflow still holds its own, so a second one cannot write beside it.

Some network file systems are mounted without locks. There a lock is refused with one line, and `DYNFOCUS_NO_LOCKS=1`
goes on without any: then it is up to the user that nothing runs twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dynfocus.errors import UserError

WITHOUT = "DYNFOCUS_NO_LOCKS"


def acquire(file: Path, what: str) -> IO[str]:
    """Take the lock `file` for `what`; it is held until the returned stream is closed or the process ends.

    Raises:
        UserError: another process holds it; the message names that process. Or the file system gives no lock.
    """
    stream = open_lock(file)
    if not take(stream):
        stream.seek(0)
        holder = stream.read(20).strip() or "unknown"
        stream.close()
        raise UserError(f"{what}: still running as process {holder}; wait for it to end, or end it")
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


def open_lock(file: Path) -> IO[str]:
    """The lock file, made where it is not there; not locked yet.

    Raises:
        UserError: it cannot be made or written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{file}: cannot be locked ({error.strerror}); give write access there") from None


def take(stream: IO, wait: bool = False) -> bool:
    """Lock an open file, after others that hold it if asked to `wait`; False where another process holds it.

    Raises:
        UserError: its file system has no locks.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if os.environ.get(WITHOUT) != "1":
            raise UserError(
                f"{stream.name}: its file system gives no locks ({error.strerror}); use another disk, mount it with "
                f"locks (NFS 4, Lustre with -o flock), or set {WITHOUT}=1 and start nothing twice"
            ) from None
    return True
