"""A judge behind an OpenAI-compatible server: paced, retried, capped in cost, never asked twice."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from dynfocus.errors import UserError
from dynfocus.evaluation.judges.cache import ReplyCache, request_key
from dynfocus.evaluation.judges.prompts import CRITERIA, Message, messages
from dynfocus.evaluation.questions import JudgeItem

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

FIRST_WAIT = 1.0
"""Seconds before the first retry; doubled each time, with up to half of it added at random."""
LONGEST_WAIT = 60.0
CHARACTERS_PER_TOKEN = 2.0
"""Lower bound used to reserve money before a reply tells its true size."""
REFUSED = {401: "the key was refused", 403: "access was denied", 404: "no such model or address"}


@dataclass(frozen=True)
class Call:
    """One request: what is asked, and the key of its reply."""

    key: str
    messages: tuple[Message, ...]
    max_tokens: int


@dataclass
class Tally:
    """What happened to the calls of a run, for its closing line."""

    cached: int = 0
    asked: int = 0
    retried: int = 0
    failed: int = 0
    over_budget: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class _Unusable(Exception):
    """A response without a reply in it; `wait` is the server's own wish in seconds."""

    def __init__(self, reason: str, wait: float | None = None, hopeless: bool = False):
        super().__init__(reason)
        self.wait = wait
        self.hopeless = hopeless


def call_of(item: JudgeItem, judge: Judge) -> Call:
    """The request for one item."""
    prompt = messages(item.criterion, item.fields)
    max_tokens = max(judge.max_tokens, CRITERIA[item.criterion].reply_tokens)
    return Call(request_key(judge.model, prompt, judge.temperature, max_tokens), tuple(prompt), max_tokens)


def stored_replies(calls: Sequence[Call], cache: ReplyCache) -> list[str | None]:
    """Replay: what the cache holds; a call that was never made has no reply."""
    return [cache.get(call.key) for call in calls]


def ask(calls: Sequence[Call], judge: Judge, cache: ReplyCache) -> tuple[list[str | None], Tally]:
    """Raw replies of all calls, from the cache or the server; None where none came.

    Equal calls are made once. Raises UserError where the server refuses the key or knows no such model.
    """
    tally = Tally()
    wanted = {call.key: call for call in calls if cache.get(call.key) is None}
    tally.cached = len({call.key for call in calls}) - len(wanted)
    if wanted:
        asyncio.run(_ask_all(list(wanted.values()), judge, cache, tally))
    return stored_replies(calls, cache), tally


async def _ask_all(calls: Sequence[Call], judge: Judge, cache: ReplyCache, tally: Tally) -> None:
    key = os.environ.get(judge.api_key_env)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    queue = iter(calls)
    pacer = _Pacer(judge.requests_per_minute)
    purse = _Purse(judge, cache.spent())
    async with httpx.AsyncClient(
        base_url=judge.base_url.rstrip("/") + "/",
        headers=headers,
        timeout=judge.timeout,
        limits=httpx.Limits(max_connections=judge.concurrency),
    ) as client:

        async def work() -> None:
            for call in queue:
                await _ask_one(call, judge, cache, client, pacer, purse, tally)

        workers = [asyncio.create_task(work()) for _ in range(min(judge.concurrency, len(calls)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def _ask_one(
    call: Call, judge: Judge, cache: ReplyCache, client: httpx.AsyncClient, pacer: _Pacer, purse: _Purse, tally: Tally
) -> None:
    """Ask until a reply is on disk, the tries are used up or the money is."""
    reserve = purse.reserve(call)
    if reserve is None:
        tally.over_budget += 1
        return
    cost = 0.0
    try:
        for attempt in range(judge.retries + 1):
            await pacer.turn()
            tally.asked += 1
            try:
                async with asyncio.timeout(judge.timeout):
                    response = await client.post("chat/completions", json=_body(call, judge))
                reply, served_by, usage = _read(response, judge)
            except (TimeoutError, httpx.HTTPError, _Unusable) as error:
                reason = str(error) if isinstance(error, _Unusable) else type(error).__name__
                tally.reasons[reason] = tally.reasons.get(reason, 0) + 1
                if attempt == judge.retries or getattr(error, "hopeless", False):
                    break
                tally.retried += 1
                await asyncio.sleep(_pause(attempt, getattr(error, "wait", None)))
            else:
                cost = purse.price(usage)
                cache.put(call.key, judge.model, reply, served_by, usage, cost)
                return
        tally.failed += 1
    finally:
        purse.settle(reserve, cost)


def _body(call: Call, judge: Judge) -> dict[str, Any]:
    return {
        "model": judge.model,
        "messages": list(call.messages),
        "temperature": judge.temperature,
        "max_tokens": call.max_tokens,
    }


def _read(response: httpx.Response, judge: Judge) -> tuple[str, str, dict[str, Any]]:
    """Reply text, serving model and usage of a response; the body of an error is never repeated in a message."""
    status = response.status_code
    if status in REFUSED:
        raise UserError(
            f"judge server {judge.base_url}: status {status}, {REFUSED[status]}; set the environment variable "
            f"{judge.api_key_env}, or check evaluation.judge.model and base_url"
        )
    if status != 200:
        busy = status in (408, 409, 425, 429) or status >= 500
        raise _Unusable(f"status {status}", _asked_wait(response), hopeless=not busy)
    try:
        body = response.json()
        reply = body["choices"][0]["message"]["content"]
    except ValueError as error:
        raise _Unusable("broken JSON") from error
    except (KeyError, IndexError, TypeError) as error:
        raise _Unusable("wrong schema") from error
    if not isinstance(reply, str):
        raise _Unusable("wrong schema")
    usage = body.get("usage")
    return reply, str(body.get("model", "")), usage if isinstance(usage, dict) else {}


def _asked_wait(response: httpx.Response) -> float | None:
    """Seconds of a `Retry-After` header, where it is a number."""
    try:
        return float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None


def _pause(attempt: int, wish: float | None) -> float:
    """Seconds before the next try: the server's wish, or doubling steps with jitter."""
    if wish is not None:
        return min(max(wish, 0.0), LONGEST_WAIT)
    return min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (1 + random.random() / 2)


class _Pacer:
    """Spaces requests evenly at the allowed rate."""

    def __init__(self, per_minute: int):
        self._step = 60.0 / per_minute
        self._next = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self._step
        await asyncio.sleep(start - now)


class _Purse:
    """Keeps the sum of paid and reserved money below the cap."""

    def __init__(self, judge: Judge, spent: float):
        self._judge = judge
        self._spent = spent
        self._reserved = 0.0

    def reserve(self, call: Call) -> float | None:
        """The most that a call can cost, set aside; None if that could pass the cap."""
        characters = sum(len(message["content"].encode()) for message in call.messages)
        most = self._cost(characters / CHARACTERS_PER_TOKEN, call.max_tokens)
        if self._judge.budget and self._spent + self._reserved + most > self._judge.budget:
            return None
        self._reserved += most
        return most

    def settle(self, reserve: float, cost: float) -> None:
        self._reserved -= reserve
        self._spent += cost

    def price(self, usage: dict[str, Any]) -> float:
        """US dollars of a reply, by the server's own token counts."""
        return self._cost(float(usage.get("prompt_tokens") or 0), float(usage.get("completion_tokens") or 0))

    def _cost(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * self._judge.price_in + tokens_out * self._judge.price_out) / 1e6
