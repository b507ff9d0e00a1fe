"""A server on loopback: plain files with ranges, and enough of the hub's protocol; it can cut, lie and refuse."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT, NEXT_COMMIT = "a" * 40, "b" * 40


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repository:
    """Files of a hub repository by path; `large` ones have a SHA-256 as big files have, `wrong` ones arrive altered."""

    files: dict[str, bytes]
    large: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    gated: bool = False
    head: str = COMMIT


@dataclass
class Site:
    """What the server holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    sent: int = 0
    address: str = ""

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def asked_ranges(self, ending: str) -> list[str | None]:
        """Range headers of the GET requests for a path with this ending, in order."""
        return [asked for method, path, asked in self.requests if method == "GET" and path.endswith(ending)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.site.requests.append((self.command, path, self.headers.get("Range")))
        waiting = self.site.statuses.get(path)
        if waiting:
            self._empty(waiting.pop(0))
        elif path.startswith("api/datasets/"):
            self._api(path.removeprefix("api/datasets/"))
        elif path.startswith("datasets/"):
            self._resolve(path.removeprefix("datasets/"))
        elif path in self.site.files:
            content = self.site.files[path]
            self._content(path, content, {"ETag": f'"{sha256(content)[:16]}"'})
        else:
            self._empty(404)

    def _repository(self, path: str) -> tuple[str, Repository | None]:
        name = "/".join(path.split("/")[:2])
        return name, self.site.repositories.get(name)

    def _api(self, path: str) -> None:
        name, repository = self._repository(path)
        if repository is None:
            return self._empty(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        rest = path.removeprefix(name).strip("/").split("/")
        if rest[0] in ("", "revision"):
            wanted = rest[1] if len(rest) > 1 else "main"
            if wanted not in ("main", COMMIT, NEXT_COMMIT):
                return self._empty(404, {"X-Error-Code": "RevisionNotFound"})
            return self._json(
                {"id": name, "sha": repository.head if wanted == "main" else wanted, "gated": repository.gated}
            )
        rows = [self._row(path, content, repository) for path, content in repository.files.items()]
        return self._json(rows)

    def _row(self, path: str, content: bytes, repository: Repository) -> dict:
        row: dict = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path in repository.large:
            row["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
        return row

    def _resolve(self, path: str) -> None:
        name, repository = self._repository(path)
        _, commit, file = path.removeprefix(name).strip("/").split("/", 2)
        if repository is None:
            return self._empty(401, {"X-Error-Code": "RepoNotFound"})
        if repository.gated and self.headers.get("Authorization") != "Bearer let-me-in":
            return self._empty(
                401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this dataset is restricted"}
            )
        if file not in repository.files:
            return self._empty(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        content = repository.files[file]
        tag = sha256(content) if file in repository.large else git_hash(content)
        if file in repository.wrong:
            content = bytes([content[0] ^ 1]) + content[1:]
        return self._content(path, content, {"ETag": f'"{tag}"', "X-Repo-Commit": commit})

    def _json(self, values: object) -> None:
        body = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _content(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        first = self._first(headers["ETag"])
        if first is not None and first >= len(content):
            return self._empty(416, {"Content-Range": f"bytes */{len(content)}"})
        body = content[first or 0 :]
        self.send_response(200 if first is None else 206)
        for key, value in headers.items():
            self.send_header(key, value)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        cuts = self.site.cuts.get(path)
        if cuts:
            body = body[: cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(body)
        self.site.sent += len(body)
        return None

    def _first(self, tag: str) -> int | None:
        """First byte asked for; None for the whole file, also where the file has changed since."""
        asked = self.headers.get("Range")
        if not asked or not self.site.ranges or self.headers.get("If-Range", tag) != tag:
            return None
        return int(asked.removeprefix("bytes=").partition("-")[0])


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    server.block_on_close = False
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
