"""The score step: answers and verdicts in, score records with intervals out. Pure, seconds, no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import Benchmark, Selection, benchmark, load_questions, selection
from dynfocus.evaluation.lines import read_as, write_lines
from dynfocus.evaluation.parsing import LETTERS
from dynfocus.evaluation.questions import Answer, Metric, Question, Sample, SampleStatus, Verdict
from dynfocus.evaluation.records import read_answers, read_verdicts, require_complete
from dynfocus.evaluation.statistics import Comparison, Estimate, bounds, compare, estimate
from dynfocus.files import hash_of, write_json

if TYPE_CHECKING:
    from dynfocus.config.schema import Config

UNSEEN = ("missing_video", "unreadable")


def score_run(
    config: Config,
    run: str,
    seed: int,
    benchmarks: Sequence[str],
    answers: Sequence[Path],
    verdicts: Path,
    data_dir: Path,
    out: Path,
) -> None:
    """Score all benchmarks of a run.

    Writes the list of score records to `out` and one line per sample to `{out stem}.samples.jsonl`.
    Raises UserError where an answer is lacking or of another version of the annotations.
    """
    answered = read_answers(answers)
    judged = read_verdicts(verdicts)
    records: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for name in benchmarks:
        adapter = benchmark(name)
        questions = load_questions(adapter, data_dir, config.evaluation)
        replies = answered.get(name, {})
        require_complete(name, questions, replies)
        samples = adapter.samples(questions, replies, judged.get(name, {}))
        record = {
            "benchmark": name,
            "run": run,
            "seed": seed,
            "profile": config.profile,
            "questions": digest_of(questions),
            "judge": judge_names(judged.get(name, {}).values()),
            "headline": adapter.headline,
            "sample": sample_of(selection(adapter, data_dir, config.evaluation)),
            "subtitles": adapter.has_subtitles and config.evaluation.subtitles,
            **score(adapter, samples, config.evaluation.bootstrap),
        }
        records.append(record)
        lines.extend(sample_row(name, sample, replies) for sample in samples)
    write_lines(samples_file(out), lines)
    write_json(out, records)


def digest_of(questions: Sequence[Question]) -> str:
    """What tells two versions of a benchmark apart: a hash of its questions, videos, right answers and groups."""
    rows = [[*one.key, one.video, one.text, one.gold, dict(one.groups), dict(one.details)] for one in questions]
    return hash_of(sorted(rows, key=lambda row: row[1]))


def sample_of(selected: Selection | None) -> dict[str, int] | None:
    """What of the benchmark was asked, for the record: `asked` of `of` units by `seed`; None for all of it."""
    return None if selected is None else asdict(selected)


def samples_file(scores: Path) -> Path:
    """Where the per-sample lines of a score file lie."""
    return scores.with_suffix(".samples.jsonl")


def judge_names(verdicts: Iterable[Verdict]) -> str | None:
    """Who judged; None where nothing was judged."""
    return ", ".join(sorted({verdict.judge for verdict in verdicts})) or None


def score(adapter: Benchmark, samples: Sequence[Sample], draws: int) -> dict[str, Any]:
    """Metrics, coverage with bounds, failures, groups and letter shares of one benchmark."""
    seen = [sample for sample in samples if sample.status not in UNSEEN]
    ends = {metric.name: bounds(samples, metric) for metric in adapter.metrics}
    return {
        "metrics": {
            metric.name: estimate(samples, metric, draws, f"{adapter.name}/{metric.name}").record()
            for metric in adapter.metrics
        },
        "coverage": {
            "answered": len(seen),
            "total": len(samples),
            "worst": {name: low for name, (low, _) in ends.items() if low is not None},
            "best": {name: high for name, (_, high) in ends.items() if high is not None},
        },
        "failures": {
            "unparsed": sum(sample.unparsed for sample in samples),
            **{
                status: sum(sample.status == status for sample in samples)
                for status in ("unjudged", "missing_video", "unreadable", "withheld")
            },
        },
        "groups": group_scores(adapter, samples, draws),
        "letters": letter_shares([sample.predicted for sample in seen], samples),
        "gold_letters": letter_shares([sample.correct for sample in samples], samples),
    }


def group_scores(adapter: Benchmark, samples: Sequence[Sample], draws: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Grouping -> label -> value name -> estimate; a sample counts under each of its labels.

    Inside a label no mean over labels is left, so metrics that differ only in `macro` are one here.
    """
    values = {metric.value: Metric(metric.value, metric.value, metric.scale) for metric in adapter.metrics}
    labels: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        for grouping, names in sample.groups.items():
            for name in names:
                labels.setdefault(grouping, {}).setdefault(name, []).append(sample)
    return {
        grouping: {
            label: _present(
                {
                    name: estimate(members, metric, draws, f"{adapter.name}/{grouping}/{label}/{name}")
                    for name, metric in values.items()
                }
            )
            for label, members in sorted(by_label.items())
        }
        for grouping, by_label in sorted(labels.items())
    }


def letter_shares(letters: Sequence[str | None], samples: Sequence[Sample]) -> dict[str, float] | None:
    """Per cent of each letter among the letters found; None for a benchmark without options."""
    if all(sample.correct is None and sample.predicted is None for sample in samples):
        return None
    counts = Counter(letter for letter in letters if letter is not None and letter in LETTERS)
    total = sum(counts.values())
    return {letter: 100.0 * counts[letter] / total for letter in LETTERS if counts[letter]}


@dataclass(frozen=True)
class SampleRow:
    """A line of the samples file, as it is read."""

    benchmark: str
    video: str
    sample_id: str
    question_ids: tuple[str, ...]
    status: SampleStatus
    values: dict[str, float | None]
    groups: dict[str, tuple[str, ...]]
    unparsed: bool
    predicted: str | None
    correct: str | None

    def sample(self) -> Sample:
        """The sample that was written."""
        fields = {name: value for name, value in vars(self).items() if name not in ("benchmark", "video")}
        return Sample(cluster=self.video, **fields)


def sample_row(name: str, sample: Sample, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """The line of one sample in the samples file."""
    return {
        "benchmark": name,
        "sample_id": sample.sample_id,
        "question_ids": list(sample.question_ids),
        "video": sample.cluster,
        "status": sample.status,
        "values": dict(sample.values),
        "groups": {grouping: list(labels) for grouping, labels in sample.groups.items()},
        "unparsed": sample.unparsed,
        "predicted": sample.predicted,
        "correct": sample.correct,
        "replies": [answers[question_id].reply for question_id in sample.question_ids],
    }


def read_samples(file: Path, name: str) -> list[Sample]:
    """Samples of one benchmark from a samples file."""
    return [row.sample() for row in read_as(SampleRow, file) if row.benchmark == name]


def compare_runs(name: str, metric: str, a: Path, b: Path, draws: int = 2000) -> Comparison:
    """Paired difference a - b of a metric, from two samples files of runs on the same questions."""
    adapter = benchmark(name)
    spec = next((known for known in adapter.metrics if known.name == metric), None)
    if spec is None:
        names = ", ".join(known.name for known in adapter.metrics)
        raise UserError(f"{name} has no metric `{metric}`; it has {names}")
    return compare(read_samples(a, name), read_samples(b, name), spec, draws, f"{name}/{metric}/paired")


def _present(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: found.record() for name, found in estimates.items() if found.n}
