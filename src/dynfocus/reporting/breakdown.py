"""Scores by group: capability, task, duration, as rows of a table and bars of a figure (C.3)."""

from __future__ import annotations

from matplotlib.figure import Figure

from dynfocus.paper.register import load_cells
from dynfocus.reporting.results import Results
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, own_cell, plain_table, unread_notes

GROUP_METRICS = {"mlvu": {"summary": "score", "subPlot": "score"}}
"""Labels whose metric is not the accuracy: the generation tasks of MLVU carry a score of 2 to 10."""


def short_names(benchmark: str, grouping: str) -> dict[str, str]:
    """Label -> the paper's abbreviation and name (`TG: temporal grounding`), in the paper's order."""
    names = {}
    for cell in load_cells():
        if cell.benchmark == benchmark and cell.group.startswith(f"{grouping}=") and cell.table == "c_3":
            names[cell.group.partition("=")[2]] = cell.row.partition(" ")[2]
    return names


def group_table(session: Session, item: str, benchmark: str, grouping: str, title: str) -> Table:
    """A row per label that the paper names or the results have, a column per run of the item."""
    results, entry = session.results(item), session.experiments.items[item]
    names = short_names(benchmark, grouping)
    for run in entry.runs:
        names |= {label: label for label in results.labels(run, benchmark, grouping) if label not in names}
    rows = [
        ((name,), [group_cell(results, run, benchmark, grouping, label) for run in entry.runs])
        for label, name in names.items()
    ]
    titles = [session.experiments.runs[run].title for run in entry.runs]
    notes = ["A question counts under each of its labels."] if grouping == "capability" else []
    notes += unread_notes(results, [(run, benchmark) for run in entry.runs])
    return plain_table(f"{item}_{benchmark}", title, (grouping.capitalize(),), titles, rows, notes=notes)


def group_cell(results: Results, run: str, benchmark: str, grouping: str, label: str) -> Comparison:
    """Accuracy, or the score of a generation task, of one run on one label."""
    metric = GROUP_METRICS.get(benchmark, {}).get(label, "accuracy")
    found = results.get(run, benchmark, metric, f"{grouping}={label}")
    return own_cell(found, "score10" if metric == "score" else "percent")


def group_figure(table: Table) -> Figure:
    """Horizontal bars with intervals of the accuracies of a group table; scores are left out."""
    from dynfocus.reporting.figures import percent_bars

    series = {
        column: {
            row.labels[0]: cell
            for row in table.rows
            if isinstance(cell := row.cells[index], Comparison) and cell.unit == "percent"
        }
        for index, column in enumerate(table.columns)
    }
    return percent_bars(series, "accuracy (%)")
