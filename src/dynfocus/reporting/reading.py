"""What a table or figure says, read off the data: the directions of the paper on its runs, how sure, and why.

read_item(session, "table_7", [table])      in a notebook: a list of sentences
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dynfocus.paper.register import Claim, load_claims
from dynfocus.reporting.claims import Outcome, count_verdicts, evidence_of, judge_claims
from dynfocus.reporting.numbers import digits, signed
from dynfocus.reporting.session import Session, substitution_notes
from dynfocus.reporting.tables import Table
from dynfocus.reporting.verdicts import judge_obstacle
from dynfocus.steps.claims import side_of


@dataclass(frozen=True)
class Reading:
    """Sentences under three heads: what came out, how sure that is, and why it may differ from the paper."""

    parts: dict[str, list[str]]

    def _repr_html_(self) -> str:
        lists = (
            Markup("<h3>{}</h3><ul>{}</ul>").format(head, Markup("").join(map(Markup("<li>{}</li>").format, lines)))
            for head, lines in self.parts.items()
            if lines
        )
        return Markup("").join(lists)


def read_item(session: Session, item: str, tables: Iterable[Table] = ()) -> Reading:
    """The reading of a report item; `tables` are those that it shows."""
    wanted = [claim.id for claim in load_claims() if concerns(session, item, claim)]
    outcomes = judge_claims(evidence_of(session.jobs), wanted=wanted) if wanted else []
    return Reading(
        {
            "What came out": [*directions(outcomes), *cells(tables)],
            "How sure": certainty(outcomes),
            "Why it may differ": reservations(session, item, tables),
        }
    )


def concerns(session: Session, item: str, claim: Claim) -> bool:
    """Whether an item shows what a claim compares: both runs on its benchmark, or runs of its sweep."""
    entry = session.experiments.items[item]
    if claim.benchmark not in entry.benchmarks:
        return False
    if claim.kind != "pair":
        return any(run.startswith(f"{claim.better}_") for run in entry.runs)
    return {side_of(side, claim)[0] for side in (claim.better, claim.worse)} <= set(entry.runs)


def directions(outcomes: Sequence[Outcome]) -> list[str]:
    """How many directions ended how, and each with its difference."""
    if not outcomes:
        return []
    counts = ", ".join(f"{verdict} {number}" for verdict, number in count_verdicts(outcomes).items() if number)
    return [f"Directions that the paper states or implies here: {len(outcomes)}; {counts}.", *map(sentence, outcomes)]


def sentence(outcome: Outcome) -> str:
    """A claim, its difference with the interval of 95 %, and its verdict."""
    found = outcome.verdict
    if outcome.difference is not None:
        bounds = [] if outcome.low is None or outcome.high is None else [outcome.low, outcome.high]
        interval = f" [{', '.join(signed(bound, digits(outcome.margin)) for bound in bounds)}]" if bounds else ""
        unit = outcome.metric if outcome.worse else f"the best setting ({outcome.metric})"
        found = f"{signed(outcome.difference, digits(outcome.margin))}{interval} in {unit}, {outcome.verdict}"
    return f"{outcome.statement} ({outcome.source}): {found}" + (f"; {outcome.reason}." if outcome.reason else ".")


def cells(tables: Iterable[Table]) -> list[str]:
    """How much of the paper's tables was measured, and how that stands to the paper where it can be compared."""
    found = [cell for table in tables for cell in table.comparisons() if cell.paper is not None]
    if not found:
        return []
    ours = [cell for cell in found if cell.ours is not None]
    verdicts = [cell.verdict for cell in ours]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    said = [f"Numbers of the paper with one of ours beside them: {len(ours)} of {len(found)}."]
    return said + ([f"Against the paper's values: {counts}."] if counts else [])


def certainty(outcomes: Sequence[Outcome]) -> list[str]:
    """Seeds, films and the differences that these would show."""
    tested = [outcome for outcome in outcomes if outcome.difference is not None]
    if not tested:
        return ["No direction is tested here; what stands in the table was measured or counted once, on this machine."]
    seeds, films = ([len(one.seeds) for one in tested], [one.films for one in tested])
    lines = [f"Seeds per direction: {_span(seeds)}; films: {_span(films)}. Seeds and films both count as samples."]
    finds = [round(one.detectable, digits(one.margin)) for one in tested if one.detectable is not None]
    if finds:
        lines.append(
            f"The smallest differences found in 80 % of the cases: {_span(finds)}; margins "
            f"below which two runs count as equal: {_span([one.margin for one in tested])}."
        )
    return lines


def reservations(session: Session, item: str, tables: Iterable[Table]) -> list[str]:
    """Scale, judge, replaced data and gaps: whatever sets these numbers apart from the paper's."""
    benchmarks = session.experiments.items[item].benchmarks
    judges = [judge_obstacle(session.config, name) for name in benchmarks]
    gaps = [cell.gap for table in tables for cell in table.comparisons() if cell.gap]
    said = [session.scale.obstacle, *judges, *substitution_notes(session.config)]
    said += [f"{gaps.count(gap)} numbers are missing: {gap}" for gap in dict.fromkeys(gaps)]
    return [line[0].upper() + line[1:].rstrip(".") + "." for line in dict.fromkeys(said) if line]


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
