"""The answer step: a model's replies to the questions of a shard, restartable after any kill.

A reply is the one that its question gets alone. Batches only save time: where the size of a batch could have changed
a reply through rounding, because two tokens were close to each other, the question is asked again alone. Finished
batches grow an append-only file below `work`; the shard's file appears at the end, complete and sorted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import Answerer, Reply, Request, VideoProblem
from dynfocus.evaluation.benchmarks import benchmark, load_questions, require_some_video
from dynfocus.evaluation.lines import AppendOnly, write_lines
from dynfocus.evaluation.questions import AnswerStatus, Question
from dynfocus.evaluation.subtitles import with_subtitles

if TYPE_CHECKING:
    from dynfocus.config.schema import Config, Evaluation

log = logging.getLogger(__name__)
R = TypeVar("R")


def answer_shard(
    config: Config,
    run: str,
    seed: int,
    benchmarks: Sequence[str],
    shard: int,
    num_shards: int,
    checkpoint: Path,
    data_dir: Path,
    features_dir: Path,
    out: Path,
    work: Path,
) -> None:
    """Answer the questions of shard `shard` (0-based) of `num_shards` and write `out`.

    Args:
        config: the run's resolved configuration.
        checkpoint: folder of the model; its `config.json` decides which answerer runs it.
        data_dir: folders of the benchmarks; `features_dir`: those of their features.
        work: folder for unfinished answers.
    """
    if not 0 <= shard < num_shards:
        raise UserError(f"shard {shard} of {num_shards}: shards count from 0 to {num_shards - 1}")
    from dynfocus.evaluation.answerers import load_answerer

    evaluation = config.evaluation
    questions = [
        rectified(question, evaluation.rectified_prompt)
        for name in benchmarks
        for question in questions_to_ask(config, name, data_dir, features_dir)
    ]
    size = 1 if evaluation.temperature > 0 else evaluation.batch_size
    batches = shard_batches(plan_batches(questions, size), shard, num_shards)
    sources = [checkpoint, *(features_dir / benchmark(name).data_set for name in benchmarks)]
    settings = [run, seed, shard, num_shards, *_sampling(evaluation), *map(_identity, sources)]
    unfinished = work / f"answers-{_fingerprint(batches, settings)}.jsonl"
    rows = answer_batches(batches, lambda: load_answerer(config, checkpoint, data_dir, features_dir, seed), unfinished)
    write_lines(out, sorted(rows, key=lambda row: (row["benchmark"], row["question_id"])))
    unfinished.unlink()


def questions_to_ask(config: Config, name: str, data_dir: Path, features_dir: Path) -> list[Question]:
    """The questions of a benchmark, or of its sample, with subtitles where they are asked for.

    Raises UserError where no video of the benchmark is there and no features of it either.
    """
    adapter, evaluation = benchmark(name), config.evaluation
    questions = load_questions(adapter, data_dir, evaluation)
    folder = data_dir / adapter.data_set
    if not (features_dir / adapter.data_set).is_dir():
        require_some_video(adapter, questions, folder)
    if evaluation.subtitles and adapter.has_subtitles:
        questions = with_subtitles(questions, folder, config.video)
    return questions


def rectified(question: Question, sentence: str) -> Question:
    """The question with a sentence added behind it, before options and instructions (Table 8, †)."""
    if not sentence:
        return question
    text = question.text.replace(question.encoder_prompt, f"{question.encoder_prompt} {sentence}", 1)
    return replace(question, text=text)


def plan_batches(questions: Sequence[Question], size: int) -> list[list[Question]]:
    """Batches of one benchmark each, questions of a video together and in order of their length."""
    ordered = sorted(questions, key=lambda q: (*_shown(q), len(q.text), q.question_id))
    batches: list[list[Question]] = []
    for question in ordered:
        if batches and len(batches[-1]) < size and batches[-1][0].benchmark == question.benchmark:
            batches[-1].append(question)
        else:
            batches.append([question])
    return batches


def shard_batches(batches: Sequence[list[Question]], shard: int, num_shards: int) -> list[list[Question]]:
    """The batches of one shard: videos are dealt out in turn, batches follow their first video."""
    mine = set(sorted({_shown(batch[0]) for batch in batches})[shard::num_shards])
    return [batch for batch in batches if _shown(batch[0]) in mine]


def _shown(question: Question) -> tuple[str, str]:
    """Benchmark and video of a question; one of text alone stands for itself, after the videos."""
    return question.benchmark, question.video if question.video is not None else f"\uffff{question.question_id}"


def answer_batches(
    batches: Sequence[list[Question]], load: Callable[[], Answerer], unfinished: Path
) -> list[dict[str, Any]]:
    """Rows of all questions; those that `unfinished` already has are kept, the rest is answered and added to it.

    `load` gives the model and is called only where something is left to answer. A batch of which a
    row is lacking is answered again as a whole.
    """
    with AppendOnly(unfinished) as lines:
        done = {(row["benchmark"], row["question_id"]): row for row in lines.rows}
        left = [batch for batch in batches if any(question.key not in done for question in batch)]
        answerer = load() if left else None
        started, answered, close = time.monotonic(), 0, 0
        videos: dict[tuple[str, str], Any] = {}
        for batch in left:
            assert answerer is not None
            videos = _load_videos(batch, answerer, videos)
            rows, again = _answer_batch(batch, answerer, videos)
            lines.append(rows)
            done.update({(row["benchmark"], row["question_id"]): row for row in rows})
            answered, close = answered + len(rows), close + again
        if answered:
            seconds = time.monotonic() - started
            speed = answered / seconds
            log.info("%d questions in %.1f s, %.2f per second, %d of them again alone", answered, seconds, speed, close)
    return [done[question.key] for batch in batches for question in batch]


def _load_videos(
    batch: Sequence[Question], answerer: Answerer, known: dict[tuple[str, str], Any]
) -> dict[tuple[str, str], Any]:
    """Videos of a batch by (benchmark, path), or the VideoProblem in their place; those of the last batch are kept."""
    videos: dict[tuple[str, str], Any] = {}
    for question in batch:
        key = _shown(question)
        if key in known:
            videos[key] = known[key]
        elif key not in videos:
            try:
                videos[key] = None if question.video is None else answerer.load(question)
            except VideoProblem as problem:
                videos[key] = problem
    return videos


def _answer_batch(
    batch: Sequence[Question], answerer: Answerer, videos: dict[tuple[str, str], Any]
) -> tuple[list[dict[str, Any]], int]:
    """The rows of a batch, and how many of its questions were asked again alone."""
    found = [(question, videos[_shown(question)]) for question in batch]
    requests = [Request(question, video) for question, video in found if not isinstance(video, VideoProblem)]
    replies, again = reply_to(requests, answerer.answer)
    by_key = {request.question.key: reply for request, reply in zip(requests, replies, strict=True)}
    rows = [
        answer_row(question, video.status, reason=str(video))
        if isinstance(video, VideoProblem)
        else answer_row(question, "ok", by_key[question.key])
        for question, video in found
    ]
    return rows, again


def reply_to(requests: Sequence[R], answer: Callable[[Sequence[R]], list[Reply]]) -> tuple[list[str], int]:
    """Replies as each request would get them alone, and how many had to be asked alone to know."""
    replies = answer(requests) if requests else []
    again = [index for index, reply in enumerate(replies) if reply.close] if len(requests) > 1 else []
    for index in again:
        (replies[index],) = answer([requests[index]])
    return [reply.text for reply in replies], len(again)


def answer_row(question: Question, status: AnswerStatus, reply: str = "", reason: str = "") -> dict[str, Any]:
    """The line of an answer file; `reason` is given where the video was a problem."""
    row = {
        "benchmark": question.benchmark,
        "question_id": question.question_id,
        "video": question.video,
        "prompt": question.text,
        "encoder_prompt": question.encoder_prompt,
        "reply": reply,
        "status": status,
    }
    return {**row, "reason": reason} if reason else row


def _sampling(evaluation: Evaluation) -> list[Any]:
    return [evaluation.batch_size, evaluation.max_new_tokens, evaluation.temperature]


def _identity(folder: Path) -> list[Any]:
    """Names, sizes and times of the files of a folder: enough to notice that they were made anew."""
    return [
        (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _fingerprint(batches: Sequence[Sequence[Question]], settings: list[Any]) -> str:
    """Hash of all that decides the replies of a shard, so that unfinished answers of another kind are never joined."""
    asked = [
        [(*question.key, question.video, question.text, question.encoder_prompt) for question in b] for b in batches
    ]
    return hashlib.sha256(json.dumps([asked, settings]).encode()).hexdigest()[:16]
