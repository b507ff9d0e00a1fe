"""Why a call gave no reply: the kind that is counted, the server's own words, and what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from dynfocus.evaluation.judges.money import has_no_credit
from dynfocus.evaluation.judges.requests import REMEDIES, Form

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Failure:
    """A call without a reply. `of_every_call`: no other call can fare better, so the first one tells."""

    kind: str
    words: str
    remedy: str
    of_every_call: bool = False
    refused_form: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}" if self.words else self.kind

    def other_form(self, form: Form, judge: Judge) -> Form | None:
        """Another form of the request where the server refused this one for a parameter that may change."""
        return form.without(self.words, judge) if self.refused_form else None


def failure_of(error: openai.APIError, judge: Judge, key: str) -> Failure:
    """What an error of the client means. The key is cut from the server's words, since servers echo it."""
    if not isinstance(error, openai.APIStatusError):
        return _no_response(error, judge)
    status, words = error.status_code, _words(error.body, key)
    kind = f"status {status}"
    if has_no_credit(status, error.body):
        return Failure(f"{kind}, no credit", words, "add credit to the account, or choose another judge", True)
    if status in (401, 403):
        where = f"check the key in {judge.api_key_env}" if judge.api_key_env else "set evaluation.judge.api_key_env"
        return Failure(kind, words, where, True)
    if status in (301, 302, 307, 308, 404):
        return Failure(kind, words, "check evaluation.judge.model and base_url", True)
    if status in (400, 422):
        named = next((name for name in REMEDIES if name in words), None)
        remedy = REMEDIES[named] if named else "check evaluation.judge against what the server takes"
        one_prompt = "context" in words
        """A prompt over the model's context is the fault of one item, whatever parameter the refusal names."""
        return Failure(kind, words, remedy, named is not None and not one_prompt, not one_prompt)
    return Failure(kind, words, "wait until the server is well, then run again")


def _no_response(error: openai.APIError, judge: Judge) -> Failure:
    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol):
        remedy = "start the server (docs/benchmarks/judge.md), or check evaluation.judge.base_url and address"
        return Failure("it cannot be reached", _one_line(str(cause)), remedy, True)
    if isinstance(cause, httpx2.TimeoutException):
        return Failure(
            f"no reply within {judge.timeout:g} s", "", "raise evaluation.judge.timeout, or lower concurrency"
        )
    return Failure("broken reply", _one_line(str(cause or error.message)), "see the server's own log, then run again")


def _words(body: Any, key: str) -> str:
    """The message in a refusal, whatever its layout, as one short line without the key."""
    while isinstance(body, dict):
        body = next((body[name] for name in ("message", "error", "detail") if body.get(name)), json.dumps(body))
    text = body if isinstance(body, str) else json.dumps(body)
    text = _one_line(text.replace(key, "<key>") if key else text)
    return text[:LONGEST_MESSAGE] + ("…" if len(text) > LONGEST_MESSAGE else "")


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
