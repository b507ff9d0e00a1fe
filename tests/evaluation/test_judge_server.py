"""A judge that misbehaves in every way: the step ends, keeps what was paid, asks nothing twice."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import official_files
import openai
import pytest
from judge_server import GOOD, PROMPT_TOKENS, REPLY_TOKENS, JudgeServer
from scripted import Scripted, make_config

from dynfocus.config.schema import Judge
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import answer_batches, plan_batches
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.judges import progress
from dynfocus.evaluation.judges.cache import Reply, ReplyCache
from dynfocus.evaluation.lines import read_lines, write_lines

KEY = "sk-test-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    make_quick(monkeypatch)


def make_quick(patch):
    """Short waits; a key in the environment; no proxy between the client and loopback."""
    patch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    patch.setenv("JUDGE_KEY", KEY)
    patch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def data(tmp_path):
    write_answered_questions(tmp_path)
    return tmp_path


def write_answered_questions(folder):
    """Twelve answered MSVD-QA questions; question i has the reply "reply i"."""
    official_files.msvd_qa(folder / "data/msvd_qa", videos=4, each=3)
    questions = load_questions(benchmark("msvd_qa"), folder / "data")
    replies = {question.question_id: f"reply {i}." for i, question in enumerate(questions)}
    rows = answer_batches(
        plan_batches(questions, 4), lambda: Scripted(lambda q: replies[q.question_id]), folder / "part.jsonl"
    )
    write_lines(folder / "answers.jsonl", rows)


def number_of(prompt):
    return int(re.search(r"reply (\d+)\.", prompt).group(1))


def judge(data, url, kind="openai", **settings):
    """Runs the step against one server, wherever it listens; returns the verdict rows."""
    defaults = {
        "kind": kind,
        "model": "judge",
        "base_url": "http://judge.test/v1",
        "address": url,
        "api_key_env": "JUDGE_KEY",
        "concurrency": 4,
        "requests_per_minute": 60000,
        "timeout": 30.0,
        "retries": 2,
        "price_in": 1.0,
        "price_out": 2.0,
        "max_unjudged": 1.0,
    }
    config = make_config(judge=Judge(**{**defaults, **settings}))
    out = data / "verdicts.jsonl"
    out.unlink(missing_ok=True)
    judge_answers(config, [data / "answers.jsonl"], data / "data", data / "cache", out)
    return read_lines(out)


def statuses(rows):
    return [row["status"] for row in rows]


def test_every_fault_at_once(data):
    faults = {0: "429", 1: "500", 2: "broken", 3: "schema", 4: "half", 5: "slow", 6: "hang", 7: "400"}
    always = {8: "500", 9: "hang"}

    def behave(prompt, number):
        which = number_of(prompt)
        if which in always:
            return always[which]
        if which == 10:
            return "text:I think it is quite good."
        if which in faults and (number == 1 or which == 7):
            return faults[which]
        return "ok"

    judge_server = JudgeServer(behave)
    with judge_server.running() as url:
        rows = judge(data, url, timeout=1.5)
    by_status = {status: statuses(rows).count(status) for status in ("ok", "failed", "unparsed")}
    assert len(rows) == 12
    assert by_status == {"ok": 8, "failed": 3, "unparsed": 1}  # failed: 7 (refused), 8, 9; unparsed: 10
    counts = {number_of(prompt): count for prompt, count in judge_server.requests.items()}
    assert counts == {0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 1, 6: 2, 7: 1, 8: 3, 9: 3, 10: 1, 11: 1}


def test_a_restart_asks_only_for_what_has_no_reply(data):
    first = JudgeServer(lambda prompt, number: "500" if number_of(prompt) < 4 else "ok")
    with first.running() as url:
        assert statuses(judge(data, url, retries=0)).count("failed") == 4
    second = JudgeServer(lambda prompt, number: "ok")
    with second.running() as url:
        assert statuses(judge(data, url)) == ["ok"] * 12
    assert sorted(number_of(prompt) for prompt in second.requests) == [0, 1, 2, 3]


def test_with_too_many_calls_without_a_reply_no_file_is_left(data):
    judge_server = JudgeServer(lambda prompt, number: "500" if number_of(prompt) < 4 else "ok")
    settings = {"retries": 0, "max_unjudged": 0.001, "give_up_after": 100}
    with judge_server.running() as url, pytest.raises(UserError, match=r"4 of 12 calls of msvd_qa have no reply"):
        judge(data, url, **settings)
    assert not (data / "verdicts.jsonl").exists()
    well = JudgeServer(lambda prompt, number: "ok")
    with well.running() as url:
        assert statuses(judge(data, url, **settings)) == ["ok"] * 12
    assert sorted(number_of(prompt) for prompt in well.requests) == [0, 1, 2, 3]


def test_replay_without_any_stored_reply_is_refused(data):
    with pytest.raises(UserError, match=r"12 of 12 calls of msvd_qa have no stored reply"):
        judge(data, "", kind="replay")


def test_an_unreadable_reply_is_kept_and_not_paid_for_again(data):
    talk = JudgeServer(lambda prompt, number: "text:hm")
    with talk.running() as url:
        assert statuses(judge(data, url, give_up_after=100)) == ["unparsed"] * 12
        assert statuses(judge(data, url, give_up_after=100)) == ["unparsed"] * 12
    assert sum(talk.requests.values()) == 12


def test_replay_needs_neither_server_nor_key(data, monkeypatch):
    with JudgeServer(lambda prompt, number: "500" if number_of(prompt) == 5 else "ok").running() as url:
        asked = judge(data, url, retries=0)
    monkeypatch.delenv("JUDGE_KEY")
    replayed = judge(data, "http://127.0.0.1:9/v1", kind="replay")
    assert [row["reply"] for row in replayed] == [row["reply"] for row in asked]
    assert statuses(replayed) == statuses(asked) and "failed" in statuses(replayed)
    names = {row["status"]: row["judge"] for row in replayed}
    assert names == {"ok": "judge (served as judge-2024-01-01, replay)", "failed": "judge (replay)"}


def test_equal_calls_are_made_once(data):
    rows = [row | {"reply": "the same."} for row in read_lines(data / "answers.jsonl")]
    write_lines(data / "answers.jsonl", rows)
    answers = [row | {"answer": "same"} for row in json.loads((data / "data/msvd_qa/test_a.json").read_text())]
    official_files.write(data / "data/msvd_qa/test_a.json", answers)
    questions = json.loads((data / "data/msvd_qa/test_q.json").read_text())
    official_files.write(data / "data/msvd_qa/test_q.json", [row | {"question": "what?"} for row in questions])
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        assert statuses(judge(data, url)) == ["ok"] * 12
    assert sum(judge_server.requests.values()) == 1


def test_the_request_has_the_settings_and_both_messages(data):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        judge(data, url, temperature=0.0, max_tokens=64)
    body = judge_server.bodies[0]
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("judge", 0.0, 64)
    assert "max_tokens" not in body and "reasoning_effort" not in body
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["pred", "score"]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "Predicted Answer: reply" in body["messages"][1]["content"]
    assert judge_server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_server_without_keys_gets_none(data, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        assert statuses(judge(data, url, api_key_env="")) == ["ok"] * 12
    assert not any("Authorization" in headers or KEY in str(headers) for headers in judge_server.headers)


def test_a_key_that_is_not_there_is_said_before_a_call(data, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(UserError, match="environment variable JUDGE_KEY is not set"):
        judge(data, "http://127.0.0.1:9/v1")


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused(data, monkeypatch, key):
    monkeypatch.setenv("JUDGE_KEY", key)
    with pytest.raises(UserError, match="JUDGE_KEY holds no key") as error:
        judge(data, "http://127.0.0.1:9/v1")
    assert key not in str(error.value)


def test_an_address_that_is_none_is_one_line(data):
    with pytest.raises(UserError, match=r"evaluation\.judge\.base_url"):
        judge(data, "http://[bad/v1")
    with pytest.raises(ValueError, match="base_url"):
        Judge(base_url="localhost:8000/v1")


def test_what_a_reasoning_model_needs_is_sent(data):
    judge_server = JudgeServer(lambda prompt, number: "thinks")
    settings = {"temperature": None, "reasoning_effort": "low", "reasoning_tokens": 1000, "structured": "never"}
    with judge_server.running() as url:
        assert statuses(judge(data, url, **settings)) == ["ok"] * 12
    body = judge_server.bodies[0]
    assert body["max_completion_tokens"] == 1064 and body["reasoning_effort"] == "low"
    assert "temperature" not in body and "response_format" not in body


def test_the_old_name_of_the_limit_can_be_set(data):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        judge(data, url, limit_parameter="max_tokens")
    assert {"max_tokens", "max_completion_tokens"} & judge_server.bodies[0].keys() == {"max_tokens"}


def test_no_more_requests_in_flight_than_allowed(data):
    judge_server = JudgeServer(lambda prompt, number: "slow")
    with judge_server.running() as url:
        judge(data, url, concurrency=3)
    assert 1 < judge_server.most_in_flight <= 3


def test_the_rate_limit_spaces_requests(data):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    started = time.monotonic()
    with judge_server.running() as url:
        judge(data, url, requests_per_minute=1200, concurrency=12)
    assert time.monotonic() - started >= 11 * 0.05


HERE = str(Path(__file__).parent)
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_judge_server as tests
tests.judge(Path(sys.argv[2]), sys.argv[3], concurrency=1, budget=float(sys.argv[4]))
"""
PRICE = (PROMPT_TOKENS * 1.0 + REPLY_TOKENS * 2.0) / 1e6
MOST = 0.0015
"""More than what is set aside for one call of these tests."""


