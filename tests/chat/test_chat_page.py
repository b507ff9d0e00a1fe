"""The page in a real browser: a user loads a video, asks twice, and sees the time line of either question."""

from __future__ import annotations

import pytest
from browser import Browser, find_chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def page(server, tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(program, tmp_path / "profile")
    browser.open(server.url)
    yield browser
    browser.close()


def ask(page, question: str, number: int) -> None:
    page.evaluate(f"document.getElementById('question').value = {question!r}")
    page.evaluate("document.getElementById('send').click()")
    page.wait_for(f"document.querySelectorAll('#talk li').length === {number}")


def test_a_user_sees_cones_scores_and_prototypes(page, film_file):
    assert page.evaluate("document.getElementById('send').disabled")
    page.choose_file("#file", film_file)
    page.wait_for("document.querySelectorAll('.frame img').length === 12")
    assert "wandering.mp4: 12 frames" in page.evaluate("document.getElementById('status').textContent")
    assert page.evaluate("document.querySelectorAll('.frame.cone').length") == 0
    ask(page, "What moves?", 1)
    assert page.evaluate("document.querySelectorAll('.frame.cone').length") == 2
    assert page.evaluate("document.querySelectorAll('.frame.rod').length") == 10
    assert page.evaluate("document.querySelectorAll('#chart circle').length") == 3  # L scores
    assert page.evaluate("document.querySelector('#chart circle title').textContent").startswith("prototype 1: score")
    assert "2 of 12 frames are cones; 3 prototypes" in page.evaluate("document.getElementById('counts').textContent")
    ask(page, "Where is it?", 2)
    assert page.evaluate("document.querySelector('#talk li[aria-current=true] .asked').textContent") == "Where is it?"
    page.evaluate("document.querySelector('#talk li').click()")
    assert page.evaluate("document.querySelector('#talk li[aria-current=true] .asked').textContent") == "What moves?"
    page.evaluate("document.getElementById('new').click()")
    assert page.evaluate("document.querySelectorAll('#talk li').length") == 0
    assert page.errors == []


def test_a_file_that_is_no_video_is_told_and_the_page_goes_on(page, tmp_path, film_file):
    broken = tmp_path / "notes.mp4"
    broken.write_bytes(b"no film")
    page.choose_file("#file", broken)
    page.wait_for("document.getElementById('status').classList.contains('error')")
    assert page.evaluate("document.getElementById('status').textContent").startswith("notes.mp4: not a readable video")
    page.choose_file("#file", film_file)
    page.wait_for("document.querySelectorAll('.frame img').length === 12")
    assert not page.evaluate("document.getElementById('send').disabled")


def test_the_page_fits_a_narrow_window(page, film_file):
    page.resize(390, 800)
    page.choose_file("#file", film_file)
    page.wait_for("document.querySelectorAll('.frame img').length === 12")
    ask(page, "What moves?", 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
