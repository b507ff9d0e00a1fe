"""Evidence from the scores that are here, and its files: see `dynfocus.evaluation.evidence`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.evidence import Evidence, Key, Questions, Series, Unit, read_file
from dynfocus.evaluation.questions import Metric, Sample
from dynfocus.evaluation.score import read_samples, samples_file
from dynfocus.files import hash_of
from dynfocus.reporting.results import read_records, withheld
from dynfocus.steps.claims import base_settings, settings_of_run
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import read_manifest, verify_inputs
from dynfocus.steps.table import answers_of

DIGITS = 12


def metric_of(name: str, metric: str) -> Metric:
    """How a benchmark makes a metric of samples. Raises UserError for a metric that it does not have."""
    known = {one.name: one for one in benchmark(name).metrics}
    if metric not in known:
        raise UserError(f"{name} has no metric `{metric}`; it has {', '.join(known)}")
    return known[metric]


# From the scores that are here


def collect(jobs: Jobs, units: Iterable[Unit], seeds: Iterable[int]) -> Evidence:
    """The evidence in the scores below the root of `jobs`, as far as they are of its settings."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for run, name, metric in units:
        wanted.setdefault(run, []).append((name, metric))
    series: list[Series] = []
    questions: dict[str, Questions] = {}
    notes: list[str] = []
    for run, metrics in wanted.items():
        for seed in sorted(set(seeds)):
            if not jobs.layout.scores(run, seed).is_file():
                continue
            try:
                origin = origin_of(jobs, run, seed)
            except UserError as error:
                notes.append(f"{run}, seed {seed}: {error}")
                continue
            for name, metric in metrics:
                made = _series_here(jobs, origin, name, metric, questions)
                if isinstance(made, Series):
                    series.append(made)
                elif made:
                    notes.append(f"{run}, seed {seed}: {made}")
    return Evidence(tuple(series), questions, tuple(dict.fromkeys(notes)))


def origin_of(jobs: Jobs, run: str, seed: int) -> dict[str, Any]:
    """Which model gave the answers behind the scores here, and where.

    Raises:
        UserError: answers or scores are not here, or of other settings or answers.
    """
    if jobs.foreign(run):
        raise UserError("not trained here, so it has no seeds")
    manifests = [read_manifest(shard.path(jobs)) for shard in answers_of(jobs, run, seed)]
    wanted = jobs.run_settings(run, "answer_questions")
    for manifest in manifests:
        if hash_of({key: manifest["settings"].get(key) for key in wanted}) != hash_of(wanted):
            raise UserError("answered under other settings")
    scores = jobs.layout.scores(run, seed)
    verify_inputs(scores, read_manifest(scores))
    first = manifests[0]
    return {
        "run": run,
        "seed": seed,
        "processor": first.get("processor", "unknown"),
        "model": str(first["inputs"].get(str(jobs.checkpoint(run, seed)), first["content"]))[:DIGITS],
        "settings": settings_of_run(jobs, run),
        "finished": first["finished"][:10],
        "commit": (first["commit"] or "")[:DIGITS],
    }


def _series_here(
    jobs: Jobs, origin: dict[str, Any], name: str, metric: str, questions: dict[str, Questions]
) -> Series | str:
    """One series of the scores here, its questions into `questions`; or why there is none, empty if not scored."""
    path = jobs.layout.scores(origin["run"], origin["seed"])
    record = next((one for one in read_records(path) if one["benchmark"] == name), None)
    if record is None:
        return ""
    if "questions" not in record:
        return f"{name} was scored by an earlier version; score it again"
    if withheld(record, jobs.config.evaluation.judge.max_unjudged):
        return f"{name} has too many answers without a judgement"
    samples = sorted(read_samples(samples_file(path), name), key=lambda one: one.sample_id)
    asked = f"{name}-{record['questions']}"
    questions.setdefault(asked, questions_of(name, samples))
    value = metric_of(name, metric).value
    values = np.array([np.nan if one.values.get(value) is None else one.values[value] for one in samples], dtype=float)
    return Series(benchmark=name, metric=metric, questions=asked, values=values, **origin)


def questions_of(name: str, samples: Sequence[Sample]) -> Questions:
    """The questions behind samples, in their order."""
    return Questions(
        name,
        tuple(one.sample_id for one in samples),
        tuple(one.cluster for one in samples),
        tuple(
            tuple(f"{grouping}={label}" for grouping, labels in sorted(one.groups.items()) for label in labels)
            for one in samples
        ),
    )


# In files


def file_name(jobs: Jobs, key: Key) -> str:
    """The file of a training's series under the settings of a profile."""
    seed, processor = key
    slug = re.sub(r"[^a-z0-9]+", "-", processor.lower().replace("(r)", "").replace("(tm)", "")).strip("-")
    return f"{base_settings(jobs)}-seed-{seed}-{slug}.parquet"


def write_evidence(jobs: Jobs, evidence: Evidence, folder: Path) -> list[Path]:
    """Add the series of `evidence` to the files in `folder`; a row of a unit is replaced, the others stay."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for key in dict.fromkeys(one.key for one in evidence.series):
        path = folder / file_name(jobs, key)
        here = replace(evidence, series=tuple(one for one in evidence.series if one.key == key))
        before = read_file(path) if path.exists() else ()
        kept = {(one.unit, one.questions): one for one in (*before, *here.series)}
        rows = sorted(kept.values(), key=lambda one: (*one.unit, one.questions))
        columns = {field.name: [getattr(one, field.name) for one in rows] for field in fields(Series)}
        columns["values"] = [one.astype("float32") for one in columns["values"]]
        pandas.DataFrame(columns).to_parquet(path, index=False, compression="zstd")
        written.append(path)
    for name in dict.fromkeys(one.questions for one in evidence.series):
        path, asked = folder / f"{name}.parquet", (evidence.questions or {})[name]
        table = {"id": asked.ids, "film": asked.films, "labels": [list(labels) for labels in asked.labels]}
        pandas.DataFrame(table).to_parquet(path, index=False, compression="zstd")
        written.append(path)
    return written
