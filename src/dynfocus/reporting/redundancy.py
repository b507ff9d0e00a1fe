"""Appendix A: redundancy of the benchmarks, from the measured similarities."""

from __future__ import annotations

import numpy as np

from dynfocus.measuring.similarity import Similarities, sensitivity, summarise
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table


def measured_curves(session: Session) -> tuple[dict[str, list[Similarities]], dict[str, str]]:
    """The curves of the sampled videos per benchmark, and why others have none."""
    found = session.measurement("redundancy")
    curves = {
        name: [
            Similarities(one["video"], one["text"], np.array(one["consecutive"]), np.array(one["to_text"]))
            for one in own
        ]
        for name, own in found.get("curves", {}).items()
    }
    return curves, found.get("gaps", {})


def redundancy_table(curves: dict[str, list[Similarities]], gaps: dict[str, str]) -> Table:
    """Mean r_d and r_a per benchmark."""
    rows = []
    for name, own in curves.items():
        found = summarise(name, own)
        rows.append(((name,), (f"{100 * found.repetitive:.1f}", f"{100 * found.irrelevant:.1f}", str(found.videos))))
    rows += [((name,), ("missing", "missing", "0")) for name in gaps]
    notes = [f"{name}: {reason}" for name, reason in gaps.items()]
    notes.append("The paper's own ratios are in a figure of the main paper, not in the text at hand.")
    columns = ("Repetitive r_d (%)", "Irrelevant r_a (%)", "Videos")
    return plain_table("redundancy", "Redundancy of the benchmarks", ("Benchmark",), columns, rows, notes=notes)


def sensitivity_table(curves: dict[str, list[Similarities]]) -> Table:
    """r_d / r_a over all sampled videos of each benchmark at other thresholds."""
    by_name = {name: sensitivity(own) for name, own in curves.items()}
    thresholds = sorted({threshold for row in by_name.values() for threshold in row})
    rows = [
        (
            (f"{threshold:.1f}",),
            [f"{100 * row[threshold][0]:.0f} / {100 * row[threshold][1]:.0f}" for row in by_name.values()],
        )
        for threshold in thresholds
    ]
    notes = ["The paper takes 0.6 for r_d and 0.4 for r_a."]
    title = "Sensitivity to the threshold: r_d / r_a (%)"
    return plain_table("redundancy_thresholds", title, ("Threshold",), list(by_name), rows, notes=notes)
