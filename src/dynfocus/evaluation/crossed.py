"""Differences between two runs when both the trainings and the films are samples: interval, tests, power.

A run is trained with S seeds, and each answers the same Q questions on F films. The difference of two
runs on question q under seed s is taken apart as

    d_sq = μ + seed_s + film_f + question_q + seed×film_sf + rest_sq

with everything but μ random; seeds and films are crossed, questions are nested in films. The variance
of the mean comes from the mean squares of the S × F table (method of moments),

    V = MS(seeds) / SF  +  max(0, MS(films) - MS(both)) / SF,

as in studies where a few readers judge the same cases (Dorfman, Berbaum and Metz 1992; Hillis 2007).
The first part is known with S - 1 degrees of freedom, the second well, so the error of the mean is
distributed as the sum of a scaled Student's t and a normal (Behrens and Fisher). One t with the degrees
of freedom of Satterthwaite or Hillis finds differences that are not there, with three seeds and at
p = 0.005 five times too often; this sum does not (`docs/claims/README.md`). A fit by likelihood gives
nothing more on complete data, and its usual intervals have the same fault.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

POWER = 0.8
LEVEL = 0.05
SEED_COUNTS = (3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
Values = NDArray[np.floating]

GRID = np.linspace(-7, 7, 201)
NORMAL = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()
"""Normal weights of the points of `GRID`."""
ROUNDING = 1e-9
SMALLEST = 0.035
"""Least error from seeds, as a share of that from films: half the distance of two points of `GRID`."""
PLACES = (np.arange(16) + 0.5) / 16
BISECTIONS = 30


@dataclass(frozen=True)
class Components:
    """Variances of one difference by source, each at least 0; `rest` is what seed and question leave open."""

    seed: float
    film: float
    question: float
    seed_film: float
    rest: float

    def mean_squares(self, seeds: int, films: int, per_film: float) -> tuple[float, float, float]:
        """Expected mean squares of seeds, films and both, for `per_film` questions a film."""
        both = self.seed_film + self.rest / per_film
        return films * self.seed + both, seeds * (self.film + self.question / per_film) + both, both

    def errors(self, seeds: int, films: int, per_film: float) -> tuple[float, float]:
        """Standard errors of the mean difference that a study of this size has from seeds and from films."""
        return split_error(*self.mean_squares(seeds, films, per_film), seeds, films)

    def shares(self, seeds: int, films: int, per_film: float) -> tuple[float, float, float]:
        """Variance of the mean difference that seeds, films and questions bring in; what is crossed goes with seeds."""
        crossed = self.seed_film / (seeds * films) + self.rest / (seeds * films * per_film)
        return self.seed / seeds + crossed, self.film / films, self.question / (films * per_film)


@dataclass(frozen=True)
class Effect:
    """A mean difference with the standard errors that seeds, known with `df` degrees of freedom, and films give it.

    unrest: the mean square of seeds over that of seeds × films, 1 where trainings differ by no more than their answers.
    One seed says nothing of others: its interval is infinite, its p values are 1.
    """

    mean: float
    seed_error: float
    film_error: float
    df: float
    seeds: int
    films: int
    questions: int
    unrest: float = 1.0
    components: Components | None = None

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval of confidence 1 - level."""
        if self.seeds == 1:
            return -math.inf, math.inf
        half = float(critical(self.seed_error, self.film_error, self.df, level))
        return self.mean - half, self.mean + half

    def p_difference(self) -> float:
        """Two-sided p value of "no difference"."""
        return 1.0 if self.mean == 0 else min(1.0, 2 * self._beyond(abs(self.mean)))

    def p_equivalence(self, margin: float) -> float:
        """p value of "at least `margin` apart": the larger of two one-sided tests (Schuirmann 1987)."""
        return self._beyond(margin - abs(self.mean))

    def _beyond(self, distance: float) -> float:
        if self.seeds == 1:
            return 1.0
        return float(tail(distance, self.seed_error, self.film_error, self.df))


