"""The page's HTTP interface, with plain requests."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest

from dynfocus.chat import server as chat_server


def send(server, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path.lstrip("/"), data=body)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post(server, path: str, body: bytes | dict) -> tuple[int, dict]:
    status, text = send(server, path, json.dumps(body).encode() if isinstance(body, dict) else body)
    return status, json.loads(text)


def test_the_page_is_whole_and_loads_nothing_else(server):
    status, html = send(server, "/")
    assert status == 200
    text = html.decode()
    assert "function drawChart" in text and "/* chat.js */" not in text and "/* chat.css */" not in text
    assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_a_talk_of_two_questions(server, film_file, chat_model):
    status, film = post(server, "/films?name=wandering.mp4", film_file.read_bytes())
    assert status == 200 and film["name"] == "wandering.mp4"
    assert len(film["seconds"]) == len(film["thumbnails"]) == 12
    path = f"/films/{film['film']}/questions"
    status, first = post(server, path, {"question": "What moves?", "history": []})
    assert status == 200 and sum(first["look"]["cones"]) == 2
    history = [["What moves?", first["reply"]]]
    status, second = post(server, path, {"question": "Where?", "history": history})
    own = chat_model.open(film_file)
    assert second["reply"] == chat_model.ask(own, [("What moves?", first["reply"])], "Where?").reply


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/films?name=../../etc/passwd", b"no film", 400, "passwd: not a readable video"),
        ("/films/0123456789abcdef/questions", {"question": "What?", "history": []}, 400, "no longer kept"),
        ("/elsewhere", b"x", 404, "not found"),
    ],
)
def test_mistakes_have_a_status_and_one_line(server, path, body, status, words):
    found, answer = post(server, path, body)
    assert found == status and words in answer["error"] and "\n" not in answer["error"]
    assert "tmp" not in answer["error"] and "etc" not in answer["error"]


def test_a_request_that_is_no_json_is_refused(server, film_file):
    _, film = post(server, "/films?name=a.mp4", film_file.read_bytes())
    path = f"/films/{film['film']}/questions"
    for body in (b"What?", b"[]", b'{"question": 1, "history": [1]}', b'{"history": []}'):
        assert post(server, path, body)[0] == 400
    assert post(server, path, {"question": "  ", "history": []})[1]["error"].startswith("question: it is empty")


def test_an_upload_over_the_limit_is_refused_unread(server, monkeypatch):
    monkeypatch.setattr(chat_server, "LARGEST_UPLOAD", 10)
    assert post(server, "/films?name=a.mp4", b"x" * 11)[0] == 413


def test_only_the_latest_films_are_kept(server, film_file, monkeypatch):
    monkeypatch.setattr(chat_server, "KEPT_FILMS", 1)
    _, old = post(server, "/films?name=a.mp4", film_file.read_bytes())
    post(server, "/films?name=b.mp4", film_file.read_bytes())
    assert post(server, f"/films/{old['film']}/questions", {"question": "What?", "history": []})[0] == 400
    assert len(server.films) == 1
