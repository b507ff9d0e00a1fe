"""Table 11: the training settings of the paper beside those of the configuration that ran."""

from __future__ import annotations

from typing import Any

from dynfocus.reporting.register import cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table
from dynfocus.steps.manifests import manifest_path, read_manifest

STAGES = {"Stage-1": "alignment", "Stage-2": "instruction"}


def stage_settings(session: Session, run: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Both stages' settings and where they were read: the checkpoint's manifest, else the configuration."""
    checkpoint = session.jobs.checkpoint(run, session.seeds("table_11")[0])
    if manifest_path(checkpoint).exists():
        settings = read_manifest(checkpoint)["settings"]
        return {stage: settings[stage] for stage in STAGES.values()}, str(checkpoint.relative_to(session.root))
    resolved = session.jobs.run(run)
    return {stage: getattr(resolved, stage).model_dump(mode="json") for stage in STAGES.values()}, "the configuration"


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
    settings, source = stage_settings(session, run)
    rows: dict[str, list[str]] = {}
    for cell in cells_of("table_11"):
        key = cell.id.split(".")[1]
        ours = setting_text(settings[STAGES[cell.column]], key)
        paper = cell.value if cell.number is None else f"{cell.number:g}"
        rows.setdefault(cell.row, []).extend([paper, ours if ours == paper else f"{ours} ≠"])
    columns = [f"{stage}, {whose}" for stage in STAGES for whose in ("paper", "ours")]
    notes = [
        f"Ours: {run}, read from {source}.",
        f"≠: differs from the paper's, for the size of the {session.config.profile} profile or by a choice among the "
        "deviations.",
    ]
    return plain_table("table_11", "Training settings", ("Setting",), columns, rows_of(rows), notes=notes)


def rows_of(rows: dict[str, list[str]]) -> list[tuple[tuple[str], list[str]]]:
    """Rows in the form of `plain_table`."""
    return [((name,), cells) for name, cells in rows.items()]
