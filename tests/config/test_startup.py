"""What a command says while it runs."""

from __future__ import annotations

import logging

import pytest

from dynfocus.machine.startup import show_log


@pytest.fixture(autouse=True)
def restored():
    logger = logging.getLogger("dynfocus")
    kept, level = logger.handlers, logger.level
    yield
    logger.handlers = kept
    logger.setLevel(level)


def test_lines_of_the_package_are_shown_once_and_those_of_libraries_are_not(capsys):
    show_log()
    show_log()
    logging.getLogger("dynfocus.evaluation.judge").info("12 ok")
    logging.getLogger("httpx2").info("HTTP Request")
    assert capsys.readouterr().err == "12 ok\n"
