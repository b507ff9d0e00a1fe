"""The server under requests that no page of ours sends, and under connections that never end."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest

from dynfocus.chat import server as chat_server
from dynfocus.chat.checks import check_host
from dynfocus.chat.server import ChatServer

FILM = "0123456789abcdef"


@dataclass
class Said:
    reply: str


class Model:
    """Stands for a model: every file is a film, every reply the question; `slow` blocks until it is set."""

    def __init__(self):
        self.slow = None

    def open(self, path, name):
        return type("Film", (), {"name": name, "seconds": [0.0], "thumbnails": [path.read_bytes()]})()

    def ask(self, film, history, question):
        if self.slow:
            self.slow.wait(20)
        if question == "fail":
            raise ZeroDivisionError("of the model")
        return Said(question)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def server(model):
    with running(model) as server:
        yield server


@contextmanager
def running(model):
    server = ChatServer(("127.0.0.1", 0), model)
    server.films[FILM] = model.open(type("File", (), {"read_bytes": lambda self: b""})(), "film")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def connect(server):
    return socket.create_connection(server.server_address, timeout=10)


def send(server, data, close=False):
    """Everything that comes back on a connection that sends these bytes; `close`: and then no more."""
    with connect(server) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while block := connection.recv(1 << 16):
                received = (received + block).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                head, _, body = received.partition(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), None
                )
                if length is not None and len(body) >= length:
                    break
        except ConnectionResetError:
            pass  # what was left unread makes the system reset the connection, after the answer or in place of it
        return received


def status(received):
    return int(received.split()[1]) if received.startswith(b"HTTP/") else None


def request(target, body=b"", host=b"127.0.0.1", method=b"POST", more=b"", length=None):
    head = b"%s %s HTTP/1.1\r\n" % (method, target)
    head += b"Host: %s\r\n" % host if host is not None else b""
    size = b"%d" % len(body) if length is None else length
    head += b"Content-Length: %s\r\n" % size if method == b"POST" and size != b"none" else b""
    return head + more + b"\r\n" + body


ASK = b"/films/%s/questions" % FILM.encode()
GOOD = b'{"question": "What?", "history": []}'


def ask(body=GOOD, **more):
    return request(ASK, body, **more)


def question(**values):
    return json.dumps({"question": "What?", "history": [], **values}).encode()


HOSTILE = [
    # another name, another site
    ("rebound name", ask(host=b"evil.example:7860"), 403),
    ("rebound name for the page", request(b"/", host=b"evil.example", method=b"GET"), 403),
    ("name that begins like ours", ask(host=b"localhost.evil.example"), 403),
    ("address as part of a name", ask(host=b"127.0.0.1.evil.example"), 403),
    ("user before the name", ask(host=b"127.0.0.1@evil.example"), 400),
    ("no host", ask(host=None), 400),
    ("two hosts", ask(more=b"Host: evil.example\r\n"), 400),
    ("empty host", ask(host=b""), 400),
    ("host with a path", ask(host=b"127.0.0.1/evil"), 400),
    ("upload of another site", request(b"/films?name=a", b"x", more=b"Origin: http://evil.example\r\n"), 403),
    ("question of another site", ask(more=b"Origin: http://evil.example\r\n"), 403),
    ("origin null", ask(more=b"Origin: null\r\n"), 403),
    ("origin of another port", ask(more=b"Origin: http://127.0.0.1:1\r\n"), 403),
    ("two origins", ask(more=b"Origin: http://127.0.0.1\r\nOrigin: http://evil.example\r\n"), 403),
    ("fetch of another site without origin", ask(more=b"Sec-Fetch-Site: cross-site\r\n"), 403),
    ("fetch of a sister site", ask(more=b"Sec-Fetch-Site: same-site\r\n"), 403),
    # lengths
    ("no length", ask(length=b"none"), 411),
    ("length below zero", ask(length=b"-1"), 400),
    ("length with a sign", ask(length=b"+36"), 400),
    ("length with an underscore", ask(length=b"3_6"), 400),
    ("length in other digits", ask(length="３６".encode()), 400),
    ("length in hexadecimal", ask(length=b"0x24"), 400),
    ("length with a fraction", ask(length=b"36.0"), 400),
    ("empty length", ask(length=b""), 400),
    ("endless length", ask(length=b"9" * 5000), 400),
    ("two lengths", ask(more=b"Content-Length: 3\r\n"), 400),
    ("chunks", ask(more=b"Transfer-Encoding: chunked\r\n"), 501),
    ("question of a gigabyte", ask(length=b"1073741824"), 413),
    ("film of a terabyte", request(b"/films?name=a", b"", length=b"1099511627776"), 413),
    ("film of a terabyte, asked before",
     request(b"/films?name=a", length=b"1099511627776", more=b"Expect: 100-continue\r\n"), 413),
    ("upload of another site, asked before",
     request(b"/films", length=b"9", more=b"Expect: 100-continue\r\nOrigin: null\r\n"), 403),
    ("page with a body", request(b"/", b"", method=b"GET", more=b"Content-Length: 5\r\n"), 400),
    ("body shorter than said", ask(length=b"99"), 400),
    ("film shorter than said", request(b"/films?name=a", b"abc", length=b"99"), 400),
    # JSON
    ("deep lists", ask(b"[" * 60000), 400),
    ("deep mappings", ask(b'{"a":' * 10000 + b"1" + b"}" * 10000), 400),
    ("a number of many digits", ask(b'{"question": ' + b"9" * 5000 + b"}"), 400),
    ("no JSON", ask(b"\xff\xfe"), 400),
    ("a list", ask(b"[]"), 400),
    ("question that is no text", ask(question(question=["a"])), 400),
    ("question that is nothing", ask(question(question=None)), 400),
    ("history that is a number", ask(question(history=1)), 400),
    ("history of numbers", ask(question(history=[[1, 2]])), 400),
    ("exchange of three", ask(question(history=[["a", "b", "c"]])), 400),
    ("endless history", ask(question(history=[["a", "b"]] * 500)), 400),
    ("half a surrogate", ask(b'{"question": "\\ud800", "history": []}'), 400),
    # addresses and heads
    ("a film that is none", request(b"/films/../../etc/passwd/questions", GOOD), 404),
    ("bad address", request(b"http://[/films", b"x"), 400),
    ("too many fields", request(b"/films?" + b"name=a&" * 100, b"x"), 400),
    ("another method", request(b"/films", method=b"DELETE"), 501),
    ("no HTTP, so no status line", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", None),
    ("endless line", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
    ("endless header", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
    ("many headers", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
]  # fmt: skip


def test_there_are_at_least_forty():
    assert len(HOSTILE) >= 40 and len({name for name, *_ in HOSTILE}) == len(HOSTILE)


def test_hostile_requests_are_refused_and_the_next_is_served(server, caplog, capfd):
    for name, data, expected in HOSTILE:
        answer = send(server, data, close=True)
        assert status(answer) == expected, (name, answer[:200])
        if answer.count(b"application/json"):
            said = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert "\n" not in said and "/tmp" not in said, name
        assert status(send(server, ask())) == 200, name
    wait_until(lambda: len(server.visitors) == 0)
    assert "Traceback" not in capfd.readouterr().err and not caplog.records


@pytest.mark.parametrize("name", ["film of a terabyte, asked before", "upload of another site, asked before"])
def test_who_asks_before_sending_is_refused_before(server, name):
    data = next(data for other, data, _ in HOSTILE if other == name)
    with connect(server) as connection:
        connection.sendall(data)
        assert status(connection.recv(1 << 16)) in (403, 413)


def test_a_body_that_was_refused_is_never_read_as_a_request(server):
    """What follows a refused head on the same connection is the attacker's text, and is left alone."""
    smuggled = ask()
    answer = send(server, request(b"/films?name=a", smuggled, more=b"Origin: null\r\n") + smuggled)
    assert status(answer) == 403 and answer.count(b"HTTP/1.1") == 1 and b"Connection: close" in answer


