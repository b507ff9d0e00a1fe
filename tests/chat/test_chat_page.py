"""The page in a real browser: a user clicks a film and questions, and sees what the model looked at."""

from __future__ import annotations

import pytest
from browser import Browser, find_chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TEXT = "(name) => [...document.querySelectorAll(name)].map(found => found.textContent)"


@pytest.fixture
def page(server, tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(program, tmp_path / "profile")
    browser.open(f"http://{server[0]}:{server[1]}/")
    browser.wait_for("document.querySelector('.example')")
    yield browser
    browser.close()


def texts(page, name):
    return page.evaluate(f"({TEXT})({name!r})")


def answered(page, count):
    page.wait_for(f"({TEXT})('.meta').filter(Boolean).length === {count}")


def fail(*arguments):
    raise ZeroDivisionError("of the model")


def open_example(page):
    page.evaluate("document.querySelector('.example').click()")
    page.wait_for("document.querySelectorAll('.strip img').length === 24")  # 12 frames for each of two models
    page.wait_for("document.querySelectorAll('.chip').length === 2")


def test_a_click_on_a_film_and_a_question_shows_cones_scores_and_tokens(page, chat, monkeypatch):
    assert texts(page, ".about") == ["a toy"]
    open_example(page)
    assert "wandering.mp4: 12 frames" in texts(page, ".status")[0]
    page.wait_for("document.querySelector('video').duration > 11")
    assert page.evaluate("document.querySelectorAll('.frame.cone').length") == 0
    page.evaluate("document.querySelector('.chip').click()")
    answered(page, 2)
    model = chat.models["one"]
    turn = model.ask(model.open(chat.examples[0].path), [], "What moves?")
    assert texts(page, ".reply") == [turn.reply] * 2
    cones = sum(turn.look.cones)
    said = f"{turn.look.tokens} visual tokens instead of {turn.look.all_cones} if every frame were a cone"
    assert all(meta.startswith(f"{said}; {cones} of 12 frames are cones") for meta in texts(page, ".meta"))
    page.wait_for(f"document.querySelectorAll('.frame.cone').length === {2 * cones}")
    page.wait_for("document.querySelectorAll('.nicegui-echart canvas').length === 2")
    page.evaluate("document.querySelectorAll('.frame')[6].click()")
    page.wait_for("document.querySelector('video').currentTime === 6")
    monkeypatch.setattr(type(model), "ask", fail)
    page.evaluate("document.querySelectorAll('.chip')[1].click()")
    page.wait_for("document.querySelector('.status.text-negative')")
    assert texts(page, ".status") == ["the server failed; its terminal says how"] and len(texts(page, ".reply")) == 2
    page.evaluate("document.querySelector('.new').click()")
    page.wait_for("document.querySelectorAll('.reply').length === 0")
    assert page.errors == []


def test_an_upload_that_is_no_video_is_told_and_the_page_goes_on(page, tmp_path, film_file):
    broken = tmp_path / "notes.mp4"
    broken.write_bytes(b"no film")
    page.choose_file("input[type=file]", broken)
    page.wait_for("document.querySelector('.status.text-negative')")
    assert texts(page, ".status")[0].startswith("notes.mp4: not a readable video")
    page.choose_file("input[type=file]", film_file)
    page.wait_for("document.querySelectorAll('.strip img').length === 24")


def test_a_phone_needs_no_scrolling_sideways(page):
    page.resize(390, 800)
    open_example(page)
    page.evaluate("document.querySelector('.chip').click()")
    answered(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