def moderated(effects: Sequence[Effect]) -> list[Effect]:
    """The effects of several comparisons, each one's variance between seeds drawn towards what they have in common.

    Few seeds tell little of the variance between seeds, and many comparisons tell it together: the moderated t of
    Smyth (2004, Statistical Applications in Genetics and Molecular Biology 3:3). `unrest` is taken to vary about a
    common value with d0 degrees of freedom, both fitted by moments of its logarithm; the more alike comparisons are,
    the larger is d0. Effects without a variance between seeds stay as they are, as do fewer than three.
    """
    told = [effect for effect in effects if effect.seeds > 1 and effect.unrest > 0]
    if len(told) < 3:
        return list(effects)
    common, weight = _common_unrest(
        np.array([effect.unrest for effect in told]), np.array([effect.df for effect in told], dtype=float)
    )
    most = sum(effect.df for effect in told)

    def draw_in(effect: Effect) -> Effect:
        if effect.seeds == 1 or effect.unrest == 0:
            return effect
        mixed = common if math.isinf(weight) else (weight * common + effect.df * effect.unrest) / (weight + effect.df)
        components = effect.components
        if components is not None:
            both = components.mean_squares(effect.seeds, effect.films, effect.questions / effect.films)[2]
            components = replace(components, seed=max(0.0, (mixed - 1) * both / effect.films))
        return replace(
            effect,
            seed_error=effect.seed_error * math.sqrt(mixed / effect.unrest),
            df=min(effect.df + weight, most),
            components=components,
        )

    return [draw_in(effect) for effect in effects]


def _common_unrest(unrest: Values, df: Values) -> tuple[float, float]:
    """The common value s0 and its degrees of freedom d0 behind scaled F-like values with `df` degrees of freedom."""
    logs = np.log(unrest) - special.digamma(df / 2) + np.log(df / 2)
    spread = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    if spread <= special.polygamma(1, 5e5):
        return float(np.average(unrest, weights=df)), math.inf
    half = optimize.brentq(lambda x: float(special.polygamma(1, x)) - spread, 1e-3, 1e6)
    return float(np.exp(logs.mean() + special.digamma(half) - np.log(half))), 2 * half


def split_error(of_seeds: float, of_films: float, of_both: float, seeds: int, films: int) -> tuple[float, float]:
    """Standard errors from seeds and from films, from the mean squares of an S × F table."""
    cells = seeds * films
    return math.sqrt(of_seeds / cells), math.sqrt(max(0.0, of_films - of_both) / cells)


def tail(distance: ArrayLike, seed_error: ArrayLike, film_error: ArrayLike, df: float) -> Values:
    """P(seed_error · t + film_error · z > distance) for t of Student's distribution with `df` and a normal z."""
    far, of_films, of_seeds = (np.asarray(x, dtype=float)[..., None] for x in (distance, film_error, seed_error))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.nan_to_num((far - of_films * GRID) / np.maximum(of_seeds, SMALLEST * of_films), nan=0.0)
    return special.stdtr(df, -scaled) @ NORMAL


def critical(seed_error: ArrayLike, film_error: ArrayLike, df: float, level: float = LEVEL) -> Values:
    """The distance that chance exceeds, to both sides together, with probability `level`."""
    total = np.asarray(seed_error, dtype=float) + np.asarray(film_error, dtype=float)
    low, high = np.zeros_like(total), total * float(special.stdtrit(df, 1 - level / 20))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        beyond = tail(middle, seed_error, film_error, df) > level / 2
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return high


def pseudo_values(values: Values, parts: NDArray[np.bool_] | None = None) -> Values:
    """Values (S, Q) whose mean over questions is each seed's metric, and whose spread is that of the metric.

    parts (P, Q): which questions count under each label of a macro mean, linearised about its value; None
    for a plain mean, whose values stand for themselves.
    """
    if parts is None:
        return values
    weights = parts / parts.sum(axis=1, keepdims=True)
    means = values @ weights.T
    spread = parts.shape[1] / parts.shape[0] * (values * weights.sum(axis=0) - means @ weights)
    return means.mean(axis=1, keepdims=True) + spread


