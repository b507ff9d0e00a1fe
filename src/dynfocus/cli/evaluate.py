"""Answers, verdicts, scores: prepare-model, answer-questions, judge-answers, judge-again, score-answers."""

from __future__ import annotations

from pathlib import Path

import typer

from dynfocus.cli.options import (
    DEFAULT_CONFIG,
    NO_OVERRIDES,
    ConfigFiles,
    NumShards,
    Overrides,
    RunName,
    Seed,
    Shard,
    load_jobs,
)
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_of
from dynfocus.steps.perform import perform
from dynfocus.steps.table import (
    AnswerQuestions,
    JudgeAgain,
    JudgeAnswers,
    PrepareModel,
    ScoreAnswers,
    answers_of,
    model_of,
)

app = typer.Typer()


@app.command()
def prepare_model(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Fetch the model of a run that is not ours, a video LLM that transformers carries.

    Example: dynfocus prepare-model --run video_llava
    """
    jobs = load_jobs(config, overrides)
    name = jobs.foreign(run)
    if name is None:
        raise UserError(f"run {run} names no model; train it, or give it `model` in {jobs.config.experiments}")
    from dynfocus.evaluation.answerers.foreign import fetch

    perform(jobs, PrepareModel(run), lambda out: fetch(name, out))


@app.command()
def answer_questions(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
    shard: Shard = 0,
    num_shards: NumShards = None,
) -> None:
    """Answer the questions of every benchmark of a run, one part of them; an interrupted part goes on.

    Example: dynfocus answer-questions --run dynfocus --seed 0 --shard 0 --num-shards 2
    """
    jobs = load_jobs(config, overrides)
    settings, layout = jobs.run(run), jobs.layout
    step = AnswerQuestions(run, seed, shard, num_shards or settings.evaluation.shards)
    checkpoint = model_of(jobs, run, seed).path(jobs)

    def answer(out: Path) -> None:
        from dynfocus.evaluation.answer import answer_shard

        work = layout.work("answers", jobs.answers_key(run, content_of(checkpoint)))
        answer_shard(
            settings,
            run,
            seed,
            jobs.benchmarks(run),
            shard,
            step.shards,
            checkpoint,
            layout.data,
            layout.features,
            out,
            work,
        )

    perform(jobs, step, answer)


@app.command()
def judge_answers(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Mark the answers of a run with the profile's judge; every reply is kept and asked for once.

    Example: dynfocus judge-answers --run dynfocus --seed 0
    """
    _judge(load_jobs(config, overrides), JudgeAnswers(run, seed))


@app.command()
def judge_again(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Mark the same answers with the second judge, for the report's table of how far judges agree.

    Example: dynfocus judge-again --run dynfocus --seed 0 --set evaluation.second_judge='{repeat: 1}'
    """
    _judge(load_jobs(config, overrides), JudgeAgain(run, seed))


def _judge(jobs: Jobs, step: JudgeAnswers) -> None:
    from dynfocus.evaluation.judge import judge_answers as mark

    layout, judge = jobs.layout, step.judge(jobs)
    answers = [shard.path(jobs) for shard in answers_of(jobs, step.run, step.seed)]
    perform(jobs, step, lambda out: mark(jobs.run(step.run), answers, layout.data, layout.judge_replies, out, judge))


@app.command()
def score_answers(
    run: RunName,
    config: ConfigFiles = DEFAULT_CONFIG,
    overrides: Overrides = NO_OVERRIDES,
    seed: Seed = 0,
) -> None:
    """Turn the marked answers of a run into metrics with intervals, coverage and failures.

    Example: dynfocus score-answers --run dynfocus --seed 0
    """
    jobs = load_jobs(config, overrides)
    from dynfocus.evaluation.score import score_run

    answers = [shard.path(jobs) for shard in answers_of(jobs, run, seed)]
    judged = JudgeAnswers(run, seed).path(jobs)
    perform(
        jobs,
        ScoreAnswers(run, seed),
        lambda out: score_run(jobs.run(run), run, seed, jobs.benchmarks(run), answers, judged, jobs.layout.data, out),
    )
