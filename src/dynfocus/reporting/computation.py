"""Table 3 and the parameter budget of B.2: the paper's numbers beside what was measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dynfocus.paper.register import Cell, cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, plain_table
from dynfocus.reporting.verdicts import Verdict


def computation_table(session: Session) -> Table:
    """Table 3 beside our measurement, gaps where there is none; never a verdict, as size and device differ."""
    found = session.measurement("table_3")
    at_paper_size = found.get("parameters_at_paper_size", {})
    by_row: dict[str, list[Comparison | str]] = {}
    for cell in cells_of("table_3"):
        module = cell.id.split(".")[1]
        by_row.setdefault(cell.row, []).append(cost_cell(cell, found.get("modules", {}).get(module)))
        if cell.metric == "parameters":
            by_row[cell.row].append(f"{at_paper_size[module]:.2f}" if module in at_paper_size else "missing")
    columns = ("GFLOPs (multiply-adds)", "Param. (M)", "Param. at d = 1408 (M)", "Latency (ms)")
    notes = [
        "Paper: 1,000 frames, d = 1408, one A100; two numbers a row are read as GFLOPs and latency, "
        "the parameter column is lost.",
        f"Ours: {found.get('frames', 0):,} frames of the profile's size on {found.get('device', 'no device')}, "
        f"median of {found.get('repeats', 0)}; distances and merges of the clustering are counted.",
    ]
    rows = [((label,), cells) for label, cells in by_row.items()]
    return plain_table("table_3", "Cost of the added modules", ("Module",), columns, rows, notes=notes)


def cost_cell(cell: Cell, cost: Mapping[str, float] | None) -> Comparison:
    """One cell of Table 3."""
    fields: dict[str, Any] = {"paper": cell.number, "paper_text": cell.value or "–", "unit": cell.unit, "decimals": 2}
    if cost is None:
        return Comparison(**fields, cell_id=cell.id, gap="missing: no checkpoint was measured")
    fields["decimals"] = decimals_of(cost[cell.metric])
    return Comparison(**fields, cell_id=cell.id, ours=cost[cell.metric], verdict=Verdict.OTHER_SCALE.value)


def decimals_of(value: float) -> int:
    """Two decimals, and more for what they would round to nothing: its first digit is seen."""
    return 2 if value == 0 else max(2, -math.floor(math.log10(abs(value))))


def budget_table(session: Session) -> Table:
    """B.2: every linear layer of the added modules, the shape printed and ours at the paper's size."""
    rows = [
        ((layer["layer"],), (f"{layer['shape'][0]} → {layer['shape'][1]}", f"{layer['millions']:.3f}"))
        for layer in session.measurement("table_3").get("layers_at_paper_size", [])
    ]
    printed = ", ".join(f"{cell.row.partition(': ')[2]} {cell.value}" for cell in cells_of("b_2"))
    notes = [
        f"Printed in B.2: {printed}.",
        "The projectors reach the LLM's width (4096), which B.2 writes as d.",
    ]
    return plain_table(
        "b_2", "Parameter budget at the paper's size", ("Layer",), ("Shape", "Param. (M)"), rows, notes=notes
    )
