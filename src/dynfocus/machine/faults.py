"""Faults of the machine: no memory, no disk, no thread, a worker that was killed. They end a step with one line.

They say nothing about the file at hand, so they are never counted as a fault of it: see `dynfocus.features.media`.
"""

from __future__ import annotations

import errno
import mmap
import re
import threading
from concurrent.futures import BrokenExecutor

MAKE_ROOM = "make room on the disk, and start again: finished work is kept"
LESS_AT_ONCE = "end other programs or lower hardware.threads, and start again: finished work is kept"
REACH = "see that the disk is mounted and answers, and start again: finished work is kept"

OF_ANY_FILE = {
    errno.ENOMEM: LESS_AT_ONCE,
    errno.EAGAIN: LESS_AT_ONCE,
    errno.EMFILE: "raise the limit of open files (ulimit -n), and start again: finished work is kept",
    errno.ENFILE: "end other programs, which hold all files open that this machine allows, and start again",
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: "make room in your quota, and start again: finished work is kept",
    errno.EROFS: "choose another `root`, on a disk that can be written",
    **dict.fromkeys(
        (
            errno.ESTALE,
            errno.ETIMEDOUT,
            errno.ENOTCONN,
            errno.ECONNRESET,
            errno.EHOSTDOWN,
            errno.ENODEV,
            errno.EREMOTEIO,
        ),
        REACH,
    ),
}
"""What a person does where the machine refuses, whatever the file."""
OF_OUR_OUTPUT = {
    errno.EACCES: "give this user access there",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EIO: "the disk fails: choose another `root`, and start again: finished work is kept",
}
"""The same where it refuses our own output; of a file that is read, these are the file's own fault."""
SAYINGS = {
    "can't start new thread": LESS_AT_ONCE,
    "can't allocate memory": LESS_AT_ONCE,
    "CUDA out of memory": "lower micro_batch, or end what else uses the GPU, and start again: finished work is kept",
    "unexpected pos": MAKE_ROOM,
    "iostream error": MAKE_ROOM,
    "DataLoader worker": "a worker was killed, mostly for want of memory: " + LESS_AT_ONCE,
}
"""The same for faults that torch and Python tell in words alone."""
OS_ERROR = re.compile(r"\(os error (\d+)\)")
PROBE_BYTES = 1 << 30
"""More memory than reading any real film or picture asks for at once."""


def number_of(error: BaseException) -> int | None:
    """The number of a system error; a MemoryError has that of the system, and libraries in Rust tell it in words."""
    number = getattr(error, "errno", None)
    if number is None and (told := OS_ERROR.search(str(error))):
        return int(told[1])
    return errno.ENOMEM if number is None and isinstance(error, MemoryError) else number


def remedy_for(error: BaseException, reading: bool = False) -> str | None:
    """What a person does about a fault of the machine; None where `error` is none.

    reading: the error came over a file that is read, not over our own output.
    """
    known = OF_ANY_FILE if reading else OF_ANY_FILE | OF_OUR_OUTPUT
    if (number := number_of(error)) in known:
        return known[number]
    if isinstance(error, BrokenExecutor):
        return SAYINGS["DataLoader worker"]
    said = str(error) if isinstance(error, RuntimeError) else ""
    return next((remedy for saying, remedy in SAYINGS.items() if saying in said), None)


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    said = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    return said or ("out of memory" if isinstance(error, MemoryError) else type(error).__name__)


def in_doubt(error: BaseException) -> bool:
    """Whether a hostile file can bring `error` about as well: it asks for too much, or its reader never gets on."""
    return number_of(error) in (errno.ENOMEM, errno.EAGAIN)


def is_short() -> bool:
    """Whether this process gets no more memory, or no other thread, at this moment."""
    try:
        mmap.mmap(-1, PROBE_BYTES).close()
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    except (OSError, RuntimeError, MemoryError):
        return True
    return False
