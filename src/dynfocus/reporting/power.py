"""What the tests of the claims can find: the smallest difference per benchmark, from measured variances.

The variances of seeds, films and questions are those of the pairs of runs that claims compare, averaged
over the pairs of a benchmark; `dynfocus.evaluation.crossed` says how they are taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from dynfocus.config.names import BENCHMARKS
from dynfocus.evaluation.crossed import LEVEL, Components, Effect, detectable, mean_components, seeds_needed
from dynfocus.evaluation.evidence import Evidence
from dynfocus.paper.register import Claim, load_claims, margin_of
from dynfocus.reporting.claims import NEEDED_SEEDS, Tested, measure_all
from dynfocus.reporting.headline import UNITS
from dynfocus.reporting.names import benchmark_name, metric_name
from dynfocus.reporting.tables import DECIMALS, Comparison, Table, plain_table

STUDIES = (3, 5, 10, 20)
"""Numbers of seeds for which the table says what they find."""


@dataclass(frozen=True)
class Power:
    """The variances behind a benchmark's claims, and the size of the study they come from.

    borrowed: degrees of freedom that the variance between seeds has from the other claims.
    """

    benchmark: str
    metric: str
    margin: float
    claims: int
    seeds: int
    films: int
    per_film: float
    components: Components
    borrowed: float

    def detectable(self, seeds: int, level: float = LEVEL) -> float:
        """The smallest difference that so many seeds find in 80 % of the cases."""
        errors = self.components.errors(seeds, self.films, self.per_film)
        return detectable(*errors, seeds - 1 + self.borrowed, level)


def power_of_benchmarks(evidence: Evidence, claims: Sequence[Claim] | None = None) -> list[Power]:
    """Power of the claims that compare two runs on a whole benchmark, in the order of the headline."""
    measured = measure_all(evidence, claims or load_claims())
    groups: dict[tuple[str, str], list[tuple[Claim, Effect]]] = {}
    for claim in claims or load_claims():
        found = measured[claim.id]
        if claim.group or ":" in claim.better:
            continue
        if isinstance(found, Tested) and isinstance(found.effect, Effect) and found.effect.seeds >= NEEDED_SEEDS:
            groups.setdefault((claim.benchmark, claim.metric), []).append((claim, found.effect))
    made = [
        Power(
            *names,
            margin=margin_of(pairs[0][0]),
            claims=len(pairs),
            seeds=min(effect.seeds for _, effect in pairs),
            films=min(effect.films for _, effect in pairs),
            per_film=fmean(effect.questions / effect.films for _, effect in pairs),
            components=mean_components([effect.components for _, effect in pairs if effect.components]),
            borrowed=min(effect.df - (effect.seeds - 1) for _, effect in pairs),
        )
        for names, pairs in groups.items()
    ]
    return sorted(made, key=lambda one: list(BENCHMARKS).index(one.benchmark))


def power_table(evidence: Evidence, claims: Sequence[Claim] | None = None) -> Table:
    """A row per benchmark: where the variance comes from, and the smallest difference found in 80 % of the cases."""
    found = power_of_benchmarks(evidence, claims)
    strict = LEVEL / max(1, sum(one.claims for one in found))
    columns = (
        "Films", "Questions", "Seeds", "Variance from seeds", "from films", "from questions",
        *(f"Found, {seeds} seeds" for seeds in STUDIES),
        f"Found, {STUDIES[0]} seeds, strictest", "Seeds for the margin",
    )  # fmt: skip
    notes = [
        "Found: the smallest difference that the two-sided test at 5 % finds in 80 % of the cases; strictest: at 5 % "
        "divided by the number of these claims, the hardest that the correction can be on a single one.",
        "Variance: shares of that of a mean difference with the seeds there are. With ever more seeds the share of "
        "films and questions remains.",
    ]
    rows = [((benchmark_name(one.benchmark), metric_name(one.metric)), power_cells(one, strict)) for one in found]
    return plain_table("power", "What these seeds can find", ("Benchmark", "Metric"), columns, rows, notes=notes)


def power_cells(power: Power, strict: float) -> list[Comparison | str]:
    """The cells of one benchmark."""
    unit = UNITS.get(power.metric, "percent")
    size = power.films, power.per_film
    shares = power.components.shares(power.seeds, *size)
    needed = seeds_needed(power.components, *size, power.margin, power.borrowed)
    finds = [power.detectable(seeds) for seeds in STUDIES] + [power.detectable(STUDIES[0], strict)]
    counts = [power.films, round(power.films * power.per_film), power.seeds]
    return [
        *(Comparison(ours=value, unit="count", decimals=0) for value in counts),
        *(Comparison(ours=100 * share / (sum(shares) or 1), decimals=0) for share in shares),
        *(Comparison(ours=value, unit=unit, decimals=DECIMALS[unit]) for value in finds),
        f"more than 100 (margin {power.margin:g})" if needed is None else f"{needed} (margin {power.margin:g})",
    ]