def effect_of(differences: Values, films: Sequence[str] | NDArray[np.intp]) -> Effect:
    """The mean of differences (S, Q), seeds by questions, the question in column q being on film `films[q]`.

    Raises:
        ValueError: fewer than two films.
    """
    seeds, questions = differences.shape
    _, film = np.unique(np.asarray(films), return_inverse=True)
    counts = np.bincount(film)
    if len(counts) < 2:
        raise ValueError("one film says nothing about others")
    table = _film_table(differences, film, counts)
    mean = float(differences.mean())
    if seeds == 1:
        return Effect(mean, math.inf, math.inf, 0, 1, len(counts), questions)
    of_seeds, of_films, of_both = _mean_squares(table)
    if of_seeds < ROUNDING * of_both:  # means of counts may be equal by chance, and then say nothing of trainings
        of_seeds = of_both
    question, rest = _inside_films(differences, film, counts)
    per_film = questions / len(counts)
    components = Components(
        seed=max(0.0, (of_seeds - of_both) / len(counts)),
        film=max(0.0, (of_films - of_both) / seeds - question / per_film),
        question=question,
        seed_film=max(0.0, of_both - rest / per_film),
        rest=rest,
    )
    errors = split_error(of_seeds, of_films, of_both, seeds, len(counts))
    unrest = of_seeds / of_both if of_both > 0 else 0.0
    return Effect(mean, *errors, seeds - 1, seeds, len(counts), questions, unrest, components)


def _film_table(values: Values, film: NDArray[np.intp], counts: NDArray[np.intp]) -> Values:
    """(S, F): per film what it adds to the mean over questions, so that films with more questions weigh more."""
    centred = values - values.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(film, weights=row, minlength=len(counts)) for row in centred])
    return values.mean(axis=1, keepdims=True) + sums * (len(counts) / values.shape[1])


def _mean_squares(table: Values) -> tuple[float, float, float]:
    """Mean squares of rows, columns and their interaction of a complete two-way table."""
    rows, columns = table.shape
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_row[:, None] - by_column + table.mean()
    return (
        float(columns * by_row.var(ddof=1)),
        float(rows * by_column.var(ddof=1)),
        float((rest**2).sum() / ((rows - 1) * (columns - 1))),
    )


def _inside_films(values: Values, film: NDArray[np.intp], counts: NDArray[np.intp]) -> tuple[float, float]:
    """Variance between the questions of a film, and what is left between seeds on one question."""
    seeds, questions = values.shape
    free = questions - len(counts)
    if free == 0:
        return 0.0, 0.0
    means = np.stack([np.bincount(film, weights=row, minlength=len(counts)) for row in values]) / counts
    within = values - means[:, film]
    shared = within.mean(axis=0)
    rest = float(((within - shared) ** 2).sum() / ((seeds - 1) * free))
    return max(0.0, float((shared**2).sum() / free) - rest / seeds), rest


def detectable(seed_error: float, film_error: float, df: float, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest difference that the two-sided test at `level` finds in `power` of the cases.

    The error from seeds is itself estimated in each study: the power is a mean over what it may be taken for.
    """
    total = math.hypot(seed_error, film_error)
    if total == 0:
        return 0.0
    taken = seed_error * np.sqrt(special.chdtri(df, 1 - PLACES) / df)
    limits = critical(taken, np.full_like(taken, film_error), df, level)
    most = float(limits.max()) + 10 * total

    def lacking(difference: float) -> float:
        return float(special.ndtr((difference - limits) / total).mean()) - power

    return float(optimize.brentq(lacking, 0.0, most))


def seeds_needed(
    components: Components, films: int, per_film: float, difference: float, borrowed: float = 0.0
) -> int | None:
    """About how many seeds find a difference in 80 % of the cases; None where 100 are not enough.

    borrowed: degrees of freedom that the variance between seeds has from other comparisons.
    """

    def finds(seeds: int) -> bool:
        return detectable(*components.errors(seeds, films, per_film), seeds - 1 + borrowed) <= abs(difference)

    place = bisect_left(SEED_COUNTS, True, key=finds)
    return SEED_COUNTS[place] if place < len(SEED_COUNTS) else None


def mean_components(found: Sequence[Components]) -> Components:
    """The mean variances of several differences."""
    names = [field.name for field in fields(Components)]
    return Components(**{name: math.fsum(getattr(one, name) for one in found) / len(found) for name in names})
