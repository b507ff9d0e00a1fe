"""The server under requests that no page of ours sends, and under connections that never end."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

pytest.importorskip("nicegui")

from dynfocus.chat import guard
from dynfocus.chat.page import LONGEST_QUESTION, MOST_WAITING, checked, file_name
from dynfocus.errors import UserError

BOUNDARY = b"b0undary"
SOCKET = b"/_nicegui_ws/socket.io/?EIO=4&transport="


def connect(server):
    return socket.create_connection(server, timeout=60)


def send(server, data, close=False):
    """Everything that comes back on a connection that sends these bytes; `close`: and then no more."""
    with connect(server) as connection:
        received = b""
        try:
            connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(1 << 16):
                received = (received + block).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                head, _, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                chunked = re.search(rb"transfer-encoding: chunked", head, re.IGNORECASE)
                if (length and len(body) >= int(length[1])) or (chunked and body.endswith(b"0\r\n\r\n")):
                    break
        except (ConnectionResetError, BrokenPipeError):
            pass  # what was left unread makes the system reset the connection, after the answer or in place of it
        return received


def status(received):
    return int(received.split()[1]) if received.startswith(b"HTTP/") else None


def request(target=b"/favicon.ico", body=b"", host=b"127.0.0.1", method=b"GET", more=b"", length=None):
    head = b"%s %s HTTP/1.1\r\n" % (method, target)
    head += b"Host: %s\r\n" % host if host is not None else b""
    size = b"%d" % len(body) if length is None else length
    head += b"Content-Length: %s\r\n" % size if method == b"POST" and size != b"none" else b""
    return head + more + b"\r\n" + body


def post(body=b"film", target=b"/_nicegui/client/abc/upload/1", **more):
    return request(target, body, method=b"POST", **more)


def upgrade(more=b"", host=b"127.0.0.1", target=SOCKET + b"websocket"):
    more += b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    return request(target, host=host, more=more + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


def message(body, **more):
    return post(body, SOCKET + b"polling", **more)


HOSTILE = [
    # another name, another site
    ("rebound name", post(host=b"evil.example:7860"), 403),
    ("rebound name for the page", request(b"/", host=b"evil.example"), 403),
    ("rebound name for the websocket", upgrade(host=b"evil.example"), 403),
    ("name that begins like ours", post(host=b"localhost.evil.example"), 403),
    ("address as part of a name", post(host=b"127.0.0.1.evil.example"), 403),
    ("user before the name", post(host=b"127.0.0.1@evil.example"), 400),
    ("no host", post(host=None), 400),
    ("two hosts", post(more=b"Host: evil.example\r\n"), 400),
    ("empty host", post(host=b""), 400),
    ("host with a path", post(host=b"127.0.0.1/evil"), 400),
    ("upload of another site", post(more=b"Origin: http://evil.example\r\n"), 403),
    ("websocket of another site", upgrade(b"Origin: http://evil.example\r\n"), 403),
    ("message of another site", message(b"40", more=b"Origin: http://evil.example\r\n"), 403),
    ("origin null", post(more=b"Origin: null\r\n"), 403),
    ("origin of another port", post(more=b"Origin: http://127.0.0.1:1\r\n"), 403),
    ("two origins", post(more=b"Origin: http://127.0.0.1\r\nOrigin: http://evil.example\r\n"), 403),
    ("fetch of another site without origin", post(more=b"Sec-Fetch-Site: cross-site\r\n"), 403),
    ("fetch of a sister site", post(more=b"Sec-Fetch-Site: same-site\r\n"), 403),
    # lengths
    ("no length", post(length=b"none"), 411),
    ("length below zero", post(length=b"-1"), 400),
    ("length with a sign", post(length=b"+36"), 400),
    ("length with an underscore", post(length=b"3_6"), 400),
    ("length in other digits", post(length="３６".encode()), 400),
    ("length in hexadecimal", post(length=b"0x24"), 400),
    ("length with a fraction", post(length=b"36.0"), 400),
    ("empty length", post(length=b""), 400),
    ("endless length", post(length=b"9" * 5000), (400, 413)),
    ("two lengths", post(more=b"Content-Length: 3\r\n"), 400),
    ("chunks", post(length=b"none", more=b"Transfer-Encoding: chunked\r\n"), 501),
    ("message of a gigabyte", message(b"", length=b"1073741824"), 413),
    ("film of a terabyte", post(length=b"1099511627776"), 413),
    ("film of a terabyte, asked before", post(length=b"1099511627776", more=b"Expect: 100-continue\r\n"), 413),
    ("upload of another site, asked before", post(more=b"Expect: 100-continue\r\nOrigin: null\r\n"), 403),
    ("page with a body", request(b"/", more=b"Content-Length: 5\r\n"), 400),
    ("film for a page that is none", post(), 404),
    ("film shorter than said", post(b"abc", length=b"99"), (404, None)),
    # messages
    ("deep lists", message(b"42" + b"[" * 60000), (400, 403, 404)),
    ("a number of many digits", message(b"42" + b"9" * 5000), (400, 403, 404)),
    ("no text", message(b"\xff\xfe"), (400, 403, 404)),
    ("a talk that was never begun", post(b"40", SOCKET + b"polling&sid=abc"), 400),
    ("a transport that is none", request(SOCKET + b"carrier-pigeon"), 400),
    ("a websocket elsewhere", upgrade(target=b"/films"), 403),
    # addresses and heads
    ("a file of the machine", request(b"/../../../../etc/passwd"), 404),
    ("a file of the machine, as the page's", request(b"/_nicegui/3.0.0/static/..%2f..%2f..%2fetc/passwd"), 404),
    ("bad address", request(b"http://[/films"), (400, 404)),
    ("another method", request(b"/", method=b"DELETE"), 405),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("endless line", b"GET /" + b"a" * 170000 + b" HTTP/1.1\r\n\r\n", (400, None)),
    ("endless header", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 170000 + b"\r\n\r\n", (400, None)),
    ("interface that NiceGUI might show", request(b"/openapi.json"), 404),
    ("documentation that NiceGUI might show", request(b"/docs"), 404),
]  # fmt: skip


@pytest.fixture
def upload(server):
    """The address to which a page that is open sends its film."""
    html = send(server, request(b"/"))
    return re.search(rb"/_nicegui/client/[^/]+/upload/[0-9]+", html)[0]


def form(film, name=b"a.mp4"):
    head = b'--%s\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n' % (BOUNDARY, name)
    return head + film + b"\r\n--%s--\r\n" % BOUNDARY


MULTIPART = b"Content-Type: multipart/form-data; boundary=%s\r\n" % BOUNDARY


def test_there_are_at_least_forty():
    assert len(HOSTILE) >= 40 and len({name for name, *_ in HOSTILE}) == len(HOSTILE)


def test_hostile_requests_are_refused_and_the_next_is_served(server, caplog, capfd):
    wrong = []
    for name, data, expected in HOSTILE:
        taken = expected if isinstance(expected, tuple) else (expected,)
        answer = send(server, data, close=None in taken)
        if status(answer) not in taken:
            wrong.append((name, answer[:120]))
        assert status(send(server, request())) == 200, name
    assert not wrong
    assert "Traceback" not in capfd.readouterr().err and "Traceback" not in caplog.text


@pytest.mark.parametrize("name", ["film of a terabyte, asked before", "upload of another site, asked before"])
def test_who_asks_before_sending_is_refused_before(server, name):
    data = next(data for other, data, _ in HOSTILE if other == name)
    with connect(server) as connection:
        connection.sendall(data)
        assert status(connection.recv(1 << 16)) in (403, 413)


def test_a_body_that_was_refused_is_never_read_as_a_request(server):
    """What follows a refused head on the same connection is the attacker's text, and is left alone."""
    smuggled = request()
    answer = send(server, post(smuggled, more=b"Origin: null\r\n") + smuggled)
    assert status(answer) == 403 and answer.count(b"HTTP/1.1") == 1 and b"connection: close" in answer.lower()


