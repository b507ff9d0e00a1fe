"""The form of a request, and what its response says: for today's servers, hosted and local."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dynfocus.evaluation.judges.cache import Reply, key_of
from dynfocus.evaluation.judges.prompts import CRITERIA, Message, reply_schema
from dynfocus.evaluation.judges.texts import messages_of
from dynfocus.evaluation.questions import JudgeItem

if TYPE_CHECKING:
    from dynfocus.config.schema import Judge

SCHEMA_WORDS = ("response_format", "json_schema", "structured", "guided")
REMEDIES = {
    "temperature": "set evaluation.judge.temperature to null: this model samples as it likes",
    "reasoning_effort": "set evaluation.judge.reasoning_effort to what the model takes, or to nothing",
    "max_completion_tokens": "set evaluation.judge.limit_parameter or max_tokens to what the server takes",
    "max_tokens": "set evaluation.judge.limit_parameter or max_tokens to what the server takes",
    **dict.fromkeys(SCHEMA_WORDS, "set evaluation.judge.structured to never"),
}
"""What to do about a parameter that a server names in its refusal."""


@dataclass(frozen=True)
class Call:
    """One request: what is asked, the most tokens of its reply (thoughts included), and the key of the reply."""

    key: str
    criterion: str
    messages: tuple[Message, ...]
    max_tokens: int


@dataclass(frozen=True)
class Form:
    """What servers disagree about and no verdict should depend on: the limit's name, and whether a schema is taken."""

    limit: str
    structured: bool

    @classmethod
    def first(cls, judge: Judge) -> Form:
        """The form that is tried first."""
        new = "max_completion_tokens" if judge.limit_parameter == "auto" else judge.limit_parameter
        return cls(new, judge.structured == "auto")

    def without(self, refusal: str, judge: Judge) -> Form | None:
        """Another form for a server that refused this one; None where its words name nothing that may change."""
        if judge.limit_parameter == "auto" and self.limit == "max_completion_tokens" and self.limit in refusal:
            return replace(self, limit="max_tokens")
        if self.structured and any(word in refusal for word in SCHEMA_WORDS):
            return replace(self, structured=False)
        return None

    def __str__(self) -> str:
        return f"{self.limit}, {'JSON schema' if self.structured else 'free text'}"


def call_of(item: JudgeItem, judge: Judge) -> Call:
    """The request for one item."""
    prompt = messages_of(item.criterion, item.fields, judge)
    max_tokens = max(judge.max_tokens, CRITERIA[item.criterion].reply_tokens) + judge.reasoning_tokens
    asked = {
        "server": server_of(judge),
        "model": judge.model,
        "messages": prompt,
        "temperature": judge.temperature,
        "max_tokens": max_tokens,
        "reasoning_effort": judge.reasoning_effort,
        "structured": judge.structured,
        "repeat": judge.repeat,
    }
    return Call(key_of(asked), item.criterion, tuple(prompt), max_tokens)


def server_of(judge: Judge) -> str:
    """The server's address as keys have it."""
    return judge.base_url.rstrip("/")


def body_of(call: Call, judge: Judge, form: Form) -> dict[str, Any]:
    """The JSON body of a request."""
    body: dict[str, Any] = {"model": judge.model, "messages": list(call.messages), form.limit: call.max_tokens}
    if judge.temperature is not None:
        body["temperature"] = judge.temperature
    if judge.reasoning_effort:
        body["reasoning_effort"] = judge.reasoning_effort
    if form.structured:
        schema = {"name": "marks", "strict": True, "schema": reply_schema(call.criterion)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def reply_of(body: Any) -> Reply | None:
    """The reply in a chat completion; None where the body has none. A silent or refusing model replied as well."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    text = content if isinstance(content, str) else message.get("refusal")
    served_by, finish = body.get("model"), choice.get("finish_reason")
    return Reply(*(_storable(str(part or "")) for part in (text, served_by, finish)))


def _storable(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which JSON can say and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def usage_of(body: Any) -> dict[str, Any]:
    """The token counts that a response reports; empty where it reports none."""
    usage = body.get("usage") if isinstance(body, Mapping) else None
    return dict(usage) if isinstance(usage, Mapping) else {}
