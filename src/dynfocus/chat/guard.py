"""What may reach the chat's web page: who asks, how much, for how long, and how many at once.

The page is meant for this machine, and a browser on it visits other sites as well. A page of such a site can name the
server under a domain of its own (DNS rebinding), send it a form, or open a websocket: `Host` and `Origin` tell.
HTTP itself is read by h11 and uvicorn; here stand the bounds that they leave open.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LARGEST_UPLOAD = 1 << 30
LARGEST_MESSAGE = 1 << 16
"""Bytes of any other body, and of a message of the page."""
MOST_CONNECTIONS = 64
MOST_UPLOADS = 2
HEAD_SECONDS = 10.0
"""For a request's head, and between two requests of a connection."""
WRITE_SECONDS = 60.0
"""For a client to take the next part of an answer."""
SLOWEST_UPLOAD = 1 << 16
"""Bytes a second; a body that comes more slowly is cut off, `HEAD_SECONDS` late."""

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?")
UPLOAD = re.compile(r"/_nicegui/client/[^/]+/upload/[0-9]+")
SAFE = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"frame-ancestors 'none'")]


class Refused(Exception):
    """A request that is not served; its body is left unread, and the connection ends."""

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class Guard:
    """An application behind the checks; `own` is the name that the server was started with.

    `full` tells whether no further page can be opened.
    """

    def __init__(self, app: ASGIApp, own: str, full: Callable[[], bool]):
        self.app = app
        self._own, self._full = own, full
        self.uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that passes, within its time; refuse every other."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        try:
            check_host(values(scope, b"host"), self._own)
            check_origin(scope)
            if scope["type"] == "http":
                await self._serve(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        except Refused as refusal:
            await self._refuse(refusal, scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = body_length(scope)
        if scope["path"] == "/" and self._full():
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open; try again in a minute")
        uploading = bool(UPLOAD.fullmatch(scope["path"])) and scope["method"] == "POST"
        if uploading and self.uploads >= MOST_UPLOADS:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is busy with others; try again in a moment")
        self.uploads += uploading
        try:
            receive = steady(receive, length)
            first = await receive()
            if first["type"] != "http.disconnect":
                await self.app(scope, after(first, receive), patient(send))
        finally:
            self.uploads -= uploading

    async def _refuse(self, refusal: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = PlainTextResponse(str(refusal), refusal.status, {"Connection": "close"})
        await answer(scope, receive, patient(send))


def values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def check_host(given: list[str], own: str) -> None:
    """Refuse a request that is meant for another name.

    Own are the name that the server was started with, this machine's, `localhost`, and every plain address:
    what can be rebound is a name.
    """
    found = HOST.fullmatch(given[0]) if len(given) == 1 else None
    if not found:
        raise Refused(HTTPStatus.BAD_REQUEST, "the request needs one Host header")
    name = found[1].lower().rstrip(".")
    if name not in {"localhost", own.lower(), socket.gethostname().lower()} and not _is_address(name.strip("[]")):
        raise Refused(HTTPStatus.FORBIDDEN, "this server has another name; open it as localhost, or by its address")


def check_origin(scope: Scope) -> None:
    """Refuse what a page of another site sends; programs that are no browser name no origin.

    The page itself may be opened by a link of another site.
    """
    ours = f"http://{values(scope, b'host')[0]}".lower()
    foreign = any(origin.lower() != ours for origin in values(scope, b"origin"))
    elsewhere = any(site not in ("same-origin", "none") for site in values(scope, b"sec-fetch-site"))
    if foreign or (elsewhere and values(scope, b"sec-fetch-mode") != ["navigate"]):
        raise Refused(HTTPStatus.FORBIDDEN, "the request comes from another site")


def body_length(scope: Scope) -> int:
    """The length of the body that a request announces; refused where that is too much, or not for this method."""
    if scope["method"] not in ("GET", "HEAD", "POST"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{scope['method'][:20]} is not served")
    if values(scope, b"transfer-encoding"):
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "a body in chunks is not taken; send its length")
    lengths = values(scope, b"content-length")
    if scope["method"] != "POST":
        if any(length != "0" for length in lengths):
            raise Refused(HTTPStatus.BAD_REQUEST, f"a {scope['method']} request has no body")
        return 0
    if not lengths:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request needs its Content-Length")
    limit = LARGEST_UPLOAD if UPLOAD.fullmatch(scope["path"]) else LARGEST_MESSAGE
    if len(lengths[0]) > 18 or int(lengths[0]) > limit:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{lengths[0][:18]} bytes are more than the {limit} taken")
    return int(lengths[0])


def steady(receive: Receive, length: int) -> Receive:
    """`receive` that lets a body come at `SLOWEST_UPLOAD` and no slower; after it the server takes its time."""
    started, received = time.monotonic(), 0

    async def next_part() -> Message:
        nonlocal received
        due = started + HEAD_SECONDS + received / SLOWEST_UPLOAD - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), max(due, 0.01) if received < length else None)
        except TimeoutError:
            return {"type": "http.disconnect"}
        received += len(message.get("body", b""))
        return message

    return next_part


def after(first: Message, receive: Receive) -> Receive:
    """`receive` that gives a message again that was read already."""
    read = [first]

    async def next_part() -> Message:
        return read.pop() if read else await receive()

    return next_part


def patient(send: Send) -> Send:
    """`send` with the headers of every answer, that gives a client `WRITE_SECONDS` to take each part."""

    async def next_part(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *SAFE]}
        await asyncio.wait_for(send(message), WRITE_SECONDS)

    return next_part


class Visit(H11Protocol):
    """A connection with a time limit for the head of each request.

    Where all places are taken, a newcomer gets that of whoever has been awaited longest; who is being served stays.
    """

    _limit: asyncio.TimerHandle | None = None

    @property
    def awaited(self) -> bool:
        """Whether the server waits for the head of a request."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Take a connection in, if there is a place."""
        if len(self.connections) >= MOST_CONNECTIONS:
            visits = [one for one in self.connections if isinstance(one, Visit) and one.awaited]
            awaited = {one._limit.when(): one.transport for one in visits if one._limit}
            (awaited[min(awaited)] if awaited else transport).abort()
        super().connection_made(transport)
        self._restart()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of a connection."""
        self._cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """From here on the websocket's own pings decide."""
        self._cancel()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._restart()
        super().on_response_complete()

    def _restart(self) -> None:
        self._cancel()
        self._limit = self.loop.call_later(HEAD_SECONDS, self._late)

    def _cancel(self) -> None:
        if self._limit:
            self._limit.cancel()

    def _late(self) -> None:
        if self.awaited:
            self.transport.abort()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
