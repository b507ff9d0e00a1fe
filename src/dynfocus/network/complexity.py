"""What the network costs at paper size, counted on the meta device, beside Table 3 and B.2 of the paper.

    python -m dynfocus.network.complexity

Work is counted in multiply-adds, as the paper's table does. The paper counts parameter-free clustering as 0; here its
distance products are counted. The text encoder and the LLM are listed apart: Table 3 leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.config.schema import Network
from dynfocus.network.batch import Prompts, Rows
from dynfocus.network.cce import content_tokens, read_objects
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.encoders import DynFocusEncoder
from dynfocus.network.modeling import DynFocusForConditionalGeneration
from dynfocus.network.tokens import CONTEXT_AND_CONTENT, fine_tokens, num_visual_tokens, object_prototypes

WORDS = 16
"""Words of the prompt that the text encoder's work is counted with."""


@dataclass(frozen=True)
class Cost:
    """One module: parameters in millions, work in billions of multiply-adds, and what the paper says about it."""

    module: str
    parameters: float
    gmacs: float | None
    paper: str


def paper_model() -> DynFocusForConditionalGeneration:
    """DynFocus with d = 1408, InstructBLIP's Q-Former and a 7 B LLM, without weights."""
    config = DynFocusConfig.from_sections(Network(), LlamaConfig(), InstructBlipQFormerConfig(), vision_width=1408)
    with torch.device("meta"):
        return DynFocusForConditionalGeneration(config).eval()


def costs(frames: int = 1000) -> list[Cost]:
    """Parameters and work of every module for a video of `frames` frames and one question."""
    model = paper_model()
    encoder, config = model.connector, model.config
    events = min(frames, config.event_prototypes)
    patches, pooled, width = config.grid**2, config.pooled_grid**2, config.vision_width
    fine, coarse = object_prototypes(config)
    return [
        Cost("T-DPC", 0.0, frames**2 * pooled * width / 1e9, "0.00 G"),
        Cost("S-DPC", 0.0, frames * (patches**2 + fine * (patches + fine + coarse)) * width / 1e9, "0.00 G"),
        Cost(
            "Dyn. Select. (1,000 prototypes)",
            _millions(encoder.selection),
            _gmacs(lambda: encoder.selection.score(_meta(1, 1000, pooled, width), _meta(1, 1000).bool())),
            "12.91 G",
        ),
        Cost(
            f"Dyn. Select. (L = {events})",
            _millions(encoder.selection),
            _gmacs(lambda: encoder.selection.score(_meta(1, events, pooled, width), _meta(1, events).bool())),
            "",
        ),
        Cost(
            "Dyn. Enc. (cones and rods)",
            _millions(encoder.context_attention, encoder.fine_projector, encoder.coarse_projector),
            _gmacs(lambda: _encode(encoder, frames)),
            "112.16 G",
        ),
        Cost("  context attention, f_q and f_k", _millions(encoder.context_attention), None, "[d, d], [d, d] (B.2)"),
        Cost("  F_fine", _millions(encoder.fine_projector), None, "[d, d] (B.2)"),
        Cost("  F_coarse", _millions(encoder.coarse_projector), None, "[d, d] (B.2)"),
        Cost("text encoder", _millions(encoder.text_encoder), _gmacs(lambda: _read(encoder, frames)), ""),
        Cost("LLM", _millions(model.language_model), None, "7 B"),
    ]


def markdown(frames: int = 1000) -> str:
    """The table of `costs`, and the tokens per frame and per video."""
    lines = [
        f"| module | parameters, M | multiply-adds at {frames} frames, G | paper |",
        "| --- | --- | --- | --- |",
    ]
    for cost in costs(frames):
        work = "" if cost.gmacs is None else f"{cost.gmacs:,.2f}"
        lines.append(f"| {cost.module} | {cost.parameters:,.3f} | {work} | {cost.paper} |")
    network = Network()
    cone = fine_tokens(network) + CONTEXT_AND_CONTENT
    lines += [
        "",
        f"Tokens: {cone} per cone, {network.rod_tokens} per rod, {num_visual_tokens(network, frames)} per video.",
    ]
    return "\n".join(lines)


def _meta(*shape: int) -> torch.Tensor:
    """A tensor without data."""
    return torch.empty(shape, device="meta")


def _millions(*modules: nn.Module) -> float:
    """Parameters of modules in millions."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6


def _gmacs(call: Callable[[], object]) -> float:
    """Billions of multiply-adds of a call on the meta device."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


def _encode(encoder: DynFocusEncoder, frames: int) -> None:
    """Cones and rods of a video: everything between prototypes and tokens."""
    config = encoder.config
    cones = round(config.selection_ratio * min(frames, config.event_prototypes))
    rows = Rows.of((frames,), (0,), torch.device("meta"))
    grains = sum(object_prototypes(config))
    objects = _meta(frames, grains, config.vision_width)
    queries = _meta(frames, config.num_query_tokens, config.qformer_config.hidden_size)
    context = read_objects(encoder.context_attention(queries, objects, None, rows), objects, None, rows)
    encoder.coarse_projector(torch.cat([context, content_tokens(objects, None)]))
    encoder.fine_projector(_meta(cones, fine_tokens(config), config.vision_width))


def _read(encoder: DynFocusEncoder, frames: int) -> None:
    """The text encoder on every frame."""
    config = encoder.config
    prompts = Prompts(torch.zeros(1, WORDS, dtype=torch.long, device="meta"), None, (0,))
    rows = Rows(
        torch.zeros(frames, dtype=torch.long, device="meta"),
        torch.zeros(frames, dtype=torch.long, device="meta"),
        torch.zeros(frames, dtype=torch.long, device="meta"),
        torch.zeros(frames, dtype=torch.long, device="meta"),
        frames,
        1,
    )
    with torch.enable_grad():
        encoder.text_encoder(_meta(frames, config.grid**2, config.vision_width), prompts, rows)


if __name__ == "__main__":
    print(markdown())
