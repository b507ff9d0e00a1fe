"""What requests may cost and how fast they may go, kept at the one place that every request passes."""

from __future__ import annotations

import asyncio
import json
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from dynfocus.evaluation.judges.requests import Call, reply_of, usage_of

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

TEMPLATE_TOKENS = 16
"""Tokens that a chat template adds to a message, at most."""
CONNECT_SECONDS = 10.0
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
NO_CREDIT = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "insufficient_credits"}
)
"""Codes of a refusal that no waiting mends."""


class OverBudget(Exception):
    """A request that could pass the cap; it was not sent."""


@dataclass
class Bill:
    """One call: the most that a try can cost, and what all tries have cost so far, in US dollars."""

    most: float
    cost: float = 0.0
    tries: int = 0


BILL: ContextVar[Bill] = ContextVar("bill")
"""The bill of the call that the running task is making; the client retries on its own, below the call."""


class Pacer:
    """Spaces requests evenly at the allowed rate."""

    def __init__(self, per_minute: int):
        self._step = 60.0 / per_minute
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free moment."""
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self._step
        await asyncio.sleep(start - now)


class Purse:
    """Keeps the sum of paid and reserved money below the cap."""

    def __init__(self, judge: Judge, spent: float):
        self._judge = judge
        self._reserved = 0.0
        self._settled = asyncio.Event()
        self.spent = spent

    def most(self, call: Call) -> float:
        """The most that a try can cost: no tokenizer makes more tokens than there are bytes."""
        tokens = sum(len(message["content"].encode()) + TEMPLATE_TOKENS for message in call.messages)
        return self.cost(tokens, call.max_tokens)

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """US dollars of so many tokens."""
        return (tokens_in * self._judge.price_in + tokens_out * self._judge.price_out) / 1e6

    async def reserve(self, most: float) -> None:
        """Set money aside, after waiting for requests in flight where it would not do. Raises OverBudget."""
        while self._judge.budget and self.spent + self._reserved + most > self._judge.budget:
            if self.spent + most > self._judge.budget:
                raise OverBudget
            self._settled.clear()
            await self._settled.wait()
        self._reserved += most

    def settle(self, most: float, cost: float) -> None:
        """Put the rest of what was set aside back."""
        self._reserved -= most
        self.spent += cost
        self._settled.set()


class MeteredClient(openai.DefaultAsyncHttpxClient):
    """The HTTP client below the official one: every try, retries too, is paced, timed and paid for.

    A response counts by the server's own token counts, readable or not. One without them, and a request
    that was sent and never answered, may be billed and counts as the most that it can cost.
    """

    def __init__(self, judge: Judge, purse: Purse):
        limits = httpx2.Limits(max_connections=judge.concurrency)
        timeout = httpx2.Timeout(judge.timeout, connect=min(CONNECT_SECONDS, judge.timeout))
        super().__init__(timeout=timeout, limits=limits, follow_redirects=False)
        self._seconds = judge.timeout
        self._pacer = Pacer(judge.requests_per_minute)
        self._purse = purse

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send one request. Raises OverBudget; a reply that is no chat completion is a broken transmission."""
        bill = BILL.get()
        await self._purse.reserve(bill.most)
        cost = 0.0
        try:
            await self._pacer.turn()
            bill.tries += 1
            cost = bill.most
            async with asyncio.timeout(self._seconds):
                response = await super().send(request, **options)
            cost = self._price(response, bill.most)
        except NEVER_SENT:
            cost = 0.0
            raise
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"no reply within {self._seconds:g} s", request=request) from error
        finally:
            bill.cost += cost
            self._purse.settle(bill.most, cost)
        return _checked(response)

    def _price(self, response: httpx2.Response, most: float) -> float:
        if response.status_code != 200:
            return 0.0
        usage = usage_of(body_in(response))
        try:
            return self._purse.cost(float(usage["prompt_tokens"]), float(usage["completion_tokens"]))
        except (KeyError, TypeError, ValueError):
            return most


def body_in(response: httpx2.Response) -> Any:
    """The JSON body of a response, None where it is no JSON."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def has_no_credit(status: int, error: Any) -> bool:
    """Whether a refusal says that the account is empty."""
    codes = {str(error.get(name)) for name in ("code", "type")} if isinstance(error, dict) else set()
    return status == 402 or bool(codes & NO_CREDIT)


def _checked(response: httpx2.Response) -> httpx2.Response:
    """The response, marked not to be tried again where that is vain, and refused where it is no chat completion."""
    body = body_in(response)
    if response.status_code != 200:
        if has_no_credit(response.status_code, body.get("error", body) if isinstance(body, dict) else body):
            response.headers["x-should-retry"] = "false"
    elif body is None:
        raise httpx2.RemoteProtocolError("the reply is no JSON", request=response.request)
    elif reply_of(body) is None:
        raise httpx2.RemoteProtocolError("the reply is no chat completion", request=response.request)
    return response