def test_what_a_browser_and_a_program_send_is_served(server):
    for more in (b"", b"Origin: http://127.0.0.1\r\n", b"Sec-Fetch-Site: same-origin\r\n", b"Sec-Fetch-Site: none\r\n"):
        assert status(send(server, request(more=more))) == 200, more
    link = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"
    assert status(send(server, request(more=link))) == 200
    assert status(send(server, request(host=b"localhost:9000", more=b"Origin: http://localhost:9000\r\n"))) == 200
    assert status(send(server, request(host=b"[::1]:9000", more=b"Origin: http://[::1]:9000\r\n"))) == 200
    assert status(send(server, request(host=socket.gethostname().encode()))) == 200
    assert status(send(server, upgrade(b"Origin: http://127.0.0.1\r\n"), close=True)) == 101


def test_every_answer_forbids_frames_and_guessing(server):
    answer = send(server, request()).lower()
    assert b"frame-ancestors 'none'" in answer and b"nosniff" in answer


def test_the_name_that_the_server_was_started_with_is_its_own():
    guard.check_host(["gpu-box.lan:7860"], "gpu-box.lan")
    with pytest.raises(guard.Refused):
        guard.check_host(["other.lan:7860"], "gpu-box.lan")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie:x.mp4", "aSet-Cookie:x.mp4"),
        ("films\\a.mp4", "a.mp4"),
        ("\0\x1b[31m.mp4", "[31m.mp4"),
        ("a" * 5000, "a" * 120),
        ("", "video"),
        ("../", "video"),
    ],
)
def test_names_of_uploads(name, kept):
    assert file_name(name) == kept


