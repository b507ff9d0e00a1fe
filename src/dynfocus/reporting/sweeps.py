"""B.7: Video-MME accuracy over L and over K/L, for short, medium and long videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.evidence import Evidence
from dynfocus.evaluation.optimum import best_setting
from dynfocus.paper.register import cells_of
from dynfocus.reporting.claims import SWEEP_FIELDS, evidence_of, sweep_runs, sweep_values
from dynfocus.reporting.results import Measured
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, own_cell, plain_table
from dynfocus.reporting.verdicts import Verdict

ITEM = "prototypes"
BENCHMARK = "video_mme"
DURATIONS = ("short", "medium", "long")


@dataclass(frozen=True)
class Point:
    """A run of a sweep: the setting that it answers with here, and the paper's."""

    run: str
    here: float
    paper: float


def sweep_points(session: Session, sweep: str) -> list[Point]:
    """The item's runs of a sweep, in the order of the setting; `prototypes_25` has the paper's L = 25."""
    paper = sweep_runs(session.experiments.items[ITEM].runs, sweep)
    points = [
        Point(run, getattr(session.jobs.run(run).network, SWEEP_FIELDS[sweep]), setting)
        for setting, run in paper.items()
    ]
    return sorted(points, key=lambda point: point.paper)


def sweep_table(session: Session, sweep: str, head: str, title: str) -> Table:
    """A row per setting, a column per duration and one for all videos."""
    results, points = session.results(ITEM), sweep_points(session, sweep)
    groups = [*(f"duration={duration}" for duration in DURATIONS), ""]
    rows = [
        (
            (f"{point.here:g}", f"{point.paper:g}"),
            [own_cell(results.get(point.run, BENCHMARK, "accuracy", group)) for group in groups],
        )
        for point in points
    ]
    notes = [f"{head} is the paper's, scaled by this profile's default over the paper's."] if is_scaled(points) else []
    heads = (f"{head} here", f"{head} of the paper")
    return plain_table(f"{ITEM}_{sweep}", title, heads, (*DURATIONS, "all"), rows, notes=notes)


def is_scaled(points: Sequence[Point]) -> bool:
    """Whether this profile sweeps other settings than the paper."""
    return any(point.here != point.paper for point in points)


def sweep_curves(session: Session, sweep: str) -> dict[str, dict[float, tuple[float, float, float]]]:
    """Duration -> setting -> (accuracy, low, high); settings without a result are left out."""
    results, points = session.results(ITEM), sweep_points(session, sweep)
    found = {
        duration: {
            point.here: results.get(point.run, BENCHMARK, "accuracy", f"duration={duration}") for point in points
        }
        for duration in DURATIONS
    }
    curves = {
        duration: {
            setting: (one.value, one.low, one.high) for setting, one in points.items() if isinstance(one, Measured)
        }
        for duration, points in found.items()
    }
    return {duration: points for duration, points in curves.items() if points}


def sweep_figure(session: Session, sweep: str, label: str) -> Figure:
    """One curve per duration, its best setting ringed."""
    from dynfocus.reporting.figures import curves

    where = f"{label} of the {session.config.profile} profile" if is_scaled(sweep_points(session, sweep)) else label
    return curves(sweep_curves(session, sweep), where, "Video-MME accuracy (%)", chance=benchmark("video_mme").chance)


def optimum_table(session: Session) -> Table:
    """The best L and K/L per duration, in the paper's settings, with the interval over seeds and films."""
    printed = {cell.group.partition("=")[2]: cell.number for cell in cells_of("b_7") if cell.group}
    evidence, rows = evidence_of(session.jobs), []
    for duration in DURATIONS:
        best = {sweep: best_cell(evidence, sweep, duration) for sweep in SWEEP_FIELDS}
        paper = printed[duration]
        text = "" if paper is None else f"{paper:g}"
        verdict = Verdict.OTHER_SCALE if session.scale.obstacle else Verdict.NOT_ATTEMPTED
        update = {
            "paper": paper,
            "paper_text": text,
            "verdict": verdict.value,
            "cell_id": f"b_7.optimal_prototypes.{duration}",
        }
        rows.append(((f"{duration} videos",), (best["prototypes"].model_copy(update=update), best["ratio"])))
    notes = [
        "The smallest of equals. Interval: 95 % of the best settings of resampled seeds and films, over all seeds that "
        "there is evidence of; one seed has none. It is wide where the curve is flat."
    ]
    if is_scaled(sweep_points(session, "prototypes")):
        notes.append("L is the paper's; the table of the sweep has the L of this profile that stands for it.")
    return plain_table("b_7_optimum", "Best setting by length", ("Videos",), ("Best L", "Best K/L"), rows, notes=notes)


def best_cell(evidence: Evidence, sweep: str, duration: str) -> Comparison:
    """The paper's setting with the highest accuracy on a duration."""
    decimals = 0 if sweep == "prototypes" else 1
    found = sweep_values(evidence, sweep, BENCHMARK, "accuracy", [f"duration={duration}"])
    if found is None or not found[2][0].films:
        return Comparison(
            unit="count", decimals=decimals, gap=f"missing: no {sweep} run has answers on {duration} videos"
        )
    settings, keys, (values,) = found
    best = best_setting(settings, values, f"{sweep}/{duration}")
    low, high = best.interval()
    bounds = {"low": low, "high": high} if len(keys) > 1 else {}
    return Comparison(
        ours=best.mean, unit="count", decimals=decimals, seeds=len(keys), questions=best.questions, **bounds
    )
