"""A server in every mood: what the step says, sends and pays, what it leaves, and what a second run asks.

`python tests/evaluation/test_judge_moods.py` prints the table of docs/benchmarks/judge.md.
"""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import openai
import pytest
import test_judge_server as steps
from judge_server import PROMPT_TOKENS, REPLY_TOKENS, JudgeServer

from dynfocus.errors import UserError

CALLS, IN_A_ROW = 12, 4
PRICE = (PROMPT_TOKENS * 1.0 + REPLY_TOKENS * 2.0) / 1e6


@dataclass(frozen=True)
class Mood:
    """A server that always behaves as `how` says (a word, or a function of prompt and number), and what comes of it.

    `verdicts`: ok, unparsed and failed lines of the file, None where the step ends with `message`;
    `sent`: requests, a number or the least and the most where calls run side by side; `paid`: prices of a
    plain reply counted, None where the most that a try can cost is counted; `asked`: requests of a second run
    of a server that is well.
    """

    name: str
    how: object
    message: str = ""
    verdicts: tuple[int, int, int] | None = None
    sent: int | tuple[int, int] = CALLS
    paid: float | None = 0
    asked: int = CALLS
    settings: dict[str, object] = field(default_factory=dict)


def first_then(word, numbers=1):
    return lambda prompt, number: word if number <= numbers else "ok"


