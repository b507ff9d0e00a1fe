"""What a request must be before anything of it is read or done.

The server is meant for this machine, and a browser on it visits other sites as well. A page of such a
site can name the server under a domain of its own (DNS rebinding) or send it a form or a fetch: `Host`
and `Origin` tell. Lengths are read strictly, since two readings of one request are a way in.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dynfocus.errors import UserError

LONGEST_NAME = 120
MOST_EXCHANGES = 200
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?")


class Refused(Exception):
    """A request that is not served; its body is left unread, and the connection ends."""

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


def check_host(headers: Message, own: str) -> None:
    """Refuse a request that is meant for another name.

    Own are the name that the server was started with, this machine's, `localhost`, and every plain address:
    what can be rebound is a name.
    """
    given = headers.get_all("Host", [])
    found = HOST.fullmatch(given[0].strip()) if len(given) == 1 else None
    if not found:
        raise Refused(HTTPStatus.BAD_REQUEST, "the request needs one Host header")
    name = found[1].lower().rstrip(".")
    if name not in {"localhost", own.lower(), socket.gethostname().lower()} and not _is_address(name.strip("[]")):
        raise Refused(HTTPStatus.FORBIDDEN, "this server has another name; open it as localhost, or by its address")


def check_origin(headers: Message) -> None:
    """Refuse what a page of another site sends; programs that are no browser name no origin."""
    origins, site = headers.get_all("Origin", []), headers.get("Sec-Fetch-Site", "same-origin")
    ours = f"http://{headers['Host'].strip()}".lower()
    if any(origin.strip().lower() != ours for origin in origins) or site not in ("same-origin", "none"):
        raise Refused(HTTPStatus.FORBIDDEN, "the request comes from another site")


def body_length(headers: Message, limit: int) -> int:
    """The length of the body, from one plain number; refused above `limit` bytes."""
    if headers.get_all("Transfer-Encoding"):
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "a body in chunks is not taken; send its length")
    lengths = headers.get_all("Content-Length", [])
    if not lengths:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request needs its Content-Length")
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length must be one whole number")
    length = int(lengths[0])
    if length > limit:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes are more than the {limit} taken here")
    return length


def route(target: str) -> tuple[str, str]:
    """Path and query of a request target; refused where it is none."""
    try:
        address = urlsplit(target)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the address of the request is none") from error
    return address.path, address.query


def film_name(query: str) -> str:
    """The name of an upload: its last part, printable and short."""
    try:
        name = parse_qs(query, max_num_fields=8).get("name", [""])[0]
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the address of the request has too many fields") from error
    name = "".join(letter for letter in re.split(r"[/\\]", name)[-1] if letter.isprintable())
    return name[:LONGEST_NAME] or "video"


def read_question(body: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Question and earlier exchanges of a request. Raises UserError for another form."""
    try:
        asked: Any = json.loads(body)
        question, history = asked["question"], asked.get("history", [])
        exchanges = [(asked_before, reply) for asked_before, reply in history]
        texts = [question, *(text for exchange in exchanges for text in exchange)]
        for text in texts:
            text.encode()  # a lone surrogate is no text, and no tokenizer takes it
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError('the request must be JSON with "question" and "history", texts throughout') from error
    if len(exchanges) > MOST_EXCHANGES:
        raise UserError(f"{len(exchanges)} exchanges are more than the {MOST_EXCHANGES} taken here; start a new talk")
    return question, exchanges


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
