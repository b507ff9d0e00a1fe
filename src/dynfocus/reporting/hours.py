"""Table 2: training hours with and without DPE+CCE, from the logs of the stages that ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dynfocus.paper.register import Cell, cells_of
from dynfocus.reporting.costs import clock
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Row, Table, own_cell, plain_table
from dynfocus.reporting.verdicts import Verdict

SECONDS_PER_HOUR = 3600.0
SMOOTHED = 20
"""Steps in a row that the loss curves show as one point."""
STAGES = {"alignment": "stage 1", "instruction": "stage 2"}


def measured_logs(session: Session) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Run -> stage -> steps of its log."""
    return session.measurement("table_2").get("runs", {})


def hours_of(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Hours of each stage, and of both together where both ran: the sum of the steps, without loading."""
    hours = {
        f"{stage}_hours": sum(step.get("seconds", 0.0) for step in steps) / SECONDS_PER_HOUR
        for stage, steps in logs.items()
    }
    return hours | ({"total_hours": sum(hours.values())} if len(hours) == len(STAGES) else {})


def hours_cell(session: Session, cell: Cell, hours: dict[str, float]) -> Comparison:
    """One cell of Table 2; hours of another machine are never a verdict."""
    fields = {"paper": cell.number, "paper_text": cell.value, "unit": cell.unit, "cell_id": cell.id, "note": cell.note}
    found = hours.get(cell.metric)
    if found is None:
        return Comparison(**fields, decimals=cell.decimals, gap=f"missing: no log of {cell.run}")
    decimals = cell.decimals if found >= 1 else 4
    return Comparison(**fields, decimals=decimals, ours=found, verdict=Verdict.OTHER_SCALE.value)


def hours_table(session: Session) -> Table:
    """Table 2 with our hours, and the ratio of the two rows, which is what can be compared."""
    logs, cells = measured_logs(session), cells_of("table_2")
    columns = list(dict.fromkeys(cell.column for cell in cells))
    hours = {run: hours_of(logs.get(run, {})) for run in dict.fromkeys(cell.run for cell in cells)}
    rows = [
        Row(labels=[label], cells=[hours_cell(session, cell, hours[cell.run]) for cell in cells if cell.row == label])
        for label in dict.fromkeys(cell.row for cell in cells)
    ]
    rows.append(
        Row(
            labels=["with / without"],
            cells=[ratio_cell(rows[1].number(index), rows[0].number(index)) for index in range(len(columns))],
        )
    )
    hardware = session.config.hardware
    where = f"{hardware.processes} process{'es' if hardware.processes > 1 else ''} on {hardware.device}"
    notes = [f"Paper: hours on 8 A100 80 GB. Ours: {where}; only the ratio can be compared."]
    notes += [
        f"{session.experiments.runs[run].title}: {clock(found['total_hours'] * SECONDS_PER_HOUR)} in all."
        for run, found in hours.items()
        if "total_hours" in found
    ]
    return Table(id="table_2", title="Training hours", heads=["Model"], columns=columns, rows=rows, notes=notes)


def ratio_cell(with_modules: Comparison, without: Comparison) -> Comparison:
    """Hours with DPE+CCE over hours without, the paper's and ours."""
    assert with_modules.paper is not None and without.paper is not None, "the register has both rows"
    paper = with_modules.paper / without.paper
    fields: dict[str, Any] = {"paper": paper, "paper_text": f"{paper:.2f}", "unit": "ratio", "decimals": 2}
    if with_modules.ours is None or not without.ours:
        return Comparison(**fields, gap="missing: needs both rows")
    return Comparison(**fields, ours=with_modules.ours / without.ours, verdict=Verdict.OTHER_SCALE.value)


def accuracy_table(session: Session) -> Table:
    """What the hours buy: MSVD-QA accuracy of both models, of which the paper's Table 2 prints only the hours."""
    results = session.results("table_2")
    rows = [
        ((session.experiments.runs[run].title,), (own_cell(results.get(run, "msvd_qa", "accuracy")),))
        for run in session.experiments.items["table_2"].runs
    ]
    return plain_table("table_2_accuracy", "What the hours buy", ("Model",), ("MSVD-QA Acc",), rows)


def smoothed(losses: Sequence[tuple[float, float]]) -> dict[float, tuple[float, float, float]]:
    """Last step -> mean and quartiles of every `SMOOTHED` steps in a row."""
    parts = [losses[place : place + SMOOTHED] for place in range(0, len(losses), SMOOTHED)]
    found = {}
    for part in parts:
        values = [loss for _, loss in part]
        low, high = np.quantile(values, (0.25, 0.75)).tolist()
        found[part[-1][0]] = (float(np.mean(values)), low, high)
    return found


def loss_figure(session: Session) -> Figure:
    """Loss of both stages over the steps, with and without DPE+CCE: means and quartiles of some steps in a row."""
    from dynfocus.reporting.figures import curves

    series: dict[str, dict[float, tuple[float, float, float]]] = {}
    for run, logs in measured_logs(session).items():
        for stage, steps in logs.items():
            points = smoothed([(step["step"], step["loss"]) for step in steps if "loss" in step])
            if points:
                series[f"{session.experiments.runs[run].title}, {STAGES[stage]}"] = points
    return curves(
        series, "step", f"training loss, mean and quartiles of {SMOOTHED} steps", optimum=False, markers=False
    )