def test_the_budget_stops_before_it_is_passed_and_counts_earlier_runs(data):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        with pytest.raises(UserError, match=r"budget of 0.0016 \$ is used up.* replies are kept"):
            judge(data, url, budget=0.0016)
        asked = sum(judge_server.requests.values())
        assert 1 < asked < 12 and 0.0016 - MOST < asked * PRICE <= 0.0016
        assert not (data / "verdicts.jsonl").exists()
        with pytest.raises(UserError, match="budget"):
            judge(data, url, budget=0.0005)
        assert sum(judge_server.requests.values()) == asked
        assert statuses(judge(data, url, budget=12 * PRICE + MOST)) == ["ok"] * 12
    assert sum(judge_server.requests.values()) == 12
    assert spent(data) == pytest.approx(12 * PRICE)


def test_a_budget_is_used_to_its_end_with_many_requests_in_flight(data):
    judge_server = JudgeServer(lambda prompt, number: "slow")
    with judge_server.running() as url:
        assert statuses(judge(data, url, budget=12 * PRICE + MOST, concurrency=12)) == ["ok"] * 12


@pytest.mark.parametrize("how", ["text:hm", "null", "parts", "silent usage", "half", "broken", "schema", "hang"])
def test_the_cap_holds_whatever_the_server_says(data, how):
    """What the server may have billed is counted: by its own numbers, or as the most that a try can cost."""
    judge_server = JudgeServer(lambda prompt, number: how)
    with judge_server.running() as url, pytest.raises(UserError, match="budget"):
        judge(data, url, budget=0.002, retries=4, timeout=0.2, give_up_after=1000, concurrency=3)
    asked = sum(judge_server.requests.values())
    assert asked * PRICE <= spent(data) <= 0.002


