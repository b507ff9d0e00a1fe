"""Counts what one forward pass of the connector asks of a device: operations, copies to it, waits, graph breaks.

    python speed/count_launches.py
    python speed/count_launches.py --frames 100 --out speed/results/launches
    python speed/count_launches.py --device cuda --out speed/results/launches

Without `--device` none is needed: the pass runs at full size on fake tensors of a CUDA device, which have shapes and no
values. Whatever must look at a value (`.item()`, `.nonzero()`, a boolean index) raises there, as it would wait for a
real one.
Breaks are those of torch.compile on a small connector with values. On a real device the kernels that the driver starts
are counted, torch refuses to wait, and the pass in bf16 is timed as it is and replayed from a CUDA graph.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from measure_kernels import device_name, median_seconds, slug
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.config.schema import Network
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.network import DynFocusConfig
from dynfocus.network.batch import Prompts, Videos
from dynfocus.network.modeling import ENCODERS

WAITS = (DataDependentOutputException, DynamicOutputShapeException)
"""What fake tensors raise where a real device would be waited for."""
VARIANTS: dict[str, dict[str, Any]] = {
    "dynfocus": {},
    "dynfocus, cross-attention": {"fusion": "cross_attention"},
    "dynfocus, K-means": {"clustering": "kmeans"},
    "two_token": {"encoder": "two_token"},
    "llama_vid": {"encoder": "llama_vid"},
    "flash_vstream": {"encoder": "flash_vstream"},
    "chat_univi": {"encoder": "chat_univi"},
}
NOT_LAUNCHED = ("empty", "new_empty", "lift_fresh", "sym_", "_unsafe_view")
"""Beginnings of the names of operations that are no views by their schema and have no kernel either."""
WORDS = 20
"""Tokens of the question."""
REPEATS = 9
"""Timed passes."""
COLUMNS = {
    "operations": "operations",
    "kernels": "kernels started",
    "copies": "copies to the device",
    "blocking": "waited for",
    "breaks": "breaks of torch.compile",
    "eager_ms": "ms",
    "replayed_ms": "ms, replayed",
    "apart": "largest difference of the replay",
}
"""Field of a row -> its heading; a result has those that its device can tell."""


class Launches(TorchDispatchMode):
    """Counts operations with a kernel of their own (no views, no empty tensors), and copies to and from the device.

    blocking: those copies to it that the host waits for, and with them for all work queued before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.copies = self.blocking = self.from_device = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        library, _, name = function._schema.name.partition("::")
        views = any(value.alias_info and not value.alias_info.is_write for value in function._schema.returns)
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        moved = isinstance(result, torch.Tensor) and source is not None and result.device.type != source.device.type
        if moved and result.is_cuda:
            self.copies += 1
            self.blocking += not (kwargs or {}).get("non_blocking")
        elif moved:
            self.from_device += 1
        elif library == "aten" and not views and not name.startswith(NOT_LAUNCHED):
            self.operations[name] += 1
        return result


def small_config(**network: Any) -> DynFocusConfig:
    """A connector of 64 patches of width 48."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    reader = InstructBlipQFormerConfig(**shape, vocab_size=50, encoder_hidden_size=48)
    fields = Network(**{"grid": 8, "event_prototypes": 6, "projector_width": 64, "perturbations": 50, **network})
    return DynFocusConfig.from_sections(fields, LlamaConfig(hidden_size=64), reader, 48, num_query_tokens=4)


def full_config(**network: Any) -> DynFocusConfig:
    """The connector of the paper's model."""
    return DynFocusConfig.from_sections(Network(**network), LlamaConfig(), InstructBlipQFormerConfig(), 1408)


def inputs(
    config: DynFocusConfig, lengths: tuple[int, ...], device: str, dtype: torch.dtype = torch.float32
) -> tuple[Videos, Prompts]:
    """Videos of `lengths` frames, one question on each."""
    frames = torch.randn(sum(lengths), config.grid**2, config.vision_width, device=device, dtype=dtype)
    mask = torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
    words = torch.zeros(len(lengths), WORDS, dtype=torch.long, device=device)
    return Videos(frames, mask, lengths), Prompts(words, torch.ones_like(words), tuple(range(len(lengths))))


def launches(config: DynFocusConfig, lengths: tuple[int, ...], training: bool) -> Launches:
    """What a forward pass asks of a CUDA device. Raises one of `WAITS` where it would wait for it."""
    with FakeTensorMode(), torch.set_grad_enabled(training):
        with torch.device("cuda"):
            encoder = ENCODERS[config.encoder](config).train(training)
        videos, prompts = inputs(config, lengths, "cuda")
        with Launches() as counted:
            encoder(videos, prompts)
    return counted


