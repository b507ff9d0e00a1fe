"""Table 2: training hours with and without DPE+CCE, from the logs of the stages that ran."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from dynfocus.reporting.costs import clock
from dynfocus.reporting.register import Cell, cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Row, Table, own_cell, plain_table
from dynfocus.reporting.verdicts import Verdict

SECONDS_PER_HOUR = 3600.0


def read_log(folder: Path) -> list[dict[str, float]]:
    """Steps of a stage from `log.csv`; empty fields are left out, no file gives no steps."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def stage_folders(session: Session, run: str, seed: int) -> dict[str, Path]:
    """The checkpoints of both stages of a run."""
    key = session.jobs.alignment_key(run, seed)
    return {
        "alignment_hours": session.layout.alignment(key),
        "instruction_hours": session.layout.instruction(run, seed),
    }


def measured_hours(session: Session, run: str, seed: int) -> dict[str, float]:
    """Hours of each stage that has a log, and of both together: the sum of the steps, without loading."""
    logs = {name: read_log(folder) for name, folder in stage_folders(session, run, seed).items()}
    hours = {
        name: sum(step.get("seconds", 0.0) for step in log) / SECONDS_PER_HOUR for name, log in logs.items() if log
    }
    return hours | ({"total_hours": sum(hours.values())} if len(hours) == len(logs) else {})


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
    seed, cells = session.seeds("table_2")[0], cells_of("table_2")
    columns = list(dict.fromkeys(cell.column for cell in cells))
    hours = {run: measured_hours(session, run, seed) for run in dict.fromkeys(cell.run for cell in cells)}
    rows = [
        Row(labels=[label], cells=[hours_cell(session, cell, hours[cell.run]) for cell in cells if cell.row == label])
        for label in dict.fromkeys(cell.row for cell in cells)
    ]
    rows.append(
        Row(
            labels=["with / without"],
            cells=[ratio_cell(*pair) for pair in zip(rows[1].cells, rows[0].cells, strict=True)],
        )
    )
    hardware = session.config.hardware
    where = f"{hardware.processes} process{'es' if hardware.processes > 1 else ''} on {hardware.device}"
    notes = [f"Paper: hours on 8 A100 80 GB. Ours: {where}; only the ratio can be compared."]
    notes += [
        f"{run}: {clock(found['total_hours'] * SECONDS_PER_HOUR)} in all."
        for run, found in hours.items()
        if "total_hours" in found
    ]
    return Table(id="table_2", title="Training hours", heads=["Model"], columns=columns, rows=rows, notes=notes)


def ratio_cell(with_modules: Comparison | str, without: Comparison | str) -> Comparison:
    """Hours with DPE+CCE over hours without, the paper's and ours."""
    paper = with_modules.paper / without.paper
    fields = {"paper": paper, "paper_text": f"{paper:.2f}", "unit": "ratio", "decimals": 2}
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


def loss_figure(session: Session) -> Figure:
    """Loss of both stages over the steps, with and without DPE+CCE."""
    from dynfocus.reporting.figures import curves

    seed, series = session.seeds("table_2")[0], {}
    for run in session.experiments.items["table_2"].runs:
        for stage, folder in stage_folders(session, run, seed).items():
            points = {step["step"]: (step["loss"],) * 3 for step in read_log(folder) if "loss" in step}
            if points:
                series[f"{session.experiments.runs[run].title}, {stage.removesuffix('_hours')}"] = points
    return curves(series, "step", "training loss", optimum=False, markers=False)
