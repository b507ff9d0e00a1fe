"""Families of claims whose truth is known, tested as ours are: how often each verdict comes out.

    python -m dynfocus.reporting.simulation --draws 1000        the tables of docs/claims/README.md

Every draw is a family of claims about runs with seeds, films and questions of their own: questions and
films differ in how hard they are, a film may suit one run, and each training is luckier or less so. As
with ours, several claims share one of their runs. The true difference of a claim is none, half the margin
or twice the margin.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from dynfocus.evaluation.crossed import LEVEL, Effect, Values, effect_of, moderated
from dynfocus.reporting.verdicts import Verdict, correct, judge_direction

TRUTHS = (0.0, 0.5, 2.0)
"""True differences, in margins."""
VERDICTS = (Verdict.REPLICATES, Verdict.CONTRADICTED, Verdict.EQUIVALENT, Verdict.UNDECIDED)


@dataclass(frozen=True)
class Study:
    """Sizes of a family and standard deviations, in points of accuracy, of one run's chance to be right.

    shared: claims that compare with the same run. Each run has its own effects of seed, film and both.
    """

    seeds: int = 3
    films: int = 200
    per_film: int = 10
    claims: int = 36
    shared: int = 6
    margin: float = 3.0
    seed: float = 0.7
    film: float = 3.0
    seed_film: float = 3.0

    def truth(self, claim: int) -> float:
        """The true difference of a claim, in points."""
        return self.margin * TRUTHS[claim % len(TRUTHS)]

    def answers(self, generator: np.random.Generator, hard: Values, shift: float) -> Values:
        """Right (100) and wrong (0) answers (S, Q) of a run that is `shift` points above the others."""
        luck = (
            self.seed * generator.standard_normal((self.seeds, 1))
            + self.film * generator.standard_normal((1, self.films))
            + self.seed_film * generator.standard_normal((self.seeds, self.films))
        )
        chance = hard + shift + np.repeat(luck, self.per_film, axis=1)
        return 100.0 * (100 * generator.random(chance.shape) < chance)

    def draw(self, generator: np.random.Generator) -> list[Effect]:
        """The measured effects of one family of claims."""
        films = np.repeat(np.arange(self.films), self.per_film)
        hard = np.clip(generator.normal(55, 8, self.films)[films] + generator.uniform(-20, 20, len(films)), 20, 80)
        effects: list[Effect] = []
        control: Values = np.empty(0)
        for claim in range(self.claims):
            if claim % self.shared == 0:
                control = self.answers(generator, hard, 0.0)
            effects.append(effect_of(self.answers(generator, hard, self.truth(claim)) - control, films))
        return moderated(effects)


@dataclass(frozen=True)
class Rates:
    """Shares over all draws: verdicts by truth, intervals that hold the truth, and false ones among the findings.

    false_directions: of what a family calls replicated or contradicted, how much is not so; false_equivalents likewise.
    """

    verdicts: dict[float, dict[Verdict, float]]
    coverage: float
    false_directions: float
    false_equivalents: float


def simulate(study: Study, draws: int, seed: int = 0) -> Rates:
    """Test `draws` families of claims."""
    generator = np.random.default_rng(seed)
    counts = {truth: dict.fromkeys(VERDICTS, 0) for truth in TRUTHS}
    covered, false_directions, false_equivalents = 0, [], []
    for _ in range(draws):
        effects = study.draw(generator)
        verdicts = judge(effects, study.margin)
        truths = [study.truth(claim) for claim in range(study.claims)]
        for claim, (effect, verdict) in enumerate(zip(effects, verdicts, strict=True)):
            counts[TRUTHS[claim % len(TRUTHS)]][verdict] += 1
            covered += replace(effect, mean=effect.mean - truths[claim]).p_difference() > LEVEL
        told = list(zip(truths, verdicts, strict=True))
        directed = [
            truth <= 0 if verdict == Verdict.REPLICATES else truth >= 0
            for truth, verdict in told
            if verdict in (Verdict.REPLICATES, Verdict.CONTRADICTED)
        ]
        alike = [truth >= study.margin for truth, verdict in told if verdict == Verdict.EQUIVALENT]
        false_directions.append(share(directed))
        false_equivalents.append(share(alike))
    rates = {
        truth: {verdict: number / sum(found.values()) for verdict, number in found.items()}
        for truth, found in counts.items()
    }
    return Rates(
        rates, covered / (draws * study.claims), float(np.mean(false_directions)), float(np.mean(false_equivalents))
    )


def judge(effects: Iterable[Effect], margin: float) -> list[Verdict]:
    """Verdicts of a family, corrected for their number."""
    effects = list(effects)
    apart = correct([effect.p_difference() for effect in effects])
    alike = correct([effect.p_equivalence(margin) for effect in effects])
    return [judge_direction(effect.mean, *pair) for effect, *pair in zip(effects, apart, alike, strict=True)]


def share(marked: list[bool]) -> float:
    """Share of the marked, 0 where there is nothing."""
    return sum(marked) / len(marked) if marked else 0.0


def main() -> None:
    """Print the tables of docs/claims/README.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000, help="families of claims")
    draws = parser.parse_args().draws
    print("| seeds | true difference | replicates | contradicted | equivalent | undecided |")
    print("| --- " * 6 + "|")
    notes = []
    for seeds in (3, 5):
        found = simulate(Study(seeds=seeds), draws)
        for truth, rates in found.verdicts.items():
            cells = " | ".join(f"{100 * rates[verdict]:.1f} %" for verdict in VERDICTS)
            print(f"| {seeds} | {truth:g} margins | {cells} |")
        notes.append(
            f"| {seeds} | {100 * found.coverage:.1f} % | {100 * found.false_directions:.1f} % | "
            f"{100 * found.false_equivalents:.1f} % |"
        )
    print("\n| seeds | 95 % intervals that hold the truth | false directions | false equivalents |")
    print("| --- | --- | --- | --- |", *notes, sep="\n")


if __name__ == "__main__":
    main()
