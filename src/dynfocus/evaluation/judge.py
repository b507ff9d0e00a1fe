"""The judge step: open-ended answers in, one verdict line per call out.

Restartable: replies live in a cache beside the verdicts, so a second run asks only for what is
lacking. A reply that cannot be read is the verdict "unparsed", a call without a reply "failed".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.judges import rule
from dynfocus.evaluation.judges.replies import read_marks
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.questions import JudgeItem, Verdict
from dynfocus.evaluation.records import read_answers, require_complete, verdict_row

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation, Judge

log = logging.getLogger(__name__)


def judge_answers(config: Config, answers: Sequence[Path], data_dir: Path, cache: Path, out: Path) -> None:
    """Judge every open-ended answer of the answer files.

    Args:
        answers: all shards of one run and seed; `data_dir` holds the annotations.
        cache: folder of the raw replies, shared by all runs.
        out: the verdict file; empty where no benchmark of the run has a judge.
    """
    judge = config.evaluation.judge
    items = judge_items(answers, data_dir, config.evaluation)
    replies = raw_replies(items, judge, cache)
    name = judge_name(judge)
    verdicts = [verdict_of(item, reply, name) for item, reply in zip(items, replies, strict=True)]
    write_lines(out, [verdict_row(verdict, item.question_ids) for item, verdict in zip(items, verdicts, strict=True)])
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("ok", "unparsed", "failed")}
    log.info("judge %s: %s", name, ", ".join(f"{count} {status}" for status, count in counts.items()))


def judge_items(answers: Sequence[Path], data_dir: Path, evaluation: Evaluation) -> list[JudgeItem]:
    """What has to be judged, in the order of benchmark, criterion and item."""
    items: list[JudgeItem] = []
    for name, replies in read_answers(answers).items():
        adapter = benchmark(name)
        if adapter.judged:
            questions = load_questions(adapter, data_dir, evaluation)
            require_complete(name, questions, replies)
            items.extend(adapter.judge_items(questions, replies))
    return sorted(items, key=lambda item: (item.benchmark, item.criterion, item.item_id))


def raw_replies(items: Sequence[JudgeItem], judge: Judge, cache: Path) -> list[str | None]:
    """The judge's reply to each item, None where none came."""
    if judge.kind == "rule":
        return [rule.reply(item) for item in items]
    from dynfocus.evaluation.judges import server
    from dynfocus.evaluation.judges.cache import ReplyCache

    calls = [server.call_of(item, judge) for item in items]
    store = ReplyCache(cache)
    try:
        if judge.kind == "replay":
            return server.stored_replies(calls, store)
        replies, tally = server.ask(calls, judge, store)
    finally:
        store.close()
    log.info(
        "judge server: %d stored, %d requests, %d retries, %d without a reply, %d over the budget",
        tally.cached, tally.asked, tally.retried, tally.failed, tally.over_budget,
    )  # fmt: skip
    for reason, count in sorted(tally.reasons.items()):
        log.warning("judge server: %s, %d times", reason, count)
    return replies


def verdict_of(item: JudgeItem, reply: str | None, judge: str) -> Verdict:
    """The verdict that a raw reply gives."""
    marks = None if reply is None else read_marks(item.criterion, reply)
    status = "failed" if reply is None else "unparsed" if marks is None else "ok"
    return Verdict(item.benchmark, item.item_id, item.criterion, status, marks, reply or "", judge)


def judge_name(judge: Judge) -> str:
    """How tables name a judge: `rule`, or the model, with `replay` where stored replies were read."""
    return {"rule": rule.NAME, "openai": judge.model, "replay": f"{judge.model} (replay)"}[judge.kind]
