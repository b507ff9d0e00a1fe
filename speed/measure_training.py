"""Times training steps and answers of the full-size network with random weights, beside Tables 2 and 4 of the paper.

    python speed/measure_training.py --device cuda                  # paper size, one GPU's share of 8
    python speed/measure_training.py --device cuda --size small --gpus 1
    python speed/measure_training.py --device cuda --profile one_card_24gb --gigabytes 24
    python speed/measure_training.py --size toy                     # on a CPU, to see that the command works

Measured is one GPU's share of a job on `--gpus` GPUs: a micro batch forward and backward as the profile's stages say,
and gradient clipping with AdamW on its part of the optimizer states; a step is as many of the former as it accumulates,
and one of the latter. What GPUs send each other is not in it. Every set of `training_loads.csv` is run with samples of
its shape, and the profile's longest sample once more for its memory; hours are those of one epoch over the full
mixture, from cached features, with their extraction apart. Model FLOPs are counted by torch on one sample without
recomputation. With `--gigabytes` the steps run in the memory of a smaller card, less 0.8 GB for CUDA itself, and
answers are not timed.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from measure_kernels import device_name, median_seconds, slug
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from training_loads import (
    REPOSITORY,
    SIZES,
    Load,
    Size,
    build_network,
    build_tower,
    checkpointing,
    make_batch,
    read_loads,
)

from dynfocus.config import Config, load_config
from dynfocus.config.schema import Stage
from dynfocus.files import write_result
from dynfocus.network.modeling import DynFocusForConditionalGeneration
from dynfocus.network.vision import FRAMES_PER_PASS, VisionTower
from dynfocus.paper.register import cells_of
from dynfocus.planning.fits import heaviest_load
from dynfocus.training import lora
from dynfocus.training.contract import MAX_GRADIENT_NORM, accumulation
from dynfocus.training.trainer import GIB, answers_alone, mean_answer_loss, peak_memory

RESULTS = Path(__file__).parent / "results"
STAGES = ("alignment", "instruction")
NEW_TOKENS = 32
# Dense bf16 peaks of the makers' data sheets, FLOP/s.
PEAKS = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
# Frames at 1 fps of each benchmark's videos; Video-MME by its short, medium and long thirds, long ones thinned to 200.
ANSWERS = {"msvd_qa": (10,), "activitynet_qa": (111,), "video_mme": (82, 563, 200)}
QUESTION_TOKENS = 40
LONGEST = "longest sample"
CUDA_BYTES = 0.8e9
"""What the CUDA context and the libraries take beside torch's own memory."""


@dataclass(frozen=True)
class SetResult:
    """One set of a stage on one GPU; `mfu` is the share of the device's peak that model FLOPs reach."""

    stage: str
    set: str
    samples: int
    tokens_per_sample: int
    step_seconds: float
    tokens_per_second: float
    teraflops_per_sample: float
    mfu: float
    peak_memory_gib: float
    hours: float


