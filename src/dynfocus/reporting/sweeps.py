"""B.7: Video-MME accuracy over L and over K/L, for short, medium and long videos."""

from __future__ import annotations

from matplotlib.figure import Figure

from dynfocus.reporting.claims import SWEEP_UNITS
from dynfocus.reporting.register import cells_of
from dynfocus.reporting.results import Measured, Results
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, own_cell, plain_table
from dynfocus.reporting.verdicts import Verdict

ITEM = "prototypes"
BENCHMARK = "video_mme"
DURATIONS = ("short", "medium", "long")


def sweep_settings(session: Session, sweep: str) -> dict[float, str]:
    """Setting -> run, from the item's runs (`prototypes_25` is L = 25, `ratio_80` is K/L = 0.8), in order."""
    runs = [run for run in session.experiments.tables[ITEM].runs if run.rpartition("_")[0] == sweep]
    return dict(sorted((int(run.rpartition("_")[2]) * SWEEP_UNITS[sweep], run) for run in runs))


def sweep_table(session: Session, sweep: str, head: str, title: str) -> Table:
    """A row per setting, a column per duration and one for all videos."""
    results = session.results(ITEM)
    groups = [*(f"duration={duration}" for duration in DURATIONS), ""]
    rows = [
        ((f"{setting:g}",), [own_cell(results.get(run, BENCHMARK, "accuracy", group)) for group in groups])
        for setting, run in sweep_settings(session, sweep).items()
    ]
    return plain_table(f"{ITEM}_{sweep}", title, (head,), (*DURATIONS, "all"), rows)


def sweep_curves(session: Session, sweep: str) -> dict[str, dict[float, tuple[float, float, float]]]:
    """Duration -> setting -> (accuracy, low, high); settings without a result are left out."""
    results, settings = session.results(ITEM), sweep_settings(session, sweep)
    found = {
        duration: {
            setting: results.get(run, BENCHMARK, "accuracy", f"duration={duration}")
            for setting, run in settings.items()
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

    return curves(sweep_curves(session, sweep), label, "Video-MME accuracy (%)")


def optimum_table(session: Session) -> Table:
    """The best L and K/L per duration, the smallest of equals; the paper prints the best L only."""
    printed = {cell.group.partition("=")[2]: cell.number for cell in cells_of("b_7") if cell.group}
    rows = []
    for duration in DURATIONS:
        best = {sweep: best_cell(session, sweep, duration) for sweep in SWEEP_UNITS}
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
    notes = ["An optimum has no interval; the claims on B.7 test its direction over seeds."]
    return plain_table("b_7_optimum", "Best setting by length", ("Videos",), ("Best L", "Best K/L"), rows, notes=notes)


def best_cell(session: Session, sweep: str, duration: str) -> Comparison:
    """The setting with the highest accuracy on a duration."""
    curve = sweep_curves(session, sweep).get(duration, {})
    decimals = 0 if sweep == "prototypes" else 1
    if not curve:
        return Comparison(
            unit="count", decimals=decimals, gap=f"missing: no {sweep} run has scores of {duration} videos"
        )
    best = max(sorted(curve), key=lambda setting: curve[setting][0])
    record = record_of(session.results(ITEM), sweep_settings(session, sweep)[best])
    seeds = len(session.seeds(ITEM))
    return Comparison(ours=best, unit="count", decimals=decimals, record=record, seeds=seeds)


def record_of(results: Results, run: str) -> str:
    """The score file of a run, for the first seed."""
    return str(results.path(run, results.seeds[0]).relative_to(results.root))
