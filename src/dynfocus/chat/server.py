"""The web page of the chat: the standard library's HTTP server around one model.

    GET  /                          the page
    POST /films?name=film.mp4       the bytes of a video -> {"film", "name", "seconds", "thumbnails"}
    POST /films/{film}/questions    {"question", "history": [[question, reply], ...]} -> {"reply", "look", ...}

The talk is kept by the page, films by the server, the latest few. A user's mistake is status 400 with
{"error"}. The server listens on this machine alone unless told otherwise. What comes in is not trusted:
`checks` says what a request must be, `visitors` how many may come and how long each may take, and here
stand the bounds.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
import socket
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

from dynfocus.chat.checks import Refused, body_length, check_host, check_origin, film_name, read_question, route
from dynfocus.chat.film import Film
from dynfocus.chat.model import ChatModel, Exchange
from dynfocus.chat.visitors import Visitors
from dynfocus.errors import UserError

log = logging.getLogger(__name__)

KEPT_FILMS = 8
LARGEST_UPLOAD = 1 << 30
LONGEST_QUESTION = 1 << 16
QUESTIONS = re.compile(r"/films/([0-9a-f]{16})/questions")
MOST_CONNECTIONS = 64
MOST_UPLOADS = 2
MOST_WAITING = 8
"""Questions that are answered or wait for their turn."""
HEAD_SECONDS = 10.0
"""For a request's head, and between two requests of a connection."""
WRITE_SECONDS = 60.0
SLOWEST_UPLOAD = 1 << 16
"""Bytes a second; a body that comes more slowly is cut off, `HEAD_SECONDS` late."""


