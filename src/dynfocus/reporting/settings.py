"""Table 11: the training settings of the paper beside those of the configuration that ran."""

from __future__ import annotations

from typing import Any

from dynfocus.paper.register import cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table

STAGES = {"Stage-1": "alignment", "Stage-2": "instruction"}


def setting_text(settings: dict[str, Any], key: str) -> str:
    """One setting in the words of Table 11."""
    parts = settings["trainable"]
    words = {
        "optimizer": "AdamW",
        "visual_encoder": "frozen",
        "projectors": "open" if "projectors" in parts else "frozen",
        "llm": "open" if "llm" in parts else "frozen",
    }
    value = words.get(key, settings.get(key))
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def settings_table(session: Session, run: str) -> Table:
    """A row per setting; paper and ours for both stages, unequal ones marked."""
    config = session.jobs.run(run)
    settings = {stage: getattr(config, stage).model_dump(mode="json") for stage in STAGES.values()}
    rows: dict[str, list[str]] = {}
    for cell in cells_of("table_11"):
        key = cell.id.split(".")[1]
        ours = setting_text(settings[STAGES[cell.column]], key)
        paper = cell.value if cell.number is None else f"{cell.number:g}"
        rows.setdefault(cell.row, []).extend([paper, ours if ours == paper else f"{ours} ≠"])
    columns = [f"{stage}, {whose}" for stage in STAGES for whose in ("paper", "ours")]
    notes = [
        f"Ours: {run} in the configuration, which its checkpoint was checked against when it answered.",
        f"≠: differs from the paper's, for the size of the {session.config.profile} profile or by a choice among the "
        "deviations.",
    ]
    return plain_table("table_11", "Training settings", ("Setting",), columns, rows_of(rows), notes=notes)


def rows_of(rows: dict[str, list[str]]) -> list[tuple[tuple[str], list[str]]]:
    """Rows in the form of `plain_table`."""
    return [((name,), cells) for name, cells in rows.items()]
