"""What fewer bits in the feature store change: the same trained models answer from every type of storage.

    python scripts/compare_storage.py dynfocus two_token --root . --out speed/results/storage

A finished run whose features are stored in fp32 is the truth. They are stored again in each type, and the steps of the
workflow (answer, judge, score) run on them with the checkpoints as they are. `error` is the root mean square of what a
reader gets less the truth, as a share of the features' spread about each channel's mean, median over films; `cones
kept` is the share of DynFocus's cones that stay; `replies kept` that of the replies. The difference is the headline
metric less that of fp32, in points, with its 95 % interval over the paired samples. `--root` holds data/, features/,
backbones/ and checkpoints/.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from dynfocus.config import load_config
from dynfocus.config.schema import FeaturePrecision
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import answer_shard
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.records import read_answers
from dynfocus.evaluation.score import compare_runs, samples_file, score_run
from dynfocus.features.precision import pack, unpack
from dynfocus.features.store import FeatureStore, ShardWriter
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.measuring.cone_recall import TUNED, choose, load
from dynfocus.steps.jobs import Jobs

TRUTH: FeaturePrecision = "fp32"
TYPES: tuple[FeaturePrecision, ...] = get_args(FeaturePrecision)


def store_again(source: Path, out: Path, precision: FeaturePrecision) -> dict[str, float]:
    """The features of a set stored in another type; bytes a frame and the relative error."""
    store, errors, frames = FeatureStore(source), [], 0
    writer = ShardWriter(out / "shard-0-of-1.safetensors", store.ids(), precision)
    for medium in store.ids():
        truth = store.get(medium)
        if truth.dtype != torch.float32:
            raise UserError(f"{source}: features in {truth.dtype}; compare a run whose `feature_precision` is {TRUTH}")
        stored, scale = pack(truth, precision)
        writer.add(medium, stored, store.frames(medium), scale)
        spread = (truth - truth.mean((0, 1))).square().mean()
        errors.append(float(((unpack(stored, scale).float() - truth).square().mean() / spread).sqrt()))
        frames += len(truth)
    writer.finish()
    size = sum(shard.stat().st_size for shard in out.iterdir())
    return {"bytes": size / frames, "error": statistics.median(errors)}


def answered(jobs: Jobs, run: str, seed: int, names: Sequence[str], features: Path, out: Path) -> Path:
    """Answer, judge and score from the features in a folder; the file of scores, beside that of the answers."""
    config, layout = jobs.run(run), jobs.layout
    answers, verdicts, scores = out / "answers.jsonl", out / "verdicts.jsonl", out / "scores.json"
    checkpoint = jobs.checkpoint(run, seed)
    answer_shard(config, run, seed, names, 0, 1, checkpoint, layout.data, features, answers, out / "work")
    judge_answers(config, [answers], layout.data, out / "judge", verdicts)
    score_run(config, run, seed, names, [answers], verdicts, layout.data, scores)
    return scores


def cones(connector: Any, features: Path) -> list[set[int]] | None:
    """The frames that an encoder chooses of every film of a set, by their place; None for one that chooses none."""
    if getattr(connector, "selection", None) is None:
        return None
    store = FeatureStore(features)
    return [choose(connector, store.get(medium))[0] for medium in sorted(store.ids())]


def compare(jobs: Jobs, runs: Sequence[str], seeds: Sequence[int], names: Sequence[str], work: Path) -> list[dict]:
    """One row per benchmark, run, seed and type of storage."""
    sizes = {
        (name, precision): store_again(jobs.layout.features / name, work / precision / name, precision)
        for precision in TYPES
        for name in names
    }
    rows = []
    for run in runs:
        for seed in seeds:
            made = {
                precision: answered(jobs, run, seed, names, work / precision, work / f"{run}-{seed}-{precision}")
                for precision in TYPES
            }
            connector = load(jobs, run, seed, TUNED).connector
            for name in names:
                kept = {precision: cones(connector, work / precision / name) for precision in TYPES}
                for precision in (other for other in TYPES if other != TRUTH):
                    rows.append(
                        {
                            "benchmark": name,
                            "run": run,
                            "seed": seed,
                            "precision": precision,
                            **sizes[name, precision],
                            "cones": _shared(kept[TRUTH], kept[precision]),
                            **_replies(name, made[TRUTH], made[precision]),
                        }
                    )
                    print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    return rows


def _shared(truth: list[set[int]] | None, other: list[set[int]] | None) -> float | None:
    if truth is None or other is None:
        return None
    return sum(len(a & b) for a, b in zip(truth, other, strict=True)) / sum(map(len, truth))


def _replies(name: str, truth: Path, other: Path) -> dict[str, object]:
    """Questions, share of equal replies, and the paired difference of the headline metric."""
    texts = [
        {key: row.reply for key, row in read_answers([scores.with_name("answers.jsonl")])[name].items()}
        for scores in (truth, other)
    ]
    same = sum(texts[0][key] == texts[1][key] for key in texts[0])
    found = compare_runs(name, benchmark(name).headline, samples_file(other), samples_file(truth))
    return {
        "questions": len(texts[0]),
        "replies": same / len(texts[0]),
        "difference": found.difference,
        "interval": [found.low, found.high],
    }


def markdown(rows: Sequence[dict]) -> str:
    """The result as a Markdown page."""
    lines = [
        "# What fewer bits in the feature store change",
        "",
        "Written by `scripts/compare_storage.py`, which says what is measured. Against the same models on features in",
        "fp32; trained on fp32, too.",
        "",
        "| benchmark | run, seed | type | bytes a frame | error | cones kept | replies kept | difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        kept = "-" if row["cones"] is None else f"{100 * row['cones']:.1f} %"
        low, high = row["interval"]
        lines.append(
            f"| {row['benchmark']} | {row['run']}, {row['seed']} | {row['precision']} | {row['bytes']:,.0f} | "
            f"{100 * row['error']:.2f} % | {kept} | {100 * row['replies']:.1f} % of {row['questions']:,} | "
            f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}] |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="trained runs")
    parser.add_argument("--config", type=Path, default=Path("config/mini.yaml"), help="profile")
    parser.add_argument("--root", type=Path, default=Path("."), help="folder of the finished run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the trainings")
    parser.add_argument("--benchmarks", nargs="+", default=["msvd_qa", "video_mme"], help="what is asked")
    parser.add_argument("--out", type=Path, default=None, help="result files without their ending; none: print only")
    options = parser.parse_args()
    prepare_process()
    jobs = Jobs.load(load_config([options.config], [f"root={options.root}"]))
    with tempfile.TemporaryDirectory() as work:
        rows = compare(jobs, options.runs, options.seeds, options.benchmarks, Path(work))
    if options.out is not None:
        write_result(options.out, rows, markdown(rows))


if __name__ == "__main__":
    main()