ALL_OK = (CALLS, 0, 0)
SIDE_BY_SIDE = (IN_A_ROW, IN_A_ROW + 3)
MOODS = [
    Mood("slow", "slow", verdicts=ALL_OK, paid=CALLS, asked=0),
    Mood("429 once each, with Retry-After", first_then("429"), verdicts=ALL_OK, sent=24, paid=CALLS, asked=0),
    Mood("429, no credit", "no credit", "status 429, no credit: You exceeded your current quota", sent=1),
    Mood("429, credit gone after the first reply", lambda prompt, number: "ok" if "reply 0." in prompt else "no credit",
         "4 calls in a row: status 429, no credit", sent=(1 + IN_A_ROW, 1 + IN_A_ROW + 3), paid=1, asked=CALLS - 1),
    Mood("400 for max_completion_tokens", "refuses:max_completion_tokens", verdicts=ALL_OK, sent=13, paid=CALLS,
         asked=0),
    Mood("400 for response_format", "refuses:response_format", verdicts=ALL_OK, sent=13, paid=CALLS, asked=0),
    Mood("400 for temperature", "refuses:temperature", "set evaluation.judge.temperature to null", sent=1),
    Mood("400 for reasoning_effort", "refuses:reasoning_effort", "set evaluation.judge.reasoning_effort", sent=1,
         settings={"reasoning_effort": "low"}),
    Mood("400 for one prompt", lambda prompt, number: "400" if "reply 5." in prompt else "ok",
         verdicts=(11, 0, 1), paid=11, asked=1),
    Mood("400 for every prompt", "400", "4 calls in a row: status 400: refused Bearer <key>", sent=IN_A_ROW),
    Mood("301", "301", "check evaluation.judge.model and base_url", sent=1),
    Mood("404", "404", "check evaluation.judge.model and base_url", sent=1),
    Mood("401", "401", "check the key in JUDGE_KEY", sent=1),
    Mood("403", "403", "check the key in JUDGE_KEY", sent=1),
    Mood("500", "500", "4 calls in a row: status 500", sent=3 * IN_A_ROW),
    Mood("broken JSON", "broken", "4 calls in a row: broken reply: the reply is no JSON", sent=3 * IN_A_ROW, paid=None),
    Mood("another JSON", "schema", "the reply is no chat completion", sent=3 * IN_A_ROW, paid=None),
    Mood("half a reply", "half", "4 calls in a row: broken reply", sent=3 * IN_A_ROW, paid=None),
    Mood("half a reply, once each", first_then("half"), verdicts=ALL_OK, sent=24, paid=None, asked=0),
    Mood("hang", "hang", "4 calls in a row: no reply within 0.3 s", sent=3 * IN_A_ROW, paid=None,
         settings={"timeout": 0.3}),
    Mood("content in parts", "parts", verdicts=ALL_OK, paid=CALLS, asked=0),
    Mood("content null, with usage", "null", "4 calls in a row: the reply cannot be read: ''", sent=SIDE_BY_SIDE,
         paid=IN_A_ROW, asked=CALLS - IN_A_ROW),
    Mood("a refusal", "refusal", "the reply cannot be read: 'I cannot judge this.'", sent=SIDE_BY_SIDE, paid=IN_A_ROW,
         asked=CALLS - IN_A_ROW),
    Mood("thoughts, then the marks", "thinks", verdicts=ALL_OK, paid=CALLS, asked=0),
    Mood("thoughts cut by the limit", "cut", "raise evaluation.judge.max_tokens, or reasoning_tokens",
         sent=SIDE_BY_SIDE, paid=IN_A_ROW * (PROMPT_TOKENS + 2 * 64) / 120, asked=CALLS - IN_A_ROW),
    Mood("one reply without marks", lambda prompt, number: "text:hm" if "reply 5." in prompt else "ok",
         verdicts=(11, 1, 0), paid=CALLS, asked=0),
    Mood("the token limit ignored", "long", "a reply of 5000 tokens, 64 allowed", sent=1,
         paid=(PROMPT_TOKENS + 2 * 5000) / 120, asked=CALLS - 1),
    Mood("nobody listens", None, "it cannot be reached", sent=0),
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    verdicts: tuple[int, int, int] | None
    message: str
    sent: int
    paid: float
    asked: int
    seconds: float


def undergo(mood: Mood, folder: Path) -> Outcome:
    """The step against a server in the mood, then against one that is well."""
    behave = mood.how if callable(mood.how) else lambda prompt, number: mood.how
    server, well = JudgeServer(behave), JudgeServer(lambda prompt, number: "ok")
    settings = {"retries": 2, "give_up_after": IN_A_ROW, **mood.settings}
    verdicts, message, started = None, "", time.monotonic()
    with server.running() as url:
        try:
            rows = steps.judge(folder, "http://127.0.0.1:9/v1" if mood.how is None else url, **settings)
        except UserError as error:
            message = str(error)
        else:
            states = steps.statuses(rows)
            verdicts = tuple(states.count(state) for state in ("ok", "unparsed", "failed"))
    seconds, paid = time.monotonic() - started, steps.spent(folder)
    assert (folder / "verdicts.jsonl").exists() == (verdicts is not None)
    with well.running() as url:
        steps.judge(folder, url, **{**settings, "timeout": 30.0})
    assert steps.KEY not in message and "\n" not in message
    return Outcome(verdicts, message, server.requests.total(), paid, well.requests.total(), seconds)


def prepared(folder: Path) -> Path:
    steps.write_answered_questions(folder)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    steps.make_quick(monkeypatch)


@pytest.mark.parametrize("mood", MOODS, ids=lambda mood: mood.name.replace(" ", "_"))
def test_mood(mood, tmp_path):
    found = undergo(mood, prepared(tmp_path))
    assert found.verdicts == mood.verdicts, found.message
    assert re.search(re.escape(mood.message), found.message) if mood.message else not found.message
    least, most = mood.sent if isinstance(mood.sent, tuple) else (mood.sent, mood.sent)
    assert least <= found.sent <= most
    extra = found.sent - least  # requests in flight when the step gives up end as they do: kept, and paid for
    if mood.paid is None:
        assert found.paid > found.sent * PRICE
    else:
        each = mood.paid / least if mood.paid and extra else 0
        assert found.paid == pytest.approx((mood.paid + (each * extra if mood.asked < CALLS - 1 else 0)) * PRICE)
    assert found.asked == mood.asked - (extra if 0 < mood.asked < CALLS - 1 else 0)
    assert found.seconds < 20


def test_there_are_at_least_twenty():
    assert len(MOODS) >= 20


def main() -> None:
    """The table, one line a mood."""
    patch = pytest.MonkeyPatch()
    steps.make_quick(patch)
    patch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.5)
    heads = (
        "server",
        "verdicts: ok, unparsed, failed",
        "requests",
        "counted, 1e-6 $",
        "a second run asks",
        "s",
        "message",
    )
    print(f"| {' | '.join(heads)} |\n| {' | '.join(['---'] * len(heads))} |")
    for mood in MOODS:
        with tempfile.TemporaryDirectory() as folder:
            found = undergo(mood, prepared(Path(folder)))
        verdicts = ", ".join(map(str, found.verdicts)) if found.verdicts else "no file"
        message = found.message.removeprefix("judge server http://judge.test/v1: ").rpartition("; ")[0]
        row = (mood.name, verdicts, found.sent, f"{found.paid * 1e6:.0f}", found.asked, f"{found.seconds:.1f}", message)
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
