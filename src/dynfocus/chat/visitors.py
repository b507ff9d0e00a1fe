"""Open connections of the chat server: so many at once, and each only so long for what it is doing."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock


@dataclass
class _Visit:
    """Until when (monotonic seconds) a connection may take, and whether the server waits for what it sends."""

    until: float | None
    awaited: bool


class Visitors:
    """The table of connections; at most `most`.

    A client that sends or reads too slowly is cut off when its time is up, whatever it trickles. Where the
    table is full, a newcomer takes the place of the one among those that the server waits for whose time is
    up first; connections that are being served keep theirs.
    """

    def __init__(self, most: int):
        self._most = most
        self._visits: dict[socket.socket, _Visit] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def admit(self, connection: socket.socket, seconds: float) -> bool:
        """Take a connection in, for its first request; False where everybody is being served."""
        with self._lock:
            if len(self._visits) >= self._most:
                awaited = [other for other, visit in self._visits.items() if visit.awaited]
                if not awaited:
                    return False
                self._dismiss(min(awaited, key=lambda other: self._visits[other].until or 0.0))
            self._visits[connection] = _Visit(time.monotonic() + seconds, True)
            return True

    def allow(self, connection: socket.socket, seconds: float | None, awaited: bool = False) -> None:
        """Give a connection so many seconds from now; None: as long as the server itself takes."""
        with self._lock:
            if connection in self._visits:
                self._visits[connection] = _Visit(None if seconds is None else time.monotonic() + seconds, awaited)

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection that ended."""
        with self._lock:
            self._visits.pop(connection, None)

    def dismiss_late(self) -> None:
        """Cut off everybody whose time is up."""
        now = time.monotonic()
        with self._lock:
            for connection, visit in list(self._visits.items()):
                if visit.until is not None and visit.until < now:
                    self._dismiss(connection)

    def _dismiss(self, connection: socket.socket) -> None:
        del self._visits[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # the thread that reads or writes it wakes up and ends