def test_what_a_browser_and_a_program_send_is_served(server):
    for more in (
        b"",
        b"Origin: http://127.0.0.1\r\n",
        b"Sec-Fetch-Site: same-origin\r\n",
        b"Sec-Fetch-Site: none\r\n",
        b"Expect: 100-continue\r\n",
    ):
        assert status(send(server, ask(more=more))) == 200, more
    assert status(send(server, ask(host=b"localhost:9000", more=b"Origin: http://localhost:9000\r\n"))) == 200
    assert status(send(server, ask(host=b"[::1]:9000", more=b"Origin: http://[::1]:9000\r\n"))) == 200
    assert status(send(server, ask(host=socket.gethostname().encode()))) == 200


def test_the_name_that_the_server_was_started_with_is_its_own():
    headers = type("Headers", (), {"get_all": lambda self, name, other: ["gpu-box.lan:7860"]})()
    check_host(headers, "gpu-box.lan")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (b"..%2F..%2Fetc%2Fpasswd", "passwd"),
        (b"a%0d%0aSet-Cookie:x.mp4", "aSet-Cookie:x.mp4"),
        (b"C:%5Cfilms%5Ca.mp4", "a.mp4"),
        (b"%00%1b%5B31m.mp4", "[31m.mp4"),
        (b"a" * 5000, "a" * 120),
        (b"%ff%fe", "��"),
        (b"", "video"),
        (b"..%2F", "video"),
    ],
)
def test_names_of_uploads(server, name, kept):
    answer = send(server, request(b"/films?name=" + name, b"film"))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["name"] == kept