def breaks(config: DynFocusConfig, training: bool) -> int:
    """Graph breaks of the forward pass, as dynamo explains them."""
    torch._dynamo.reset()
    encoder = ENCODERS[config.encoder](config).train(training)
    with torch.set_grad_enabled(training):
        return torch._dynamo.explain(encoder)(*inputs(config, (7, 4), "cpu")).graph_break_count


def row(fields: dict[str, Any], frames: int, training: bool) -> dict[str, Any]:
    """Counts of one variant; None where the pass waits for the device."""
    try:
        counted = launches(full_config(**fields), (frames,), training)
    except WAITS:
        return {"operations": None, "copies": None, "blocking": None, "waits": True, "breaks": None}
    return {
        "operations": sum(counted.operations.values()),
        "copies": counted.copies,
        "blocking": counted.blocking,
        "waits": counted.blocking > 0,
        "breaks": breaks(small_config(**fields), training),
    }


def waits(call: Callable[[], object]) -> bool:
    """Whether a call waits for the CUDA device, as torch's own check says."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def started(call: Callable[[], object]) -> tuple[int, int]:
    """Kernels that a call starts on the CUDA device, and its copies to it."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        call()
        torch.cuda.synchronize()
    names = Counter(event.name for event in recorded.events())
    kernels = sum(count for name, count in names.items() if re.match(r"cu(da)?LaunchKernel", name))
    return kernels, sum(count for name, count in names.items() if name.startswith("Memcpy HtoD"))


def captured(call: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A CUDA graph of a call, and where its replays write the result."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    return graph, result


def device_row(fields: dict[str, Any], frames: int, training: bool, device: torch.device) -> dict[str, Any]:
    """What one variant's pass in bf16 does on a CUDA device; a pass that waits, or trains, is not captured."""
    config = full_config(**fields)
    with device:
        encoder = ENCODERS[config.encoder](config).to(torch.bfloat16).train(training)
    videos, prompts = inputs(config, (frames,), str(device), torch.bfloat16)

    def call() -> Tensor:
        with torch.set_grad_enabled(training):
            return encoder(videos, prompts)

    eager = 1000 * median_seconds(call, REPEATS, device)
    kernels, copies = started(call)
    row = {"kernels": kernels, "copies": copies, "waits": waits(call), "eager_ms": eager}
    if row["waits"] or training:
        return row | {"replayed_ms": None, "apart": None}
    graph, replayed = captured(call)
    replayed.zero_()
    graph.replay()
    apart = (call() - replayed).abs().max().item()
    return row | {"replayed_ms": 1000 * median_seconds(graph.replay, REPEATS, device), "apart": apart}


def markdown(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    columns = {name: heading for name, heading in COLUMNS.items() if name in result["rows"][0]}
    film = f"one film of {result['frames']} frames and one question at the paper's size"
    lines = [
        "# What a forward pass of the connector asks of a device",
        "",
        f"Written by `speed/count_launches.py`: {film} on {result['device']}, torch {result['torch']}. A pass that "
        "waits for the device is not counted further on fake tensors, and not captured on real ones.",
        "",
        f"| encoder | mode | waits for the device | {' | '.join(columns.values())} |",
        "| --- " * (3 + len(columns)) + "|",
    ]
    for one in result["rows"]:
        cells = ["–" if one[name] is None else f"{one[name]:.4g}" for name in columns]
        lines.append(f"| {one['encoder']} | {one['mode']} | {'yes' if one['waits'] else 'no'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="a CUDA device to run on; none: fake tensors")
    parser.add_argument("--frames", type=int, default=100, help="number of frames T")
    parser.add_argument("--out", type=Path, default=None, help="result files without their ending; none: print only")
    options = parser.parse_args()
    prepare_process()
    device = torch.device(options.device) if options.device else None
    rows = []
    for name, fields in VARIANTS.items():
        for training in (False, True):
            mode = "training" if training else "answering"
            arguments = (fields, options.frames, training)
            found = row(*arguments) if device is None else device_row(*arguments, device)
            rows.append({"encoder": name, "mode": mode, **found})
            print(rows[-1], flush=True)
    name = "fake CUDA tensors" if device is None else device_name(device)
    result = {"device": name, "frames": options.frames, "torch": torch.__version__, "rows": rows}
    print(markdown(result))
    if options.out is not None:
        suffix = "" if device is None else "-" + slug(f"{name}-{options.frames}-frames")
        write_result(options.out.with_name(options.out.name + suffix), result, markdown(result))


if __name__ == "__main__":
    main()
