"""A judge behind an OpenAI-compatible server: probed, paced, retried, capped in cost, never asked twice.

The official client does what it does everywhere: connections, retries with growing waits or the
server's own `Retry-After`, the kinds of errors. What is ours is the order of calls, the money and the
decision to stop: the same failure `give_up_after` times in a row ends the step, and no file of
verdicts is left, so that the next run asks again for what failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from dynfocus.errors import UserError
from dynfocus.evaluation.judges import money
from dynfocus.evaluation.judges.cache import ReplyCache
from dynfocus.evaluation.judges.progress import Progress
from dynfocus.evaluation.judges.refusals import Failure, failure_of
from dynfocus.evaluation.judges.replies import read_marks
from dynfocus.evaluation.judges.requests import Call, Form, body_of, reply_of, server_of, usage_of

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

log = logging.getLogger(__name__)

WITHOUT_KEY: Any = {"headers": {"Authorization": openai.omit}}
LIMIT_SLACK = 8
"""Tokens over the limit that are no sign of a server that ignores it: some count the closing ones."""
PROBE_RETRIES = 2
"""Tries after the first one while the server is still to be met; a dead address is told within seconds."""


@dataclass
class Tally:
    """What happened to the calls of a run; `tries` counts requests on the wire, `cost` US dollars."""

    stored: int = 0
    done: int = 0
    failed: int = 0
    unreadable: int = 0
    cut: int = 0
    tries: int = 0
    cost: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    def report(self) -> None:
        """The closing lines of a run."""
        log.info(
            "judge server: %d stored, %d replies, %d failed, %d unreadable, %d of them cut by the token limit, "
            "%d requests, %.4f $",
            *(self.stored, self.done, self.failed, self.unreadable, self.cut, self.tries, self.cost),
        )
        for reason, count in self.reasons.most_common():
            log.warning("judge server: %s, %d times", reason, count)


def ask(calls: Sequence[Call], judge: Judge, cache: ReplyCache) -> Tally:
    """Ask for every reply that the cache lacks; equal calls are made once.

    Raises UserError where the server cannot be used, the budget is used up, or the same failure comes
    `give_up_after` times in a row; replies until then are kept.
    """
    wanted = {call.key: call for call in calls if cache.get(call.key) is None}
    run = _Run(list(wanted.values()), judge, cache, _key(judge))
    run.tally.stored = len({call.key for call in calls}) - len(wanted)
    if wanted:
        asyncio.run(run.all())
    return run.tally


def _key(judge: Judge) -> str:
    if not judge.api_key_env:
        return ""
    key = os.environ.get(judge.api_key_env, "").strip()
    if key and key.isascii() and key.isprintable():
        return key
    raise UserError(
        f"judge server {judge.base_url}: the environment variable {judge.api_key_env} "
        f"{'holds no key' if key else 'is not set'}; export the key, or set evaluation.judge.api_key_env to nothing "
        "for a server without keys"
    )


class _Run:
    """All calls of a run against one server."""

    def __init__(self, calls: Sequence[Call], judge: Judge, cache: ReplyCache, key: str):
        self._waiting = deque(calls)
        self._judge, self._cache, self._key = judge, cache, key
        self._server = server_of(judge)
        self._form = Form.first(judge)
        self._row: tuple[str, int] = ("", 0)
        self._stop = ""
        self.tally = Tally()
        self.progress = Progress(len(calls), self.tally)

    async def all(self) -> None:
        """Meet the server with single calls, then make the others side by side."""
        judge = self._judge
        self._purse = money.Purse(judge, self._cache.spent(self._server, judge.model))
        async with money.MeteredClient(judge, self._purse) as http:
            client = self._client(http)
            await self._probe(client.with_options(max_retries=min(judge.retries, PROBE_RETRIES)))
            workers = [self._work(client) for _ in range(min(judge.concurrency, len(self._waiting)))]
            if workers:
                reporter = asyncio.create_task(self.progress.report())
                try:
                    await asyncio.gather(*map(asyncio.create_task, workers))
                finally:
                    reporter.cancel()
        if self._stop:
            raise UserError(f"judge server {self._server}: {self._stop}; {self._kept()}")

    def _client(self, http: money.MeteredClient) -> openai.AsyncOpenAI:
        url = self._judge.address or self._judge.base_url
        try:
            return openai.AsyncOpenAI(
                api_key=self._key or "none", base_url=url, max_retries=self._judge.retries, http_client=http
            )
        except httpx2.InvalidURL as error:
            raise UserError(f"judge server {url}: {error}; set evaluation.judge.base_url or address") from error

    def _kept(self) -> str:
        total = self.progress.total + self.tally.stored
        return f"{self.tally.stored + self.tally.done} of {total} replies are kept, the next run asks for the others"

    async def _probe(self, client: openai.AsyncOpenAI) -> None:
        """Calls one by one until there is a reply: the form of the request is found, and the price of a call told."""
        while self._waiting and not self._stop and not self.tally.done:
            call = self._waiting.popleft()
            failure = await self._ask(client, call)
            while failure and (form := failure.other_form(self._form, self._judge)):
                self._form = form
                failure = await self._ask(client, call)
            if failure:
                self._failed(failure, at_once=failure.of_every_call)
        if self.tally.done:
            self.progress.probed(str(self._form))

    async def _work(self, client: openai.AsyncOpenAI) -> None:
        while self._waiting and not self._stop:
            failure = await self._ask(client, self._waiting.popleft())
            if failure:
                self._failed(failure)

    async def _ask(self, client: openai.AsyncOpenAI, call: Call) -> Failure | None:
        """One call with all its tries; what came of it is on disk when this returns."""
        judge, form = self._judge, self._form
        bill = money.Bill(self._purse.most(call))
        money.BILL.set(bill)
        failure, response = None, None
        try:
            body = body_of(call, judge, form)
            response = await client.post(
                "/chat/completions", cast_to=httpx2.Response, body=body, options={} if self._key else WITHOUT_KEY
            )
        except money.OverBudget:
            self._stop = self._stop or f"the budget of {judge.budget:g} $ is used up ({self._purse.spent:.4f} $ spent)"
            self._waiting.appendleft(call)
        except openai.APIError as error:
            failure = failure_of(error, judge, self._key)
        finally:
            self.tally.tries += bill.tries
            self.tally.cost += bill.cost
            if response is None and bill.cost:
                self._cache.book(call.key, self._server, judge.model, str(failure or "ended"), bill.cost)
        if response is not None:
            self._keep(call, response, bill, form)
        return failure

    def _keep(self, call: Call, response: httpx2.Response, bill: money.Bill, form: Form) -> None:
        body = money.body_in(response)
        reply, usage = reply_of(body), usage_of(body)
        assert reply is not None, "the client lets chat completions through alone"
        self._cache.put(call.key, self._server, self._judge.model, reply, usage, bill.cost, str(form))
        self.tally.done += 1
        readable = read_marks(call.criterion, reply.text) is not None
        self.tally.cut += not readable and reply.finish == "length"
        self.tally.unreadable += not readable
        written = usage.get("completion_tokens")
        if isinstance(written, int) and written > call.max_tokens + LIMIT_SLACK and not self._stop:
            self._stop = (
                f"a reply of {written} tokens, {call.max_tokens} allowed: the server does not know {form.limit}; "
                "set evaluation.judge.limit_parameter to the other name"
            )
        if readable:
            self._row = ("", 0)
        else:
            self._count("unreadable", f"the reply cannot be read: {reply.text[:200]!r}", _more_room(reply.finish))

    def _failed(self, failure: Failure, at_once: bool = False) -> None:
        self.tally.failed += 1
        self.tally.reasons[str(failure)] += 1
        self._count(failure.kind, str(failure), failure.remedy, at_once)

    def _count(self, kind: str, text: str, remedy: str, at_once: bool = False) -> None:
        """The same trouble so many times in a row ends the step."""
        self._row = (kind, self._row[1] + 1 if self._row[0] == kind else 1)
        if at_once and not self._stop:
            self._stop = f"{text}; {remedy}"
        elif self._row[1] >= self._judge.give_up_after and not self._stop:
            self._stop = f"{self._row[1]} calls in a row: {text}; {remedy}"


def _more_room(finish: str) -> str:
    if finish == "length":
        return "it was cut by the token limit: raise evaluation.judge.max_tokens, or reasoning_tokens for thoughts"
    return "choose a model that follows the prompt, or a server that takes a JSON schema"
