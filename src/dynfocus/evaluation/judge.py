"""The judge step: open-ended answers in, one verdict line per call out.

Restartable: replies live in a cache beside the verdicts, so a second run asks only for what is
lacking. A reply that cannot be read is the verdict "unparsed", a call without a reply "failed"; with
more than `max_unjudged` of a benchmark failed there is no verdict file, so that the step runs again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.judges import rule
from dynfocus.evaluation.judges.cache import Reply, open_cache
from dynfocus.evaluation.judges.replies import read_marks
from dynfocus.evaluation.lines import write_lines
from dynfocus.evaluation.questions import JudgeItem, Verdict, VerdictStatus
from dynfocus.evaluation.records import read_answers, require_complete, verdict_row

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation, Judge

log = logging.getLogger(__name__)


def judge_answers(
    config: Config, answers: Sequence[Path], data_dir: Path, cache: Path, out: Path, judge: Judge | None = None
) -> None:
    """Judge every open-ended answer of the answer files.

    Args:
        answers: all shards of one run and seed; `data_dir` holds the annotations.
        cache: folder of the raw replies, shared by all runs and judges.
        out: the verdict file; empty where no benchmark of the run has a judge.
        judge: who marks them; None: `evaluation.judge`.

    Raises UserError, and writes no file, where the judge cannot be used or leaves too much unjudged.
    """
    judge = judge or config.evaluation.judge
    items = judge_items(answers, data_dir, config.evaluation)
    replies = raw_replies(items, judge, cache)
    verdicts = [verdict_of(item, reply, judge) for item, reply in zip(items, replies, strict=True)]
    counts = Counter(verdict.status for verdict in verdicts)
    summary = ", ".join(f"{counts[status]} {status}" for status in ("ok", "unparsed", "failed"))
    log.info("judge %s: %s", judge.model if judge.kind != "rule" else rule.NAME, summary)
    require_judged(verdicts, judge)
    write_lines(out, [verdict_row(verdict, item.question_ids) for item, verdict in zip(items, verdicts, strict=True)])


def require_judged(verdicts: Sequence[Verdict], judge: Judge) -> None:
    """A server that left more than `max_unjudged` of a benchmark without a reply is to be asked again.

    Stored replies cannot become more: there, only a benchmark without any is refused.
    """
    server = judge.kind == "openai"
    totals = Counter(verdict.benchmark for verdict in verdicts)
    failed = Counter(verdict.benchmark for verdict in verdicts if verdict.status == "failed")
    lacking = [
        name
        for name, count in failed.items()
        if (count > judge.max_unjudged * totals[name] if server else count == totals[name])
    ]
    if not lacking:
        return
    counts = ", ".join(f"{failed[name]} of {totals[name]} calls of {name}" for name in lacking)
    if server:
        raise UserError(
            f"judge server {judge.base_url}: {counts} have no reply, more than evaluation.judge.max_unjudged allows; "
            "no verdicts are written, run again to ask for these alone"
        )
    raise UserError(
        f"replay of {judge.model} at {judge.base_url}: {counts} have no stored reply; set evaluation.judge to the "
        "judge that gave the replies, its base_url and settings included"
    )


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


def raw_replies(items: Sequence[JudgeItem], judge: Judge, cache: Path) -> list[Reply | None]:
    """The judge's reply to each item, None where none came."""
    if judge.kind == "rule":
        return [Reply(rule.reply(item), rule.NAME) for item in items]
    from dynfocus.evaluation.judges.requests import call_of

    calls = [call_of(item, judge) for item in items]
    with open_cache(cache, alone=bool(judge.budget)) as store:
        if judge.kind == "openai":
            from dynfocus.evaluation.judges import server

            server.ask(calls, judge, store).report()
        return [store.get(call.key) for call in calls]


def verdict_of(item: JudgeItem, reply: Reply | None, judge: Judge) -> Verdict:
    """The verdict that a raw reply gives."""
    marks = None if reply is None else read_marks(item.criterion, reply.text)
    status: VerdictStatus = "failed" if reply is None else "unparsed" if marks is None else "ok"
    name = judge_name(judge, reply.served_by if reply else "")
    return Verdict(item.benchmark, item.item_id, item.criterion, status, marks, reply.text if reply else "", name)


def judge_name(judge: Judge, served_by: str = "") -> str:
    """How tables name a judge: `rule`, or the model; what the server calls it, a repeat and a replay are said too."""
    if judge.kind == "rule":
        return rule.NAME
    remarks = [f"served as {served_by}"] if served_by not in ("", judge.model) else []
    remarks += [f"repeat {judge.repeat}"] if judge.repeat else []
    remarks += ["official text"] if judge.texts else []
    remarks += ["replay"] if judge.kind == "replay" else []
    return f"{judge.model} ({', '.join(remarks)})" if remarks else judge.model