def test_two_processes_do_not_pass_one_budget(data):
    judge_server = JudgeServer(lambda prompt, number: "slow")
    with judge_server.running() as url:
        children = [
            subprocess.Popen([sys.executable, "-c", CHILD, HERE, str(data), url, "0.0016"], stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        endings = [child.communicate(timeout=120)[1].decode() for child in children]
    assert all("budget of 0.0016 $ is used up" in ending for ending in endings), endings
    assert sum(judge_server.requests.values()) * PRICE <= 0.0016


@pytest.mark.parametrize("prices", [{}, {"price_in": 1.0}, {"price_out": 1.0}])
def test_a_budget_without_prices_is_refused(prices):
    with pytest.raises(ValueError, match=r"budget .* needs price_in and price_out"):
        Judge(budget=1.0, **prices)


def test_a_refused_key_is_one_line_without_the_key(data, caplog):
    caplog.set_level(logging.DEBUG)
    judge_server = JudgeServer(lambda prompt, number: "401")
    with judge_server.running() as url, pytest.raises(UserError) as error:
        judge(data, url)
    assert "JUDGE_KEY" in str(error.value) and "\n" not in str(error.value)
    assert "refused Bearer <key>" in str(error.value), "the server's own words"
    assert sum(judge_server.requests.values()) == 1
    assert KEY not in str(error.value) and KEY not in caplog.text


def test_the_key_is_in_no_log_and_no_file(data, caplog):
    caplog.set_level(logging.DEBUG)
    with JudgeServer(lambda prompt, number: "500" if number == 1 else "ok").running() as url:
        judge(data, url)
    assert KEY not in caplog.text
    for file in data.rglob("*.jsonl"):
        assert KEY not in file.read_text()


def test_failures_are_logged_by_kind(data, caplog):
    caplog.set_level(logging.INFO)
    with JudgeServer(lambda prompt, number: "schema" if number_of(prompt) in (3, 4) else "ok").running() as url:
        judge(data, url)
    assert "broken reply: the reply is no chat completion, 2 times" in caplog.text
    assert "10 replies, 2 failed" in caplog.text


def test_the_serving_model_is_kept_with_the_reply(data):
    with JudgeServer(lambda prompt, number: "ok").running() as url:
        judge(data, url)
    rows = read_lines(data / "cache/replies-0.jsonl")
    assert {row["served_by"] for row in rows} == {"judge-2024-01-01"}
    assert {row["reply"] for row in rows} == {GOOD}


def test_kill_in_the_middle_loses_no_reply_and_asks_nothing_twice(data):
    judge_server = JudgeServer(lambda prompt, number: "slow")
    cache = data / "cache/replies-0.jsonl"
    with judge_server.running() as url:
        child = subprocess.Popen([sys.executable, "-c", CHILD, HERE, str(data), url, "0"])
        while not cache.is_file() or cache.read_bytes().count(b"\n") < 3:
            assert child.poll() is None
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kept = cache.read_bytes().count(b"\n")
        assert 3 <= kept < 12, "the child was killed in the middle"
        with cache.open("ab") as handle:
            handle.write(b'{"key": "torn')
        before = dict(judge_server.requests)
        judge_server.requests.clear()
        assert statuses(judge(data, url)) == ["ok"] * 12
    assert sum(judge_server.requests.values()) == 12 - kept
    twice = set(before) & set(judge_server.requests)
    assert len(twice) <= 1, "only the call in flight when the process died is made again"


def test_two_processes_share_a_cache_folder(tmp_path):
    first, second = ReplyCache(tmp_path), ReplyCache(tmp_path)
    first.put("a", "s", "m", Reply("one"), {}, 0.1)
    second.put("b", "s", "m", Reply("two", "m-1", "length"), {}, 0.2)
    second.book("c", "s", "m", "broken", 0.4)
    second.put("a", "s", "other", Reply("one"), {}, 0.8)
    first.close()
    second.close()
    third = ReplyCache(tmp_path)
    assert (third.get("a"), third.get("b"), third.get("c")) == (Reply("one"), Reply("two", "m-1", "length"), None)
    assert third.spent("s", "m") == pytest.approx(0.7) and third.spent("s", "other") == pytest.approx(0.8)
    third.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_url", "http://another.test/v1"),
        ("model", "other"),
        ("temperature", 0.5),
        ("temperature", None),
        ("max_tokens", 65),
        ("reasoning_tokens", 1),
        ("reasoning_effort", "low"),
        ("structured", "never"),
        ("repeat", 1),
    ],
)
def test_a_setting_that_decides_a_reply_asks_again(data, setting, value):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        judge(data, url)
        judge(data, url, **{setting: value})
    assert set(judge_server.requests.values()) == {2}


@pytest.mark.parametrize(
    "settings", [{"timeout": 9.0}, {"concurrency": 2}, {"budget": 9.0}, {"api_key_env": ""}, {"retries": 0}]
)
def test_a_setting_that_decides_none_does_not(data, settings):
    judge_server = JudgeServer(lambda prompt, number: "ok")
    with judge_server.running() as url:
        judge(data, url)
        judge(data, url, **settings)
    assert set(judge_server.requests.values()) == {1}


def test_progress_says_done_failed_rate_cost_and_time_left(data, caplog, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    caplog.set_level(logging.INFO)
    with JudgeServer(lambda prompt, number: "slow" if number_of(prompt) != 3 else "400").running() as url:
        judge(data, url, concurrency=2)
    assert re.search(
        r"it answers \(max_completion_tokens, JSON schema\); 12 calls to make, 0.00012 \$ so far", caplog.text
    )
    line = r"judge server: \d+ of 12 replies, 1 failed, 0 unreadable, \d+\.\d per second, 0\.\d{4} \$, 0:00:\d\d left"
    assert re.search(line, caplog.text)


def spent(data):
    cache = ReplyCache(data / "cache")
    try:
        return cache.spent("http://judge.test/v1", "judge")
    finally:
        cache.close()
