"""Table 3 and the parameter budget of B.2: operations, parameters and latency of the modules of DPE and CCE.

S-DPC: object prototypes of every frame; Dyn. Enc.: context attention, cones, rods and projectors;
T-DPC: event prototypes; Dyn. Select.: scores and Top-K. The text encoder belongs to none of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.measuring.models import load_model
from dynfocus.network.batch import Prompts, Rows, Videos
from dynfocus.network.cce import object_prototypes_of
from dynfocus.network.complexity import meta_encoder, millions, module_parameters, module_work, paper_config
from dynfocus.network.dpe import Events, estimate_events, pool_patches
from dynfocus.network.encoders import DynFocusEncoder
from dynfocus.steps.jobs import Jobs

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


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """Costs of the modules of the item's run on 1,000 random frames, and what they come to at the paper's size."""
    (run, *_) = jobs.item_runs(item)
    loaded = load_model(jobs, item, run)
    config, device = loaded.model.config, loaded.model.device
    frames = torch.randn(FRAMES, config.grid**2, config.vision_width, generator=torch.Generator().manual_seed(0))
    prompt = loaded.processor.encode_prompts(["What happens in the video?"])["prompt_input_ids"][0]
    encoder = loaded.model.connector
    assert isinstance(encoder, DynFocusEncoder), "Table 3 is about DynFocus"
    modules = measure_modules(encoder, frames.to(device), prompt.to(device))
    return {
        "run": run,
        "frames": FRAMES,
        "repeats": REPEATS,
        "modules": {name: asdict(cost) for name, cost in modules.items()},
        "parameters_at_paper_size": paper_size_parameters(),
        "layers_at_paper_size": budget(),
    }


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

    made, selection = events(), encoder.selection
    assert selection is not None, "Table 3 is about a network that selects"
    latency = {
        "s_dpc": milliseconds(lambda: object_prototypes_of(videos.frames, config, encoder.dtype)),
        "t_dpc": milliseconds(events),
        "dynamic_selection": milliseconds(lambda: selection(made, videos.lengths)),
        "text_encoder": milliseconds(lambda: encoder.text_encoder(videos.frames, prompts, rows)),
    }
    whole = milliseconds(lambda: encoder(videos, prompts))
    latency["dynamic_encoding"] = max(whole - sum(latency.values()), 0.0)
    parameters, work = module_parameters(encoder), module_work(config, frames.shape[0])
    return {name: ModuleCost(work[name], parameters[name], latency[name]) for name in PRINTED}


def budget() -> list[dict[str, Any]]:
    """B.2: every linear layer of the added modules at the paper's size, with its shape and millions of parameters."""
    encoder = meta_encoder(paper_config())
    layers = []
    for part in ("selection", "context_attention", "gate", "fine_projector", "coarse_projector"):
        module = getattr(encoder, part)
        for name, layer in module.named_modules() if module is not None else ():
            if isinstance(layer, nn.Linear):
                shape = [layer.in_features, layer.out_features]
                layers.append({"layer": f"{part}.{name}", "shape": shape, "millions": millions(layer)})
    return layers
