"""The jobs of the workflow and what each waits for, from the same `Jobs` that the rules read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import manifest_path


@dataclass(frozen=True)
class Step:
    """One job: its rule, and its wildcards in the rule's order."""

    rule: str
    key: tuple[str | int, ...] = ()


def inputs(jobs: Jobs, step: Step) -> list[Step]:
    """The jobs that `step` waits for; the counterpart of the rules' `input`."""
    match step.rule, step.key:
        case "prepare_qformer", _:
            return [Step("prepare_clip")]
        case "verify_data", (dataset,):
            return [Step("prepare_data", (dataset,))]
        case "extract_features", (dataset, _):
            return [Step("verify_data", (dataset,)), Step("prepare_clip")]
        case "train_alignment", (key,):
            run, _ = jobs.alignment(str(key))
            return [Step("prepare_llm"), Step("prepare_qformer"), *_stage_data(jobs, run, "alignment")]
        case "train_instruction", (run, seed):
            return [*_start(jobs, str(run), int(seed)), *_stage_data(jobs, str(run), "instruction")]
        case "answer_questions", (run, seed, _):
            sets = [Step("prepare_data", (name,)) for name in jobs.benchmarks(str(run))]
            return [_model(jobs, str(run), int(seed)), *sets, *_features(jobs.benchmark_shards(str(run)))]
        case "judge_answers", (run, seed):
            sets = [Step("prepare_data", (name,)) for name in jobs.benchmarks(str(run))]
            return [*_answers(jobs, str(run), int(seed)), *sets]
        case "score_answers", (run, seed):
            return [*_answers(jobs, str(run), int(seed)), Step("judge_answers", (run, seed))]
        case "execute_notebook", (item,):
            return _page(jobs, str(item))
        case "render_report", _:
            return [Step("execute_notebook", (item,)) for item in jobs.items]
        case _:
            return []


def needed(jobs: Jobs, targets: Iterable[Step]) -> list[Step]:
    """Every job that `targets` need, themselves included, each once and after what it waits for."""
    done: dict[Step, None] = {}

    def visit(step: Step) -> None:
        if step in done:
            return
        for before in inputs(jobs, step):
            visit(before)
        done[step] = None

    for target in targets:
        visit(target)
    return list(done)


def output(jobs: Jobs, step: Step) -> Path:
    """The file whose existence says that the job is done."""
    layout = jobs.layout
    match step.rule, step.key:
        case "prepare_data", (dataset,):
            return manifest_path(layout.data / str(dataset))
        case "verify_data", (dataset,):
            return layout.coverage(str(dataset))
        case (("prepare_clip" | "prepare_llm" | "prepare_qformer"), _):
            return manifest_path(layout.backbones / step.rule.removeprefix("prepare_"))
        case "extract_features", (dataset, shard):
            return manifest_path(layout.feature_shard(str(dataset), int(shard), jobs.config.feature_shards))
        case "prepare_model", (run,):
            return manifest_path(layout.model(str(run)))
        case "train_alignment", (key,):
            return manifest_path(layout.alignment(str(key)))
        case "train_instruction", (run, seed):
            return manifest_path(layout.instruction(str(run), int(seed)))
        case "answer_questions", (run, seed, shard):
            shards = jobs.run(str(run)).evaluation.shards
            return manifest_path(layout.answers(str(run), int(seed), int(shard), shards))
        case "judge_answers", (run, seed):
            return layout.verdicts(str(run), int(seed))
        case "score_answers", (run, seed):
            return layout.scores(str(run), int(seed))
        case "execute_notebook", (item,):
            return layout.notebook(str(item), "html")
        case _:
            return layout.report


def _stage_data(jobs: Jobs, run: str, stage: str) -> list[Step]:
    sets = getattr(jobs.run(run), stage).datasets
    return [*(Step("prepare_data", (name,)) for name in sets), *_features(jobs.training_shards(run, stage))]


def _features(shards: Iterable[tuple[str, int, int]]) -> list[Step]:
    return [Step("extract_features", (dataset, shard)) for dataset, shard, _ in shards]


def _start(jobs: Jobs, run: str, seed: int) -> list[Step]:
    if jobs.has_alignment(run):
        return [Step("train_alignment", (jobs.alignment_key(run, seed),))]
    return [Step("prepare_llm"), Step("prepare_qformer")]


def _model(jobs: Jobs, run: str, seed: int) -> Step:
    """The job that leaves the model that a run answers with."""
    if jobs.foreign(run):
        return Step("prepare_model", (run,))
    return Step("train_instruction", (jobs.weights_run(run), seed))


def _answers(jobs: Jobs, run: str, seed: int) -> list[Step]:
    return [Step("answer_questions", (run, seed, shard)) for shard in range(jobs.run(run).evaluation.shards)]


def _page(jobs: Jobs, item: str) -> list[Step]:
    return [
        *(Step("score_answers", pair) for pair in jobs.item_evaluations(item)),
        *(Step("train_alignment", (jobs.alignment_key(*pair),)) for pair in jobs.item_alignments(item)),
        *(Step("train_instruction", pair) for pair in jobs.item_checkpoints(item)),
        *(Step("prepare_data", (name,)) for name in jobs.item_datasets(item)),
        *_features(jobs.item_shards(item)),
        *([Step("prepare_clip")] if "clip" in jobs.item(item).reads else []),
    ]
