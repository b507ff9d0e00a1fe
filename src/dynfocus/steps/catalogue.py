"""Every artefact of a configuration: where it is, the settings it depends on, and the pack it travels in.

A *group* is what a person pulls alone, one `.dvc` file: `data`, `backbones`, `stage1`, `checkpoints`,
`predictions` (answers, verdicts, replies of the judge) and `results` (scores, tables, notebooks).
A *pack* is one tar of a group, such as `checkpoints/dynfocus-seed-0`. Features are not published:
they are the largest part and follow from data and visual encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynfocus.steps.jobs import Jobs
from dynfocus.steps.settings import Slice

Kind = Literal["data", "backbones", "features", "alignment", "models", "checkpoints", "answers", "verdicts", "scores"]
GROUPS = ("data", "backbones", "stage1", "checkpoints", "predictions", "results")
REPORT = "results/report"
REPLIES = "predictions/judge_replies"


@dataclass(frozen=True)
class Artefact:
    """A folder or file with a manifest. `pack` is None where it is not published."""

    kind: Kind
    path: Path
    settings: Slice
    seed: int | None = None
    pack: str | None = None
    also: tuple[Path, ...] = ()
    """Files that belong to it without a manifest of their own."""


def data(jobs: Jobs, dataset: str) -> Artefact:
    """The raw files of a training set or benchmark."""
    path = jobs.layout.data / dataset
    return Artefact("data", path, jobs.settings("prepare_data"), jobs.config.world.seed, f"data/{dataset}")


def backbone(jobs: Jobs, name: str) -> Artefact:
    """`clip`, `llm` or `qformer`."""
    path = jobs.layout.backbones / name
    return Artefact("backbones", path, jobs.settings(f"prepare_{name}"), None, f"backbones/{name}")


def features(jobs: Jobs, dataset: str, shard: int, num_shards: int) -> Artefact:
    """One shard of the features of a set."""
    path = jobs.layout.feature_shard(dataset, shard, num_shards)
    return Artefact("features", path, jobs.settings("extract_features"))


def alignment(jobs: Jobs, run: str, seed: int) -> Artefact:
    """The stage-1 checkpoint that stage 2 of `run` starts from."""
    key = jobs.alignment_key(run, seed)
    settings = jobs.run_settings(run, "train_alignment")
    return Artefact("alignment", jobs.layout.alignment(key), settings, seed, f"stage1/{key}")


def checkpoint(jobs: Jobs, run: str, seed: int) -> Artefact:
    """The checkpoint that `run` answers with."""
    path = jobs.checkpoint(run, seed)
    if jobs.foreign(run):
        return Artefact("models", path, jobs.model_settings(run))
    lender = jobs.weights_run(run)
    settings = jobs.run_settings(lender, "train_instruction")
    return Artefact("checkpoints", path, settings, seed, f"checkpoints/{lender}-seed-{seed}")


def answers(jobs: Jobs, run: str, seed: int, shard: int, num_shards: int | None = None) -> Artefact:
    """One shard of the answers of a run."""
    total = num_shards or jobs.run(run).evaluation.shards
    settings = jobs.run_settings(run, "answer_questions") | {"benchmarks": jobs.benchmarks(run)}
    return Artefact("answers", jobs.layout.answers(run, seed, shard, total), settings, seed, _predictions(run, seed))


def all_answers(jobs: Jobs, run: str, seed: int) -> list[Artefact]:
    """All shards of the answers of a run."""
    return [answers(jobs, run, seed, shard) for shard in range(jobs.run(run).evaluation.shards)]


def verdicts(jobs: Jobs, run: str, seed: int) -> Artefact:
    """The marked answers of a run."""
    settings = jobs.run_settings(run, "judge_answers")
    return Artefact("verdicts", jobs.layout.verdicts(run, seed), settings, seed, _predictions(run, seed))


def scores(jobs: Jobs, run: str, seed: int) -> Artefact:
    """The score records of a run, with its line per sample."""
    path = jobs.layout.scores(run, seed)
    settings = jobs.run_settings(run, "score_answers") | {"benchmarks": jobs.benchmarks(run)}
    samples = path.with_suffix(".samples.jsonl")
    return Artefact("scores", path, settings, seed, f"results/{run}-seed-{seed}", (samples,))


def demanded(jobs: Jobs) -> list[Artefact]:
    """Every artefact behind the report of a configuration, in the order in which they are made."""
    trained = list(
        dict.fromkeys(
            (jobs.weights_run(run), seed)
            for run, seed in [*jobs.evaluations, *(pair for item in jobs.items for pair in jobs.item_checkpoints(item))]
            if not jobs.foreign(run)
        )
    )
    aligned = [(run, seed) for run, seed in trained if jobs.has_alignment(run)]
    shards = dict.fromkeys(
        shard
        for source in (
            *(jobs.training_shards(run, "alignment") for run, _ in aligned),
            *(jobs.training_shards(run, "instruction") for run, _ in trained),
            *(jobs.benchmark_shards(run) for run, _ in jobs.evaluations),
            *(jobs.item_shards(item) for item in jobs.items),
        )
        for shard in source
    )
    sets = dict.fromkeys([dataset for dataset, _, _ in shards])
    sets |= dict.fromkeys(name for item in jobs.items for name in jobs.item_datasets(item))
    reads_clip = any("clip" in item.reads for item in jobs.items.values())
    backbones = ("clip", "llm", "qformer") if trained else ("clip",) if shards or reads_clip else ()
    found = [
        *(data(jobs, name) for name in sets),
        *(backbone(jobs, name) for name in backbones),
        *(features(jobs, *shard) for shard in shards),
        *(alignment(jobs, run, seed) for run, seed in aligned),
        *(checkpoint(jobs, run, seed) for run, seed in trained),
        *(checkpoint(jobs, run, seed) for run, seed in jobs.evaluations if jobs.foreign(run)),
        *(shard for run, seed in jobs.evaluations for shard in all_answers(jobs, run, seed)),
        *(verdicts(jobs, run, seed) for run, seed in jobs.evaluations),
        *(scores(jobs, run, seed) for run, seed in jobs.evaluations),
    ]
    return list({artefact.path: artefact for artefact in found}.values())


def read_by(jobs: Jobs, item: str) -> list[Artefact]:
    """What the notebook of a report item reads."""
    entry = jobs.item(item)
    return [
        *(scores(jobs, *pair) for pair in jobs.item_evaluations(item)),
        *(alignment(jobs, *pair) for pair in jobs.item_alignments(item)),
        *(checkpoint(jobs, *pair) for pair in jobs.item_checkpoints(item)),
        *(data(jobs, name) for name in jobs.item_datasets(item)),
        *(features(jobs, *shard) for shard in jobs.item_shards(item)),
        *([backbone(jobs, "clip")] if "clip" in entry.reads else []),
    ]


def name_of(jobs: Jobs, artefact: Artefact) -> str:
    """The path below the root, by which the index and the commands know an artefact."""
    return artefact.path.relative_to(jobs.layout.root).as_posix()


def _predictions(run: str, seed: int) -> str:
    return f"predictions/{run}-seed-{seed}"