class OptimizerShare:
    """AdamW with fp32 weights and moments on the part of the parameters that one of `gpus` GPUs owns."""

    def __init__(self, model: nn.Module, stage: Stage, gpus: int):
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        owners = gpus if stage.zero_stage > 0 else 1
        count = -(-sum(parameter.numel() for parameter in self.parameters) // owners)
        device = self.parameters[0].device
        self.master = nn.Parameter(torch.zeros(count, device=device))
        self.optimizer = torch.optim.AdamW([self.master], lr=stage.learning_rate, fused=True)

    def step(self) -> None:
        """Clip all gradients and update this GPU's part."""
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        self.master.grad = torch.zeros_like(self.master)
        self.optimizer.step()


def loss_of(model: DynFocusForConditionalGeneration, batch: dict[str, Tensor]) -> Tensor:
    """Mean loss of the answers' tokens of a batch."""
    inputs = answers_alone(batch)
    labels = inputs.pop("labels")
    return mean_answer_loss(model(**inputs), labels)


def longest_sample(config: Config, stage: str, model: DynFocusForConditionalGeneration) -> Load:
    """The longest sample of a profile's mixture, as the memory estimate has it."""
    heaviest, _ = heaviest_load(config, getattr(config, stage))
    answer = heaviest.tokens - model.num_visual_tokens(heaviest.frames) - QUESTION_TOKENS
    return Load(stage, LONGEST, 0, 0, heaviest.frames, 1, QUESTION_TOKENS, answer)


def flops_of(model: DynFocusForConditionalGeneration, load: Load, dtype: torch.dtype) -> float:
    """Operations of one sample's forward and backward pass."""
    checkpointing(model, False)
    batch = make_batch(model, load, 1, dtype)
    with FlopCounterMode(display=False) as counter:
        loss_of(model, batch).backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def allow(gigabytes: float | None) -> None:
    """Let torch allocate what a card of `gigabytes` has, or all of the card at hand; on a CPU this says nothing."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0 if gigabytes is None else (1e9 * gigabytes - CUDA_BYTES) / total)


def measure_set(
    model: DynFocusForConditionalGeneration,
    optimizer: OptimizerShare,
    stage: Stage,
    load: Load,
    options: argparse.Namespace,
    peak: float,
) -> SetResult:
    """Step time of one set, from the medians of a micro batch and of an update."""
    dtype = dtype_of(stage)
    flops = 0.0 if load.set == LONGEST else flops_of(model, load, dtype)
    checkpointing(model, stage.gradient_checkpointing)
    allow(options.gigabytes)
    passes = accumulation(stage.global_batch, options.gpus, stage.micro_batch)
    batch = make_batch(model, load, stage.micro_batch, dtype)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def micro_batch() -> None:
        (loss_of(model, batch) / passes).backward()

    spent = passes * median_seconds(micro_batch, options.steps, model.device)
    spent += median_seconds(optimizer.step, options.steps, model.device)
    allow(None)
    share = stage.micro_batch * passes
    tokens = batch["input_ids"].shape[1]
    return SetResult(
        load.stage,
        load.set,
        load.samples,
        tokens,
        spent,
        share * tokens / spent,
        flops / 1e12,
        share * flops / spent / peak,
        peak_memory() / GIB,
        load.samples / stage.global_batch * spent / 3600,
    )


def measure_stage(size: Size, config: Config, width: int, name: str, options: argparse.Namespace, peak: float) -> list:
    """Every set of a stage with a fresh model."""
    stage: Stage = getattr(config, name)
    model = build_network(size, config, width, torch.device(options.device), dtype_of(stage)).train()
    lora.choose_what_learns(model, stage, options.device)
    optimizer = OptimizerShare(model, stage, options.gpus)
    results = []
    for load in [*read_loads(), longest_sample(config, name, model)]:
        if load.stage == name:
            results.append(measure_set(model, optimizer, stage, load, options, peak))
            print(f"{name} {load.set}: {results[-1].step_seconds:.3f} s a step", flush=True)
    return results


@torch.inference_mode()
def read_frames(tower: VisionTower, config: Config, options: argparse.Namespace) -> tuple[float, int]:
    """Frames that the visual encoder reads in a second, and the width d of its features."""
    side, parameter = config.video.image_size, next(tower.parameters())
    pixels = torch.randn(FRAMES_PER_PASS, 3, side, side, device=parameter.device, dtype=parameter.dtype)
    spent = median_seconds(lambda: tower(pixels), options.steps, parameter.device)
    return FRAMES_PER_PASS / spent, tower(pixels[:1]).shape[-1]


@torch.inference_mode()
def answer_seconds(model: DynFocusForConditionalGeneration, frames: int, options: argparse.Namespace) -> float:
    """Seconds from features to an answer of `NEW_TOKENS` tokens."""
    load = Load("", "", 1, 1, frames, 1, QUESTION_TOKENS, 1)
    batch = make_batch(model, load, 1, model.dtype)
    batch.pop("labels")
    words = {"suppress_tokens": [model.config.image_token_id], "do_sample": False, "pad_token_id": 0}
    length = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
    return median_seconds(lambda: model.generate(**batch, **words, **length), options.steps, model.device)


def measure_answers(size: Size, config: Config, width: int, options: argparse.Namespace, encoder: float) -> list[dict]:
    """Latency per benchmark, with and without the visual encoder, beside Table 4."""
    model = build_network(size, config, width, torch.device(options.device), dtype_of(config.instruction)).eval()
    paper = {cell.benchmark: cell.number for cell in paper_cells("table_4") if cell.metric == "latency"}
    rows = []
    for name, lengths in ANSWERS.items():
        answering = statistics.fmean(answer_seconds(model, frames, options) for frames in lengths)
        reading = statistics.fmean(lengths) / encoder
        row = {"benchmark": name, "frames": lengths, "answer": answering, "encoder": reading, "paper": paper[name]}
        rows.append(row)
        print(f"answer {name}: {answering:.2f} s", flush=True)
    return rows


def paper_cells(table: str) -> list:
    """DynFocus's cells of a table of the paper."""
    return [cell for cell in cells_of(table) if cell.run == "dynfocus"]


def dtype_of(stage: Stage) -> torch.dtype:
    """Compute type of a stage."""
    return torch.bfloat16 if stage.precision == "bf16" else torch.float32


def matmul_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """FLOP/s of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / median_seconds(lambda: a @ a, repeats, device)


def measure(size: Size, config: Config, options: argparse.Namespace) -> dict:
    """Everything, as a result that can be written."""
    device = torch.device(options.device)
    name, rate = device_name(device), matmul_rate(device, dtype_of(config.instruction), options.steps)
    peak = next((value for key, value in PEAKS.items() if key in name), rate)
    tower = build_tower(size, config, device).to(dtype_of(config.instruction))
    encoder, width = read_frames(tower, config, options)
    del tower
    loads = read_loads()
    sets = [row for stage in STAGES for row in measure_stage(size, config, width, stage, options, peak)]
    answers = [] if options.gigabytes else measure_answers(size, config, width, options, encoder)
    frames = {stage: sum(load.media * load.frames for load in loads if load.stage == stage) for stage in STAGES}
    return {
        "device": name,
        "torch": torch.__version__,
        "size": options.size,
        "profile": options.profile,
        "gigabytes": options.gigabytes,
        "gpus": options.gpus,
        "peak_teraflops": peak / 1e12,
        "matmul_teraflops": rate / 1e12,
        "frames_per_second": encoder,
        "extraction_hours": {stage: count / encoder / options.gpus / 3600 for stage, count in frames.items()},
        "hours": {stage: sum(row.hours for row in sets if row.stage == stage) for stage in STAGES},
        "paper_hours": {cell.metric: cell.number for cell in paper_cells("table_2")},
        "sets": [asdict(row) for row in sets],
        "answers": answers,
    }


def markdown(result: dict) -> str:
    """The result as a Markdown page."""
    card = "" if result["gigabytes"] is None else f"As on a card of {result['gigabytes']:g} GB. "
    hours, extraction, paper = result["hours"], result["extraction_hours"], result["paper_hours"]
    lines = [
        f"# Training and answering, size {result['size']}, profile {result['profile']}, on {result['device']}",
        "",
        f"{card}torch {result['torch']}, random weights, one GPU's share of {result['gpus']}, without communication. "
        f"Model FLOPs utilisation is of {result['peak_teraflops']:.3g} TFLOP/s; a large matrix product reaches "
        f"{result['matmul_teraflops']:.3g}. The visual encoder reads {result['frames_per_second']:.3g} frames/s.",
        "",
        "| stage | set | tokens a sample | s a step | tokens/s | TFLOP a sample | MFU, % | peak GiB | hours an epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["sets"]:
        lines.append(
            f"| {row['stage']} | {row['set']} | {row['tokens_per_sample']:,} | {row['step_seconds']:.3f} | "
            f"{row['tokens_per_second']:,.0f} | {row['teraflops_per_sample']:.3g} | {100 * row['mfu']:.1f} | "
            f"{row['peak_memory_gib']:.1f} | {row['hours']:.3g} |"
        )
    lines += [
        "",
        f"| hours on {result['gpus']} GPUs | extraction | training | Table 2, 8 × A100 |",
        "| --- | --- | --- | --- |",
        *(
            f"| {stage} | {extraction[stage]:.3g} | {hours[stage]:.3g} | {paper[f'{stage}_hours']:.2f} |"
            for stage in STAGES
        ),
        f"| total | {sum(extraction.values()):.3g} | {sum(hours.values()):.3g} | {paper['total_hours']:.2f} |",
    ]
    if result["answers"]:
        lines += [
            "",
            f"| seconds an answer of {NEW_TOKENS} tokens | frames | from features | visual encoder | Table 4, A100 |",
            "| --- | --- | --- | --- | --- |",
        ]
    for row in result["answers"]:
        frames = ", ".join(map(str, row["frames"]))
        lines.append(f"| {row['benchmark']} | {frames} | {row['answer']:.2f} | {row['encoder']:.2f} | {row['paper']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="paper", help="model, and the profile where none is named")
    parser.add_argument("--profile", metavar="NAME", help="file of config/ whose stages are measured")
    parser.add_argument("--gigabytes", type=float, help="memory of the card that is stood in for")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--gpus", type=int, help="GPUs of the job whose share is measured; those of the profile")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each kind")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the profile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    options = parser.parse_args()
    torch.manual_seed(0)
    size = SIZES[options.size]
    options.profile = options.profile or size.profile
    config = load_config([REPOSITORY / "config" / f"{options.profile}.yaml"], options.set)
    options.gpus = options.gpus or config.hardware.processes
    result = measure(size, config, options)
    stem = options.out / slug(f"training-{options.size}-{options.profile}-{result['device']}")
    write_result(stem, result, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
