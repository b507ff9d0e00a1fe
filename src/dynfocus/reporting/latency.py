"""Table 4: seconds per answer, the paper's beside those measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy import stats

from dynfocus.paper.register import cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Row, Table
from dynfocus.reporting.verdicts import Verdict


def latency_cell(paper: Comparison, seconds: Sequence[float]) -> Comparison:
    """Mean with Student's t interval over the questions."""
    mean = statistics.fmean(seconds)
    half = 0.0
    if len(seconds) > 1:
        error = statistics.stdev(seconds) / math.sqrt(len(seconds))
        half = float(stats.t.ppf(0.975, len(seconds) - 1)) * error
    ours = {"ours": mean, "low": mean - half, "high": mean + half, "questions": len(seconds), "decimals": 3}
    return paper.model_copy(update={**ours, "verdict": Verdict.OTHER_SCALE.value})


def latency_table(session: Session) -> Table:
    """Table 4 with our latencies; a run or benchmark that was not measured is a gap."""
    found = session.measurement("table_4")
    cells = [cell for cell in cells_of("table_4") if cell.metric == "latency"]
    rows = []
    for label in dict.fromkeys(cell.row for cell in cells):
        built: list[Comparison | str] = []
        for cell in (cell for cell in cells if cell.row == label):
            paper = Comparison(
                paper=cell.number, paper_text=cell.value, unit="s", decimals=cell.decimals, cell_id=cell.id
            )
            seconds = found.get("seconds", {}).get(cell.run, {}).get(cell.benchmark)
            reason = found.get("gaps", {}).get(cell.run, {}).get(cell.benchmark, f"{cell.run} was not timed")
            built.append(
                latency_cell(paper, seconds) if seconds else paper.model_copy(update={"gap": f"missing: {reason}"})
            )
        rows.append(Row(labels=[label], cells=built))
    size, network = session.config.video.image_size, session.jobs.run("dynfocus").network
    columns = [cell.column for cell in cells if cell.row == cells[0].row]
    notes = [
        f"Ours: frames of {size} × {size} at {session.config.video.fps:g} fps, cached features to finished answer, "
        f"at most {found.get('questions', 0)} questions one by one on {found.get('device', 'no device')}; decoding and "
        "the visual encoder are not in it.",
        "Paper: frames of 224 × 224 at 1 fps on an A100.",
        f"DynFocus has L = {network.event_prototypes} and K/L = {network.selection_ratio:g} here.",
        *order_notes(rows, columns),
    ]
    return Table(id="table_4", title="Seconds per answer", heads=["Method"], columns=columns, rows=rows, notes=notes)


def order_notes(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """A line for every column in which the methods come in another order, fastest first, than in the paper."""
    notes = []
    for index, column in enumerate(columns):
        cells = {row.labels[0].partition(" (")[0]: row.number(index) for row in rows}
        if any(cell.ours is None or cell.paper is None for cell in cells.values()):
            continue
        ours, paper = (sorted(cells, key=lambda name: getattr(cells[name], side)) for side in ("ours", "paper"))
        if ours != paper:
            notes.append(f"{column}, fastest first: here {', '.join(ours)}; in the paper {', '.join(paper)}.")
    return notes
