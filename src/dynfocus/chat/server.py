"""The web page of the chat: the standard library's HTTP server around one model.

    GET  /                          the page
    POST /films?name=film.mp4       the bytes of a video -> {"film", "name", "seconds", "thumbnails"}
    POST /films/{film}/questions    {"question", "history": [[question, reply], ...]} -> {"reply", "look", ...}

The talk is kept by the page, films by the server, the latest few. A user's mistake is status 400 with
{"error"}. The server listens on this machine alone unless told otherwise.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import tempfile
from collections import OrderedDict
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dynfocus.chat.film import Film
from dynfocus.chat.model import ChatModel, Exchange
from dynfocus.errors import UserError

KEPT_FILMS = 8
LARGEST_UPLOAD = 1 << 30
LONGEST_QUESTION = 1 << 16
QUESTIONS = re.compile(r"/films/([0-9a-f]{16})/questions")


class TooLarge(Exception):
    """A body longer than the limit."""


class ChatServer(ThreadingHTTPServer):
    """One model, the latest films, and one lock: questions wait for each other."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], model: ChatModel):
        super().__init__(address, ChatHandler)
        self.model = model
        self.films: OrderedDict[str, Film] = OrderedDict()
        self.lock = Lock()

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


class ChatHandler(BaseHTTPRequestHandler):
    """Routes of the module docstring."""

    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page; everything else is not found."""
        if urlsplit(self.path).path == "/":
            self._send(HTTPStatus.OK, page(), "text/html; charset=utf-8")
        else:
            self._json(HTTPStatus.NOT_FOUND, {"error": "not found"})

    def do_POST(self) -> None:
        """A film or a question."""
        address = urlsplit(self.path)
        question = QUESTIONS.fullmatch(address.path)
        try:
            if address.path == "/films":
                answer = self._film(parse_qs(address.query).get("name", ["video"])[0])
            elif question:
                answer = self._question(question[1])
            else:
                self.close_connection = True
                self._json(HTTPStatus.NOT_FOUND, {"error": "not found"})
                return
        except UserError as error:
            self._json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except TooLarge as error:
            self.close_connection = True
            self._json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": str(error)})
        else:
            self._json(HTTPStatus.OK, answer)

    def _film(self, name: str) -> dict[str, Any]:
        length = self._length(LARGEST_UPLOAD)
        with tempfile.TemporaryDirectory(prefix="dynfocus-chat-") as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as stream:
                while length and (block := self.rfile.read(min(length, 1 << 20))):
                    stream.write(block)
                    length -= len(block)
            return self.server.open(path, Path(name).name or "video")

    def _question(self, film: str) -> dict[str, Any]:
        body = self.rfile.read(self._length(LONGEST_QUESTION))
        try:
            asked = json.loads(body)
            history = [(str(question), str(reply)) for question, reply in asked.get("history", [])]
            question = str(asked["question"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError('the request must be JSON with "question" and "history"') from error
        return self.server.ask(film, history, question)

    def _length(self, limit: int) -> int:
        length = int(self.headers.get("Content-Length") or 0)
        if length > limit:
            raise TooLarge(f"{length} bytes are more than the {limit} taken here; cut the video")
        return length

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged; the page shows what fails."""


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
