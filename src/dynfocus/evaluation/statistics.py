"""Means, 95 % intervals and paired tests of samples, resampled by video.

Questions on one video are not independent, so the bootstrap draws videos with replacement and
takes all samples of each. Everything is a sum per video times a count per draw: one matrix product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynfocus.evaluation.questions import Metric, Sample

CONFIDENCE = 0.95
_DRAWS_AT_ONCE = 250


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval; `value` is None where no sample counts. `n`: samples that count."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def record(self) -> dict[str, float | int | None]:
        """The form of the score record."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True)
class Comparison:
    """Run a minus run b on the samples that both have; `p` is two-sided, from swapping videos between runs."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


@dataclass(frozen=True)
class _Table:
    """Sums per video: `totals` and `counts` of shape (parts, V), one part per label of a macro mean."""

    totals: np.ndarray
    counts: np.ndarray

    def means(self, weights: np.ndarray) -> np.ndarray:
        """Mean of the parts' means for each row of `weights` (B, V); NaN where nothing counts."""
        totals, counts = weights @ self.totals.T, weights @ self.counts.T
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = totals / counts
        filled = np.isfinite(parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(filled, parts, 0.0).sum(axis=1) / filled.sum(axis=1)


def estimate(samples: Sequence[Sample], metric: Metric, draws: int, seed: str) -> Estimate:
    """Mean of a metric and its percentile interval over `draws` resamples of the videos.

    `seed` is any text, say benchmark and metric: the same samples always give the same interval.
    """
    rows = [sample for sample in samples if sample.values.get(metric.value) is not None]
    if not rows:
        return Estimate(None, None, None, 0)
    videos = sorted({sample.cluster for sample in rows})
    table = _table(rows, metric, videos)
    value = float(table.means(np.ones((1, len(videos))))[0])
    resampled = _bootstrap([table], len(videos), draws, seed)[0]
    low, high = _interval(resampled)
    return Estimate(metric.scale * value, metric.scale * low, metric.scale * high, len(rows))


def bounds(samples: Sequence[Sample], metric: Metric) -> tuple[float | None, float | None]:
    """The metric if every unknown sample (no video, no judgement, no gold) were worst, and if it were best.

    A sample that the metric's own rule leaves out is not unknown.
    """
    ends = []
    for filler in (metric.low, metric.high):
        rows = [
            sample if sample.values[metric.value] is not None else _filled(sample, metric, filler)
            for sample in samples
            if metric.value in sample.values and (sample.values[metric.value] is not None or sample.status != "ok")
        ]
        ends.append(mean(rows, metric))
    return ends[0], ends[1]


def mean(samples: Sequence[Sample], metric: Metric) -> float | None:
    """The metric without an interval."""
    return estimate(samples, metric, 0, "").value


def compare(a: Sequence[Sample], b: Sequence[Sample], metric: Metric, draws: int, seed: str) -> Comparison:
    """Paired difference of two runs on the samples for which both have a value.

    The interval resamples videos, the same ones for both runs; `p` is a permutation test that swaps
    the two runs' samples of a video, all or none.
    """
    other = {sample.sample_id: sample for sample in b if sample.values.get(metric.value) is not None}
    pairs = [
        (sample, other[sample.sample_id])
        for sample in a
        if sample.values.get(metric.value) is not None and sample.sample_id in other
    ]
    if not pairs:
        return Comparison(None, None, None, None, 0)
    videos = sorted({sample.cluster for sample, _ in pairs})
    tables = [_table([pair[side] for pair in pairs], metric, videos) for side in (0, 1)]
    ones = np.ones((1, len(videos)))
    difference = float((tables[0].means(ones) - tables[1].means(ones))[0])
    first, second = _bootstrap(tables, len(videos), draws, seed)
    low, high = _interval(first - second)
    scale = metric.scale
    p = _swap_test(tables[0], tables[1], difference, draws, seed)
    return Comparison(scale * difference, scale * low, scale * high, p, len(pairs))


def _filled(sample: Sample, metric: Metric, value: float) -> Sample:
    return Sample(sample.sample_id, sample.cluster, sample.question_ids, "ok", {metric.value: value}, sample.groups)


def _table(samples: Sequence[Sample], metric: Metric, videos: Sequence[str]) -> _Table:
    """Sums and counts per part and video."""
    column = {video: index for index, video in enumerate(videos)}
    counted = [
        (label, column[sample.cluster], sample.values[metric.value])
        for sample in samples
        for label in (sample.groups.get(metric.macro, ()) if metric.macro else ("",))
    ]
    parts = {label: index for index, label in enumerate(sorted({label for label, _, _ in counted}))}
    cells = np.array([len(videos) * parts[label] + video for label, video, _ in counted])
    shape = (len(parts), len(videos))
    totals = np.bincount(
        cells, weights=np.array([value for _, _, value in counted], dtype=float), minlength=shape[0] * shape[1]
    )
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).astype(float)
    return _Table(totals.reshape(shape), counts.reshape(shape))


def _bootstrap(tables: Sequence[_Table], videos: int, draws: int, seed: str) -> list[np.ndarray]:
    """Resampled means of several tables under the same draws of `videos` videos."""
    generator = generator_of(seed)
    collected: list[list[np.ndarray]] = [[] for _ in tables]
    for start in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - start)
        weights = draw_counts(generator, size, videos)
        for kept, table in zip(collected, tables, strict=True):
            kept.append(table.means(weights))
    return [np.concatenate(kept) if kept else np.empty(0) for kept in collected]


def draw_counts(generator: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """How often each of `count` things is drawn in each of `draws` resamples with replacement, (draws, count)."""
    drawn = generator.integers(0, count, size=(draws, count)) + count * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count).astype(float)


def _interval(resampled: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(resampled).any():
        return float("nan"), float("nan")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def _swap_test(a: _Table, b: _Table, observed: float, draws: int, seed: str) -> float | None:
    """Share of random swaps, the identity among them, with a difference at least as large as `observed`."""
    if draws == 0:
        return None
    generator = generator_of(f"{seed}/swap")
    extreme = 0
    for start in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - start)
        swap = generator.integers(0, 2, size=(size, a.totals.shape[1])).astype(float)
        kept = 1 - swap
        difference = _mixed(a, b, kept, swap) - _mixed(b, a, kept, swap)
        extreme += int((np.abs(difference) >= abs(observed) - 1e-12).sum())
    return (extreme + 1) / (draws + 1)


def _mixed(a: _Table, b: _Table, kept: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """Means when the videos marked in `swapped` take their samples from b; both tables count the same samples."""
    totals = kept @ a.totals.T + swapped @ b.totals.T
    parts = totals / a.counts.sum(axis=1)
    return parts.mean(axis=1)


def generator_of(seed: str) -> np.random.Generator:
    """The random numbers of a text: the same text always gives the same draws."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
