"""What the network costs: parameters and work per module, counted on the meta device (paper Table 3 and B.2).

    python -m dynfocus.network.complexity

Work is counted in multiply-adds, as the paper's table does. The paper counts parameter-free clustering as 0; here its
distance products and merges are counted. The text encoder and the LLM are listed apart: Table 3 leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.config.schema import Network
from dynfocus.network.batch import Prompts, Rows
from dynfocus.network.cce import content_tokens, read_objects
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.encoders import DynFocusEncoder
from dynfocus.network.modeling import DynFocusForConditionalGeneration
from dynfocus.tokens import (
    cone_frame_tokens,
    fine_tokens,
    num_visual_tokens,
    object_prototypes,
    selected_events,
)

WORDS = 16
"""Words of the prompt that the text encoder's work is counted with."""
MODULES: dict[str, tuple[str, ...]] = {
    "t_dpc": (),
    "s_dpc": (),
    "dynamic_selection": ("selection",),
    "dynamic_encoding": ("gate", "fusion", "context_attention", "fine_projector", "coarse_projector"),
    "text_encoder": ("text_encoder",),
}
"""The rows of Table 3 and the text encoder, as attributes of the encoder; clustering has no parameters."""


@dataclass(frozen=True)
class Cost:
    """One row: parameters in millions, work in billions of multiply-adds, and what the paper says about it."""

    module: str
    parameters: float
    gmacs: float | None
    paper: str


def paper_config() -> DynFocusConfig:
    """DynFocus with d = 1408, InstructBLIP's Q-Former and a 7 B LLM."""
    return DynFocusConfig.from_sections(Network(), LlamaConfig(), InstructBlipQFormerConfig(), vision_width=1408)


def paper_model() -> DynFocusForConditionalGeneration:
    """The model of `paper_config`, without weights."""
    with torch.device("meta"):
        return DynFocusForConditionalGeneration(paper_config()).eval()


def meta_encoder(config: DynFocusConfig) -> DynFocusEncoder:
    """DPE and CCE of a configuration, without weights."""
    with torch.device("meta"):
        return DynFocusEncoder(config).eval()


def millions(*modules: nn.Module | None) -> float:
    """Parameters of modules in millions; an absent module has none."""
    return sum(p.numel() for module in modules if module is not None for p in module.parameters()) / 1e6


def module_parameters(encoder: DynFocusEncoder) -> dict[str, float]:
    """Millions of parameters of each of MODULES."""
    return {name: millions(*(getattr(encoder, part) for part in parts)) for name, parts in MODULES.items()}


def module_work(config: DynFocusConfig, frames: int) -> dict[str, float]:
    """Billions of multiply-adds of each of MODULES for a video of `frames` frames and one question of WORDS words."""
    encoder = meta_encoder(config)
    patches, pooled, width = config.grid**2, config.pooled_grid**2, config.vision_width
    fine, coarse = object_prototypes(config)
    events, _ = selected_events(config, frames)
    merged = (frames + events) if frames > events else 0
    return {
        "t_dpc": frames * merged * pooled * width / 1e9,
        "s_dpc": frames * (patches**2 + fine * patches + (fine**2 + coarse * fine if coarse else 0)) * width / 1e9,
        "dynamic_selection": 0.0 if encoder.selection is None else selection_work(encoder, events),
        "dynamic_encoding": _gmacs(lambda: _encode(encoder, frames)),
        "text_encoder": _gmacs(lambda: _read(encoder, frames)),
    }


def selection_work(encoder: DynFocusEncoder, prototypes: int) -> float:
    """Billions of multiply-adds of the scores of event prototypes."""
    pooled, width = encoder.config.pooled_grid**2, encoder.config.vision_width
    selection = encoder.selection
    assert selection is not None, "the paper's model selects"
    return _gmacs(lambda: selection.score(_meta(1, prototypes, pooled, width), _meta(1, prototypes).bool()))


def costs(frames: int = 1000) -> list[Cost]:
    """Parameters and work of every module at paper size for a video of `frames` frames and one question."""
    model = paper_model()
    encoder, config = model.connector, model.config
    assert isinstance(encoder, DynFocusEncoder), "the paper's model"
    parameters, work = module_parameters(encoder), module_work(config, frames)
    events, _ = selected_events(config, frames)

    def row(module: str, name: str, paper: str = "") -> Cost:
        return Cost(module, parameters[name], work[name], paper)

    return [
        row("T-DPC", "t_dpc", "0.00 G"),
        row("S-DPC", "s_dpc", "0.00 G"),
        Cost(
            "Dyn. Select. (1,000 prototypes)",
            parameters["dynamic_selection"],
            selection_work(encoder, 1000),
            "12.91 G",
        ),
        row(f"Dyn. Select. (L = {events})", "dynamic_selection"),
        row("Dyn. Enc. (cones and rods)", "dynamic_encoding", "112.16 G"),
        Cost("  context attention, f_q and f_k", millions(encoder.context_attention), None, "[d, d], [d, d] (B.2)"),
        Cost("  F_fine", millions(encoder.fine_projector), None, "[d, d] (B.2)"),
        Cost("  F_coarse", millions(encoder.coarse_projector), None, "[d, d] (B.2)"),
        row("text encoder", "text_encoder"),
        Cost("LLM", millions(model.language_model), None, "7 B"),
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
    lines += [
        "",
        f"Tokens: {cone_frame_tokens(network)} per cone, {network.rod_tokens} per rod, "
        f"{num_visual_tokens(network, frames)} per video.",
    ]
    return "\n".join(lines)


def _meta(*shape: int) -> Tensor:
    """A tensor without data."""
    return torch.empty(shape, device="meta")


def _gmacs(call: Callable[[], object]) -> float:
    """Billions of multiply-adds of a call on the meta device."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


def _encode(encoder: DynFocusEncoder, frames: int) -> None:
    """Cones and rods of a video: everything between prototypes and tokens."""
    config = encoder.config
    _, cones = selected_events(config, frames)
    rows = Rows.of((frames,), (0,), torch.device("meta"))
    grains = sum(object_prototypes(config))
    objects = _meta(frames, grains, config.vision_width)
    queries = _meta(frames, config.num_query_tokens, config.qformer_config.hidden_size)
    context = read_objects(encoder.context_attention(queries, objects, None, rows), objects, None, rows)
    encoder.coarse_projector(torch.cat([context, content_tokens(objects, None)]))
    if encoder.fusion is not None:
        encoder.fusion(_meta(cones, config.pooled_grid**2, config.vision_width), objects[:cones])
    if encoder.fine_projector is not None:
        encoder.fine_projector(_meta(cones, fine_tokens(config), config.vision_width))


def _read(encoder: DynFocusEncoder, frames: int) -> None:
    """The text encoder on every frame."""
    config = encoder.config
    prompts = Prompts(torch.zeros(1, WORDS, dtype=torch.long, device="meta"), None, (0,))
    index = torch.zeros(frames, dtype=torch.long, device="meta")
    rows = Rows(index, index, index, index, frames, 1, tuple(range(frames + 1)))
    with torch.enable_grad():  # in one pass over all frames
        encoder.text_encoder(_meta(frames, config.grid**2, config.vision_width), prompts, rows)


if __name__ == "__main__":
    print(markdown())