def test_a_failing_model_is_a_status_and_its_traceback_is_on_the_terminal(server, caplog):
    answer = send(server, ask(question(question="fail")))
    assert status(answer) == 500 and b"ZeroDivision" not in answer
    assert "ZeroDivisionError" in caplog.text
    assert status(send(server, ask())) == 200


def test_uploads_at_once_are_bounded(server):
    half = request(b"/films?name=a", b"x", length=b"100")
    with ExitStack() as stack:
        for _ in range(chat_server.MOST_UPLOADS):
            stack.enter_context(connect(server)).sendall(half)
        wait_until(lambda: server.uploads._value == 0)
        answer = send(server, request(b"/films?name=b", b"film"))
        assert status(answer) == 503 and b"busy" in answer
    wait_until(lambda: server.uploads._value == chat_server.MOST_UPLOADS)
    assert status(send(server, request(b"/films?name=b", b"film"))) == 200


def test_questions_that_wait_are_bounded(server, model):
    model.slow = threading.Event()
    with ExitStack() as stack:
        asked = [stack.enter_context(connect(server)) for _ in range(chat_server.MOST_WAITING)]
        for connection in asked:
            connection.sendall(ask())
        wait_until(lambda: server.waiting._value == 0)
        assert status(send(server, ask())) == 503
        assert status(send(server, request(b"/", method=b"GET"))) == 200
        model.slow.set()
        assert all(connection.recv(1 << 16).startswith(b"HTTP/1.1 200") for connection in asked)


def test_a_trickled_body_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(chat_server, "HEAD_SECONDS", 0.5)
    with connect(server) as connection:
        connection.sendall(request(b"/films?name=a", b"x", length=b"1073741824"))
        assert ended(connection, 5)
    wait_until(lambda: server.uploads._value == chat_server.MOST_UPLOADS)


def test_a_steady_slow_upload_is_not_cut_off(server, monkeypatch):
    monkeypatch.setattr(chat_server, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(chat_server, "SLOWEST_UPLOAD", 100)
    with connect(server) as connection:
        connection.sendall(request(b"/films?name=a", b"", length=b"600"))
        for _ in range(6):
            time.sleep(0.2)
            connection.sendall(b"x" * 100)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_is_cut_off(server, model, monkeypatch):
    monkeypatch.setattr(chat_server, "WRITE_SECONDS", 0.5)
    with connect(server) as connection:
        film = b"x" * 20_000_000
        connection.sendall(request(b"/films?name=a", film))
        wait_until(lambda: len(server.visitors) == 0)


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: ", b"GET / HTT", ask(length=b"60000")[:-4]]
)
def test_three_hundred_slow_connections(model, monkeypatch, caplog, start):
    """They come, trickle a byte now and then, and never end: others are served all the while, and threads stay few."""
    monkeypatch.setattr(chat_server, "HEAD_SECONDS", 2.0)
    threads = threading.active_count()
    with running(model) as server, ExitStack() as stack:
        slow = []
        for _ in range(300):
            slow.append(stack.enter_context(connect(server)))
            slow[-1].sendall(start)
        began = time.monotonic()
        for _ in range(5):
            assert status(send(server, request(b"/", method=b"GET"))) == 200
            assert status(send(server, ask())) == 200
            for connection in slow:
                trickle(connection)
        assert len(server.visitors) <= chat_server.MOST_CONNECTIONS
        assert time.monotonic() - began < 15
        for connection in slow:
            assert ended(connection, 10)
        wait_until(lambda: len(server.visitors) == 0)
    wait_until(lambda: threading.active_count() <= threads)
    assert not caplog.records


def test_served_connections_keep_their_place(model, monkeypatch):
    """With everybody being served, a newcomer is turned away, and who was served gets the reply."""
    monkeypatch.setattr(chat_server, "MOST_CONNECTIONS", 4)
    model.slow = threading.Event()
    with running(model) as server, ExitStack() as stack:
        asked = [stack.enter_context(connect(server)) for _ in range(4)]
        for connection in asked:
            connection.sendall(ask())
        wait_until(lambda: server.waiting._value == chat_server.MOST_WAITING - 4)
        assert send(server, request(b"/", method=b"GET")) == b""
        model.slow.set()
        assert all(connection.recv(1 << 16).startswith(b"HTTP/1.1 200") for connection in asked)


def trickle(connection):
    with suppress(OSError):
        connection.send(b"a")


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
        time.sleep(0.01)