@pytest.mark.parametrize(
    "sent", [(0, 0.5), (True, 0.5), (3, 0), (3, 1.5), ("3", 0.5), (3, None), (10**9, 0.5), (3.0, 1)]
)
def test_settings_that_a_page_cannot_send_are_refused(sent):
    with pytest.raises(UserError, match="L must be"):
        checked(sent)


def test_uploads_are_taken_and_bounded(server, upload, chat, monkeypatch):
    assert status(send(server, post(form(b"no film"), upload, more=MULTIPART))) == 200
    wait_until(lambda: len(list(chat.folder.iterdir())) == 1)
    half = post(b"x", upload, length=b"100", more=MULTIPART)
    with ExitStack() as stack:
        for _ in range(guard.MOST_UPLOADS):
            stack.enter_context(connect(server)).sendall(half)
        wait_until(lambda: status(send(server, post(form(b"film"), upload, more=MULTIPART))) == 503)
    wait_until(lambda: status(send(server, post(form(b"film"), upload, more=MULTIPART))) == 200)
    wait_until(lambda: len(list(chat.folder.iterdir())) == 1)  # a page keeps one film
    monkeypatch.setattr(guard, "LARGEST_UPLOAD", 10)
    assert status(send(server, post(form(b"film"), upload, more=MULTIPART))) == 413


def test_a_trickled_body_is_cut_off(server, upload, monkeypatch):
    monkeypatch.setattr(guard, "HEAD_SECONDS", 0.5)
    with connect(server) as connection:
        connection.sendall(post(b"x", upload, length=b"1073741824", more=MULTIPART))
        assert ended(connection, 5)


def test_a_steady_slow_upload_is_not_cut_off(server, upload, monkeypatch):
    monkeypatch.setattr(guard, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(guard, "SLOWEST_UPLOAD", 100)
    body = form(b"x" * 600)
    with connect(server) as connection:
        connection.sendall(post(b"", upload, length=b"%d" % len(body), more=MULTIPART))
        for start in range(0, len(body), 100):
            time.sleep(0.2)
            connection.sendall(body[start : start + 100])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: ", b"GET / HTT", post(length=b"60000")]
)
def test_three_hundred_slow_connections(server, monkeypatch, start):
    """They come, trickle a byte now and then, and never end: others are served all the while, and threads stay few."""
    monkeypatch.setattr(guard, "HEAD_SECONDS", 2.0)
    threads = threading.active_count()
    with ExitStack() as stack:
        slow = []
        for _ in range(300):
            slow.append(stack.enter_context(connect(server)))
            with suppress(OSError):
                slow[-1].sendall(start)
        began = time.monotonic()
        for _ in range(5):
            assert status(send(server, request())) == 200
            for connection in slow:
                with suppress(OSError):
                    connection.send(b"a")
        assert time.monotonic() - began < 15
        assert threading.active_count() <= threads + 2
        for connection in slow:
            assert ended(connection, 10)


def test_pages_and_waiting_questions_are_bounded(server, monkeypatch, chat):
    from dynfocus.chat import page

    monkeypatch.setattr(page, "MOST_PAGES", 0)
    assert status(send(server, request(b"/"))) == 503
    monkeypatch.setattr(chat, "waiting", MOST_WAITING)
    working = chat.work(print)
    with pytest.raises(UserError, match="busy"):
        working.send(None)
    assert LONGEST_QUESTION < guard.LARGEST_MESSAGE


def ended(connection, seconds):
    """Whether the other side ends the connection in time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def wait_until(condition, seconds=10.0):
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.05)