class ChatServer(ThreadingHTTPServer):
    """One model, the latest films, and one lock: questions wait for each other."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], model: ChatModel):
        super().__init__(address, ChatHandler)
        self.name = address[0]
        self.model = model
        self.films: OrderedDict[str, Film] = OrderedDict()
        self.lock = Lock()
        self.uploads = BoundedSemaphore(MOST_UPLOADS)
        self.waiting = BoundedSemaphore(MOST_WAITING)
        self.visitors = Visitors(MOST_CONNECTIONS)

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        return f"http://{host}:{port}/"

    def open(self, path: Path, name: str) -> dict[str, Any]:
        """Decode and keep a film; what the page needs to draw it."""
        with self.lock:
            try:
                film = self.model.open(path, name)
            except UserError as error:
                raise UserError(str(error).replace(str(path), name)) from error
            key = secrets.token_hex(8)
            self.films[key] = film
            while len(self.films) > KEPT_FILMS:
                self.films.popitem(last=False)
        return {
            "film": key,
            "name": film.name,
            "seconds": [round(float(second), 2) for second in film.seconds],
            "thumbnails": [base64.b64encode(image).decode("ascii") for image in film.thumbnails],
        }

    def ask(self, key: str, history: list[Exchange], question: str) -> dict[str, Any]:
        """The reply to a question on a kept film."""
        film = self.films.get(key)
        if film is None:
            raise UserError("the video is no longer kept; load it again")
        with self.lock:
            return asdict(self.model.ask(film, history, question))

    def process_request(self, request: socket.socket, client_address: Any) -> None:
        """Serve a connection in a thread of its own, unless everybody is being served."""
        if self.visitors.admit(request, HEAD_SECONDS):
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: socket.socket) -> None:
        """The end of a connection."""
        self.visitors.leave(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second, between connections."""
        self.visitors.dismiss_late()

    def handle_error(self, request: socket.socket, client_address: Any) -> None:
        """A client that goes away or is cut off is no error of the server."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a connection of the chat failed")


class ChatHandler(BaseHTTPRequestHandler):
    """Routes of the module docstring."""

    server: ChatServer
    protocol_version = "HTTP/1.1"
    server_version = "dynfocus"
    sys_version = ""

    def handle_one_request(self) -> None:
        """Wait so long for a request, and serve it."""
        self.server.visitors.allow(self.connection, HEAD_SECONDS, awaited=True)
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """A client that asks before it sends its body is refused before it does."""
        try:
            self._admitted()
        except Refused as refusal:
            self._refuse(refusal)
            return False
        return super().handle_expect_100()

    def do_GET(self) -> None:
        """The page; everything else is not found."""
        try:
            check_host(self.headers, self.server.name)
            if route(self.path)[0] != "/":
                raise Refused(HTTPStatus.NOT_FOUND, "not found")
            if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
                raise Refused(HTTPStatus.BAD_REQUEST, "a request for the page has no body")
        except Refused as refusal:
            self._refuse(refusal)
        else:
            self._send(HTTPStatus.OK, page(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """A film or a question."""
        try:
            film, query, length = self._admitted()
            answer = self._question(film, length) if film else self._film(film_name(query), length)
        except UserError as error:
            self._json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Refused as refusal:
            self._refuse(refusal)
        except OSError:
            raise
        except Exception:
            log.exception("a request of the chat failed")
            self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its terminal says how"))
        else:
            self._json(HTTPStatus.OK, answer)

    def _admitted(self) -> tuple[str, str, int]:
        """The film asked about (empty for an upload), query and length of a request that may be read."""
        check_host(self.headers, self.server.name)
        check_origin(self.headers)
        path, query = route(self.path)
        question = QUESTIONS.fullmatch(path)
        if not question and path != "/films":
            raise Refused(HTTPStatus.NOT_FOUND, "not found")
        limit = LONGEST_QUESTION if question else LARGEST_UPLOAD
        return question[1] if question else "", query, body_length(self.headers, limit)

    def _film(self, name: str, length: int) -> dict[str, Any]:
        with _place(self.server.uploads), tempfile.TemporaryDirectory(prefix="dynfocus-chat-") as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as stream:
                for block in self._body(length):
                    stream.write(block)
            return self.server.open(path, name)

    def _question(self, film: str, length: int) -> dict[str, Any]:
        question, history = read_question(b"".join(self._body(length)))
        with _place(self.server.waiting):
            return self.server.ask(film, history, question)

    def _body(self, length: int) -> Iterator[bytes]:
        """The bytes of the body as they come; refused where they end early. After it the server takes its time."""
        started, received = time.monotonic(), 0
        while received < length:
            due = started + HEAD_SECONDS + received / SLOWEST_UPLOAD
            self.server.visitors.allow(self.connection, due - time.monotonic(), awaited=True)
            block = self.rfile.read1(min(length - received, 1 << 16))
            if not block:
                raise Refused(HTTPStatus.BAD_REQUEST, "the request ended before its body did")
            yield block
            received += len(block)
        self.server.visitors.allow(self.connection, None)

    def _refuse(self, refusal: Refused) -> None:
        self.close_connection = True
        self._json(refusal.status, {"error": str(refusal)})

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.server.visitors.allow(self.connection, WRITE_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged; the page shows what fails."""


@contextmanager
def _place(places: BoundedSemaphore) -> Iterator[None]:
    """One of so many places; refused where all are taken."""
    if not places.acquire(blocking=False):
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is busy with others; try again in a moment")
    try:
        yield
    finally:
        places.release()


def page() -> bytes:
    """The page: one file with its style and script inside."""
    folder = files(__package__) / "page"
    html = (folder / "chat.html").read_text(encoding="utf-8")
    for name in ("chat.css", "chat.js"):
        html = html.replace(f"/* {name} */", (folder / name).read_text(encoding="utf-8"))
    return html.encode()


def serve(model: ChatModel, host: str, port: int) -> None:
    """Serve the page until the process is interrupted. Raises UserError where the port is taken."""
    try:
        server = ChatServer((host, port), model)
    except OSError as error:
        raise UserError(f"{host}:{port}: {error.strerror}; choose another --port") from error
    print(f"The chat is at {server.url} (Ctrl+C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
