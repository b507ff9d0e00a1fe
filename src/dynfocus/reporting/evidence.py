"""How every question came out for every run and seed: what the claims are tested on, kept small so that it adds up.

`docs/claims/{profile}/` holds two kinds of Parquet files, each one `pandas.read_parquet` away:

    {benchmark}-{questions}.parquet               its samples: id, film, groups
    {settings}-seed-{seed}-{processor}.parquet    run, benchmark, metric, and the value of each sample

A run that was scored anywhere adds its seeds: another file, or more rows in one. A row carries the
settings of its run, the questions it answered and the content of the model that answered, so that what
was made under other settings or on other questions is never mixed in, and one model never counts twice.
The same seed on another processor is another model, and so a further seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Metric, Sample
from dynfocus.evaluation.score import read_samples, samples_file
from dynfocus.files import hash_of
from dynfocus.reporting.results import read_records, withheld
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import read_manifest, verify_inputs
from dynfocus.steps.table import answers_of

STORED = Path("docs") / "claims"
"""Evidence that travels with the repository, one folder a profile."""
DIGITS = 12
Key = tuple[int, str]
"""A training: its seed and the processor that it ran on."""
Unit = tuple[str, str, str]
"""Run, benchmark and metric."""


@dataclass(frozen=True)
class Questions:
    """The samples of one version of a benchmark, in a fixed order: ids, films, and labels such as `duration=long`."""

    benchmark: str
    ids: tuple[str, ...]
    films: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def with_label(self, label: str) -> NDArray[np.bool_]:
        """Which samples count under a label, all of them for the empty one."""
        return np.array([not label or label in labels for labels in self.labels])

    def parts(self, grouping: str) -> NDArray[np.bool_]:
        """(P, Q): which samples count under each label of a grouping."""
        names = sorted({label for labels in self.labels for label in labels if label.startswith(f"{grouping}=")})
        return np.array([self.with_label(name) for name in names])


@dataclass(frozen=True)
class Series:
    """The values of one run, seed, benchmark and metric, NaN where there is none, in the order of the questions."""

    run: str
    benchmark: str
    metric: str
    seed: int
    processor: str
    model: str
    settings: str
    questions: str
    finished: str
    commit: str
    values: NDArray[np.floating]

    @property
    def unit(self) -> Unit:
        return self.run, self.benchmark, self.metric

    @property
    def key(self) -> Key:
        return self.seed, self.processor


@dataclass(frozen=True)
class Evidence:
    """Series and the questions that they answer, by the questions' hash; `notes` say what was left out and why."""

    series: tuple[Series, ...] = ()
    questions: dict[str, Questions] | None = None
    notes: tuple[str, ...] = ()

    def of(self, run: str, name: str, metric: str) -> dict[Key, Series]:
        """The series of a unit, by training."""
        return {one.key: one for one in self.series if one.unit == (run, name, metric)}

    def asked(self, one: Series) -> Questions:
        """The questions that a series answers."""
        return (self.questions or {})[one.questions]

    def joined(self, other: Evidence) -> Evidence:
        """Both together; where both have a unit of one training, this one's."""
        mine = {(one.unit, one.key, one.settings, one.questions) for one in self.series}
        added = [one for one in other.series if (one.unit, one.key, one.settings, one.questions) not in mine]
        questions = {**(other.questions or {}), **(self.questions or {})}
        return Evidence((*self.series, *added), questions, (*self.notes, *other.notes))

    def fitting(self, jobs: Jobs) -> Evidence:
        """What was made under the settings of `jobs`, on the newest questions of each benchmark."""
        runs = {one.run for one in self.series} & set(jobs.experiments.runs)
        wanted = {run: settings_of_run(jobs, run) for run in runs}
        fitting = [one for one in self.series if wanted.get(one.run) == one.settings]
        newest = {one.benchmark: one.questions for one in sorted(fitting, key=lambda one: one.finished)}
        chosen = tuple(one for one in fitting if newest[one.benchmark] == one.questions)
        left, notes = len(self.series) - len(chosen), self.notes
        if left:
            notes = (*notes, f"{left} of {len(self.series)} stored series are of other settings or questions: left out")
        return replace(self, series=chosen, notes=notes)


def metric_of(name: str, metric: str) -> Metric:
    """How a benchmark makes a metric of samples. Raises UserError for a metric that it does not have."""
    known = {one.name: one for one in benchmark(name).metrics}
    if metric not in known:
        raise UserError(f"{name} has no metric `{metric}`; it has {', '.join(known)}")
    return known[metric]


def settings_of_run(jobs: Jobs, run: str) -> str:
    """A hash of everything in the configuration that decides how a run answers and how its answers are marked."""
    return hash_of([jobs.run_settings(run, step) for step in ("answer_questions", "judge_answers")])


def base_settings(jobs: Jobs) -> str:
    """The same of the profile without its runs, for the names of files."""
    return hash_of([jobs.settings(step) for step in ("answer_questions", "judge_answers")])


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


def carried_evidence(profile: str, stored: Path = STORED) -> list[Path]:
    """The files of the evidence that the repository carries for a profile."""
    return sorted((stored / profile).glob("*.parquet"))


def read_evidence(folder: Path) -> Evidence:
    """Everything stored in a folder; nothing where there is none. Raises UserError for a file that cannot be read."""
    series = tuple(one for path in sorted(folder.glob("*-seed-*.parquet")) for one in read_file(path))
    names = sorted({one.questions for one in series})
    return Evidence(series, {name: _read_questions(folder / f"{name}.parquet") for name in names})


def read_file(path: Path) -> tuple[Series, ...]:
    """The series of one file."""
    rows = _read(path).to_dict("records")
    return tuple(Series(**{**row, "seed": int(row["seed"]), "values": np.array(row["values"], float)}) for row in rows)


def _read_questions(path: Path) -> Questions:
    table = _read(path)
    name = path.stem.rpartition("-")[0]
    return Questions(name, tuple(table["id"]), tuple(table["film"]), tuple(tuple(one) for one in table["labels"]))


def _read(path: Path) -> pandas.DataFrame:
    try:
        return pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as stored evidence ({error}); restore it from the repository"
        ) from error
