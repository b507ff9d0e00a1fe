"""Which setting of a sweep is best, and whether it is another one on other films: resampled, for it is no mean.

Seeds and films are drawn with replacement, each on their own (Owen 2007, "The pigeonhole bootstrap"):
a resample keeps every answer of the drawn seeds on the drawn films. What is drawn together stays
together: all settings answer with the weights of one training, on the same films.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynfocus.evaluation.crossed import LEVEL, Values
from dynfocus.evaluation.statistics import draw_counts, generator_of

DRAWS = 4000


@dataclass(frozen=True)
class Sweep:
    """Values (N, S, Q) of N settings on the questions of a group; `films` (Q,) names each question's film."""

    values: Values
    films: Sequence[str]


@dataclass(frozen=True)
class Best:
    """A best setting, or how much larger one is than another, with its resamples."""

    mean: float
    draws: Values
    seeds: int
    films: int
    questions: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The percentile interval of confidence 1 - level; one seed has none."""
        if self.seeds == 1:
            return -math.inf, math.inf
        low, high = np.percentile(self.draws, [50 * level, 100 - 50 * level])
        return float(low), float(high)

    def p_difference(self) -> float:
        """Two-sided p value of "zero": twice the share of resamples on the other side of it."""
        if self.mean == 0:
            return 1.0
        return min(1.0, 2 * self._share(self.draws <= 0 if self.mean > 0 else self.draws >= 0))

    def p_equivalence(self, margin: float) -> float:
        """p value of "at least `margin` from zero": the larger share of the two sides."""
        return max(self._share(self.draws >= margin), self._share(self.draws <= -margin))

    def _share(self, marked: NDArray[np.bool_]) -> float:
        return 1.0 if self.seeds == 1 else float(marked.sum() + 1) / (len(self.draws) + 1)


def best_setting(settings: Sequence[float], sweep: Sweep, seed: str, draws: int = DRAWS) -> Best:
    """The setting (ascending in `settings`) with the highest mean, the smallest of equals."""
    return _resample(settings, [sweep], seed, draws, lambda best: best[0])


def optimum_shift(settings: Sequence[float], first: Sweep, second: Sweep, seed: str, draws: int = DRAWS) -> Best:
    """How much larger the best setting is on the first group of questions than on the second."""
    return _resample(settings, [first, second], seed, draws, lambda best: best[0] - best[1])


def _resample(settings, sweeps, seed, draws, combine) -> Best:
    names = sorted({film for sweep in sweeps for film in sweep.films})
    tables = [_table(sweep, names) for sweep in sweeps]
    seeds = sweeps[0].values.shape[1]
    generator = generator_of(seed)
    places = np.asarray(settings, dtype=float)
    whole = [_argbest(places, *table, np.ones((1, seeds)), np.ones((1, len(names)))) for table in tables]
    drawn = draw_counts(generator, draws, seeds), draw_counts(generator, draws, len(names))
    best = [_argbest(places, *table, *drawn) for table in tables]
    questions = sum(sweep.values.shape[2] for sweep in sweeps)
    return Best(float(combine(whole)[0]), combine(best), seeds, len(names), questions)


def _table(sweep: Sweep, names: Sequence[str]) -> tuple[Values, Values]:
    """Sums (N, S, F) and counts (F,) per film."""
    place = {name: number for number, name in enumerate(names)}
    member = np.zeros((len(sweep.films), len(names)))
    member[np.arange(len(sweep.films)), [place[film] for film in sweep.films]] = 1
    return sweep.values @ member, member.sum(axis=0)


def _argbest(settings: Values, sums: Values, counts: Values, of_seeds: Values, of_films: Values) -> Values:
    """The best setting under each pair of weights (B, S), (B, F); draws without a question of the group keep all."""
    asked = of_films @ counts
    of_films = np.where(asked[:, None] > 0, of_films, 1.0)
    totals = np.einsum("bs,nsf,bf->bn", of_seeds, sums, of_films, optimize=True)
    return settings[np.argmax(np.round(totals, 9), axis=1)]
