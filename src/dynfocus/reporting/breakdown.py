"""Scores by group: capability, task, duration, as rows of a table and bars of a figure (C.3)."""

from __future__ import annotations

from matplotlib.figure import Figure

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.paper.register import load_cells
from dynfocus.reporting.results import Results
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, own_cell, plain_table, unread_notes

GROUP_METRICS = {"mlvu": {"summary": "score", "subPlot": "score"}}
"""Labels whose metric is not the accuracy: the generation tasks of MLVU carry a score of 2 to 10."""


def short_names(name: str, grouping: str) -> dict[str, str]:
    """Label -> the paper's abbreviation and name (`TG: temporal grounding`), in the paper's order."""
    names = {}
    for cell in load_cells():
        if cell.benchmark == name and cell.group.startswith(f"{grouping}=") and cell.table == "c_3":
            label = cell.group.partition("=")[2]
            marks = " (mark, 2 to 10)" if label in GROUP_METRICS.get(name, {}) else ""
            names[label] = f"{cell.row.partition(' ')[2]}{marks}"
    return names


def group_table(session: Session, item: str, name: str, grouping: str, title: str) -> Table:
    """A row per label that the paper names or the results have, a column per run of the item."""
    results, entry = session.results(item), session.experiments.items[item]
    names = short_names(name, grouping)
    for run in entry.runs:
        names |= {label: label for label in results.labels(run, name, grouping) if label not in names}
    rows = [
        ((shown,), [group_cell(results, run, name, grouping, label) for run in entry.runs])
        for label, shown in names.items()
    ]
    titles = [session.experiments.runs[run].title for run in entry.runs]
    notes = ["A question counts under each of its labels."] if grouping == "capability" else []
    notes += unread_notes(results, [(run, name) for run in entry.runs])
    return plain_table(f"{item}_{name}", title, (grouping.capitalize(),), titles, rows, notes=notes)


def group_cell(results: Results, run: str, name: str, grouping: str, label: str) -> Comparison:
    """Accuracy, or the score of a generation task, of one run on one label."""
    metric = GROUP_METRICS.get(name, {}).get(label, "accuracy")
    found = results.get(run, name, metric, f"{grouping}={label}")
    return own_cell(found, "score10" if metric == "score" else "percent")


def group_figure(table: Table, name: str) -> Figure:
    """Horizontal bars with intervals of the accuracies of a group table of a benchmark; marks are left out."""
    from dynfocus.reporting.figures import percent_bars

    series = {
        column: {
            row.labels[0]: cell
            for row in table.rows
            if isinstance(cell := row.cells[index], Comparison) and cell.unit == "percent"
        }
        for index, column in enumerate(table.columns)
    }
    return percent_bars(series, "accuracy (%)", benchmark(name).chance)
