"""Table 3 and the parameter budget of B.2: operations, parameters and latency of the modules of DPE and CCE.

S-DPC: object prototypes of every frame; Dyn. Enc.: context attention, cones, rods and projectors;
T-DPC: event prototypes; Dyn. Select.: scores and Top-K. The text encoder belongs to none of them.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynfocus.errors import UserError
from dynfocus.network.batch import Prompts, Rows, Videos
from dynfocus.network.cce import object_prototypes_of
from dynfocus.network.complexity import meta_encoder, millions, module_parameters, module_work, paper_config
from dynfocus.network.dpe import Events, estimate_events, pool_patches
from dynfocus.network.encoders import DynFocusEncoder
from dynfocus.reporting.checkpoints import load_model
from dynfocus.reporting.register import Cell, cells_of
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Comparison, Table, plain_table
from dynfocus.reporting.verdicts import Verdict

FRAMES = 1000
REPEATS = 3
PRINTED = ("s_dpc", "dynamic_encoding", "t_dpc", "dynamic_selection")
"""The modules of Table 3, in its order."""


@dataclass(frozen=True)
class ModuleCost:
    """Multiply-adds in G, parameters in M, latency in ms."""

    gflops: float
    parameters: float
    latency: float


def device_name(device: str) -> str:
    """The device as a reader knows it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} thread(s) of a {platform.machine()} CPU"


def paper_size_parameters() -> dict[str, float]:
    """Millions of parameters per module with the paper's widths (d = 1408, Vicuna-7B), counted without memory."""
    return module_parameters(meta_encoder(paper_config()))


def milliseconds(call: Callable[[], object]) -> float:
    """Median milliseconds of a call after a warm-up; a GPU is waited for."""
    call()
    times = []
    for _ in range(REPEATS):
        wait()
        started = time.perf_counter()
        call()
        wait()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def wait() -> None:
    """Let a GPU finish what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.no_grad()
def measure_modules(encoder: DynFocusEncoder, frames: Tensor, prompt: Tensor) -> dict[str, ModuleCost]:
    """Costs of the modules on one video (T, N, d) under one prompt (W,).

    Dynamic encoding takes what remains of the whole encoder's time without the other three and the text encoder.
    """
    videos = Videos.from_padded(frames[None], torch.ones(1, frames.shape[0], dtype=torch.bool, device=frames.device))
    prompts = Prompts(prompt[None], torch.ones_like(prompt[None]), (0,))
    rows = Rows.of(videos.lengths, prompts.video, videos.frames.device)
    config = encoder.config

    def events() -> Events:
        return estimate_events(videos.pad(pool_patches(videos.frames, config.grid, config.pooled_grid)), None, config)

    made = events()
    latency = {
        "s_dpc": milliseconds(lambda: object_prototypes_of(videos.frames, config, encoder.dtype)),
        "t_dpc": milliseconds(events),
        "dynamic_selection": milliseconds(lambda: encoder.selection(made, videos.lengths)),
        "text_encoder": milliseconds(lambda: encoder.text_encoder(videos.frames, prompts, rows)),
    }
    whole = milliseconds(lambda: encoder(videos, prompts))
    latency["dynamic_encoding"] = max(whole - sum(latency.values()), 0.0)
    parameters, work = module_parameters(encoder), module_work(config, frames.shape[0])
    return {name: ModuleCost(work[name], parameters[name], latency[name]) for name in PRINTED}


def complexity_table(costs: dict[str, ModuleCost] | None, where: str, frames: int = FRAMES) -> Table:
    """Table 3 beside our measurement, gaps where `costs` is None; never a verdict, as size and device differ."""
    at_paper_size = paper_size_parameters()
    by_row: dict[str, list[Comparison | str]] = {}
    for cell in cells_of("table_3"):
        module = cell.id.split(".")[1]
        by_row.setdefault(cell.row, []).append(cost_cell(cell, costs and costs[module]))
        if cell.metric == "parameters":
            by_row[cell.row].append(f"{at_paper_size[module]:.2f}")
    columns = ("GFLOPs (multiply-adds)", "Param. (M)", "Param. at d = 1408 (M)", "Latency (ms)")
    notes = [
        "Paper: 1,000 frames, d = 1408, one A100; two numbers a row are read as GFLOPs and latency, "
        "the parameter column is lost.",
        f"Ours: {frames:,} frames of the profile's size on {where}, median of {REPEATS}; distances and merges of the "
        "clustering are counted.",
    ]
    return plain_table("table_3", "Cost of the added modules", ("Module",), columns, by_row_list(by_row), notes=notes)


def cost_cell(cell: Cell, cost: ModuleCost | None) -> Comparison:
    """One cell of Table 3."""
    fields = {"paper": cell.number, "paper_text": cell.value or "–", "unit": cell.unit, "decimals": 2}
    if cost is None:
        return Comparison(**fields, cell_id=cell.id, gap="missing: no checkpoint to measure")
    ours = getattr(cost, cell.metric)
    return Comparison(**fields, cell_id=cell.id, ours=ours, verdict=Verdict.OTHER_SCALE.value)


def by_row_list(rows: dict[str, list[Comparison | str]]) -> list[tuple[tuple[str], list[Comparison | str]]]:
    """Rows in the form of `plain_table`."""
    return [((label,), cells) for label, cells in rows.items()]


def budget_table() -> Table:
    """B.2: every linear layer of the added modules, the shape printed and ours at the paper's size."""
    encoder = meta_encoder(paper_config())
    rows = []
    for part in ("selection", "context_attention", "gate", "fine_projector", "coarse_projector"):
        module = getattr(encoder, part)
        for name, layer in module.named_modules() if module is not None else ():
            if isinstance(layer, nn.Linear):
                shape = f"{layer.in_features} → {layer.out_features}"
                rows.append(((f"{part}.{name}",), (shape, f"{millions(layer):.3f}")))
    printed = ", ".join(f"{cell.row.partition(': ')[2]} {cell.value}" for cell in cells_of("b_2"))
    notes = [
        f"Printed in B.2: {printed}.",
        "The projectors reach the LLM's width (4096), which B.2 writes as d.",
    ]
    return plain_table(
        "b_2", "Parameter budget at the paper's size", ("Layer",), ("Shape", "Param. (M)"), rows, notes=notes
    )


def measure_checkpoint(session: Session, item: str, run: str) -> dict[str, ModuleCost] | None:
    """Costs of a trained run on 1,000 random frames; None without a checkpoint."""
    try:
        loaded = load_model(session, item, run)
    except UserError:
        return None
    config = loaded.model.config
    frames = torch.randn(FRAMES, config.grid**2, config.vision_width, generator=torch.Generator().manual_seed(0))
    prompt = loaded.processor.encode_prompts(["What happens in the video?"])["prompt_input_ids"][0]
    return measure_modules(loaded.model.connector, frames, prompt)
