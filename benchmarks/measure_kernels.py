"""Times the network's kernels beside plain reference versions, in one run, on a CPU or a CUDA device.

    python benchmarks/measure_kernels.py                                   # 2 threads, T = 25, 100, 1000
    python benchmarks/measure_kernels.py --frames 25 --repeats 3
    python benchmarks/measure_kernels.py --device cuda --out benchmarks/results

Each kernel and its reference run alternately; times are medians. Shares are of what this machine reaches in a large
fp32 matmul and in a large copy, measured in the same run. Peak memory is what the call allocates beyond its inputs.
The result is written as JSON and Markdown, named after the device.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import reference
import torch
from torch import Tensor

from dynfocus.config.schema import Network
from dynfocus.network.batch import Rows
from dynfocus.network.cce import ContextAttention, content_tokens, object_prototypes_of, read_objects
from dynfocus.network.clustering import kmeans
from dynfocus.network.dpe import ScoreNetwork, estimate_events, pool_patches
from dynfocus.network.topk import perturbed_topk

PATCHES, WIDTH, TEXT_WIDTH, QUERIES = 256, 1408, 768, 32
REFERENCE_KMEANS_BYTES = 4 << 30
"""Above this size of its (T, K, c) differences the reference K-means is not run."""


@dataclass
class Row:
    """One line of the result: milliseconds, shares of the ceilings in percent, peak MiB; None where not run."""

    kernel: str
    frames: int
    ours_ms: float
    reference_ms: float | None
    ratio: float | None
    matmul_share: float
    memory_share: float
    ours_mib: float
    reference_mib: float | None


@dataclass
class Case:
    """A kernel at one size: two calls to compare, and the work that the kernel cannot avoid."""

    kernel: str
    frames: int
    ours: Callable[[], object]
    reference: Callable[[], object] | None
    flops: float
    bytes: float


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Memory that a call allocates at its peak: torch's counter on CUDA, sampled resident memory on a CPU."""
    if device.type == "cuda":
        synchronise(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    base, peak, done = resident_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], resident_bytes())
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(0, peak[0] - base)


def ceilings(device: torch.device, repeats: int) -> tuple[float, float]:
    """fp32 matmul rate in FLOP/s and copy rate in bytes/s (read + write) of the device."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    source = torch.randn(1 << (28 if device.type == "cuda" else 25), device=device)
    target = torch.empty_like(source)
    matmul = min(seconds(lambda: a @ b, device) for _ in range(repeats + 2))
    copy = min(seconds(lambda: target.copy_(source), device) for _ in range(repeats + 2))
    return 2 * size**3 / matmul, 2 * source.nbytes / copy


def video(frames: int, device: torch.device) -> Tensor:
    """Features (T, N, d) of a film of scenes: a few scenes of a few objects each, with noise."""
    generator = torch.Generator().manual_seed(0)
    scenes = torch.randn(12, 20, WIDTH, generator=generator)
    objects = torch.randint(20, (12, PATCHES), generator=generator)
    features = torch.empty(frames, PATCHES, WIDTH)
    for t in range(frames):
        scene = (12 * t) // frames
        features[t] = scenes[scene, objects[scene]] + 0.7 * torch.randn(PATCHES, WIDTH, generator=generator)
    return features.to(device)


def clustering_cases(features: Tensor, network: Network) -> list[Case]:
    """T-DPC, S-DPC and weighted K-means on the features (T, N, d) of one video."""
    frames = features.shape[0]
    pooled = pool_patches(features, network.grid, network.pooled_grid)
    flat = pooled.flatten(1)
    channels = flat.shape[1]
    neighbours = (network.fine_neighbours, network.coarse_neighbours)

    def reference_objects() -> list[Tensor]:
        sizes = (network.fine_prototypes, network.coarse_prototypes, neighbours)
        return [reference.usual_object_prototypes(frame, *sizes) for frame in features]

    cases = [
        Case(
            "T-DPC",
            frames,
            lambda: estimate_events(pooled[None], None, network),
            lambda: reference.usual_events(flat, network.event_prototypes, network.temporal_neighbours),
            2 * frames**2 * channels,
            flat.nbytes,
        ),
        Case(
            "S-DPC",
            frames,
            lambda: object_prototypes_of(features, network),
            reference_objects,
            2 * frames * PATCHES * (PATCHES + network.fine_prototypes) * WIDTH,
            features.nbytes,
        ),
    ]
    clusters = 80
    if frames > clusters:
        weights = torch.ones(frames, device=features.device)
        fits = frames * clusters * flat[0].nbytes <= REFERENCE_KMEANS_BYTES
        cases.append(
            Case(
                "weighted K-means, K = 80",
                frames,
                lambda: kmeans(flat[None], clusters, weights[None]),
                (lambda: reference.usual_kmeans(flat, clusters, weights, 20)) if fits else None,
                4 * frames * clusters * channels,
                flat.nbytes,
            )
        )
    return cases


def selection_cases(device: torch.device, network: Network) -> list[Case]:
    """The perturbed Top-K, forward and backward, and dynamic selection, at L = 25 and 80."""
    cases = []
    for length in (25, 80):
        count = round(length * network.selection_ratio)
        scores = torch.rand(length, device=device)
        grad = torch.randn(count, length, device=device)
        kept = torch.tensor([count], device=device)

        def ours(scores=scores, grad=grad, kept=kept, count=count) -> Tensor:
            leaf = scores[None].clone().requires_grad_()
            soft = perturbed_topk(leaf, kept, count, network.perturbations, network.sigma)
            soft.backward(grad[None])
            return leaf.grad

        def plain(scores=scores, grad=grad, count=count) -> Tensor:
            noise = torch.randn(network.perturbations, scores.shape[0], device=scores.device)
            _, jacobian = reference.perturbed_topk(scores, noise, count, network.sigma)
            return torch.einsum("kl,klm->m", grad, jacobian)

        work = network.perturbations * length
        cases.append(Case(f"perturbed Top-K, L = {length}", 1, ours, plain, 2 * work, 8 * work))
    return cases


def encoding_cases(features: Tensor, network: Network) -> list[Case]:
    """Dynamic selection's scores and the rods: context attention and content tokens over all frames."""
    frames, device = features.shape[0], features.device
    tokens = object_prototypes_of(features[:1], network).tokens.repeat(frames, 1, 1)
    attention = ContextAttention(TEXT_WIDTH, WIDTH).to(device)
    queries = torch.randn(frames, QUERIES, TEXT_WIDTH, device=device)
    rows = Rows.of((frames,), (0,), device)
    score = ScoreNetwork(WIDTH).to(device)
    prototypes = torch.randn(1, network.event_prototypes, network.pooled_grid**2, WIDTH, device=device)
    exists = torch.ones(prototypes.shape[:2], dtype=torch.bool, device=device)

    def ours() -> Tensor:
        read = attention(queries, tokens, None, rows)
        return torch.cat([read_objects(read, tokens, None, rows), content_tokens(tokens, None)])

    def plain() -> Tensor:
        return torch.stack([reference.context_token(attention, q, g) for q, g in zip(queries, tokens, strict=True)])

    e, grains = 2 * WIDTH, tokens.shape[1]
    return [
        Case(
            "rods: context and content",
            frames,
            torch.no_grad()(ours),
            torch.no_grad()(plain),
            2 * frames * (grains * WIDTH * TEXT_WIDTH + QUERIES * grains * TEXT_WIDTH + grains * WIDTH),
            tokens.nbytes + queries.nbytes,
        ),
        Case(
            "dynamic selection's scores",
            frames,
            torch.no_grad()(lambda: score(prototypes, exists)),
            torch.no_grad()(lambda: reference.score_events(score, prototypes[0])),
            2 * network.event_prototypes * (e * e + e * e // 2 + e * e // 8),
            prototypes.nbytes,
        ),
    ]


def measure(case: Case, device: torch.device, repeats: int, matmul: float, memory: float) -> Row:
    """One row: the kernel and its reference run alternately, `repeats` times after one warm-up each."""
    calls = [case.ours] if case.reference is None else [case.ours, case.reference]
    peaks = [peak_bytes(call, device) / 2**20 for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, column in zip(calls, times, strict=True):
            column.append(seconds(call, device))
    ours = statistics.median(times[0])
    plain = statistics.median(times[1]) if len(calls) == 2 else None
    return Row(
        case.kernel,
        case.frames,
        1000 * ours,
        None if plain is None else 1000 * plain,
        None if plain is None else plain / ours,
        100 * case.flops / ours / matmul,
        100 * case.bytes / ours / memory,
        peaks[0],
        peaks[1] if len(calls) == 2 else None,
    )


def device_name(device: torch.device) -> str:
    """Name of the device, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {torch.get_num_threads()} threads"
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def markdown(result: dict) -> str:
    """The result as a Markdown page."""

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"

    lines = [
        f"# Kernels on {result['device']}",
        "",
        f"torch {result['torch']}, fp32, N = {PATCHES}, d = {WIDTH}, medians of {result['repeats']}; "
        f"ceilings: matmul {result['matmul_gflops']:.0f} GFLOP/s, copy {result['memory_gbs']:.1f} GB/s.",
        "",
        "| kernel | T | ours, ms | reference, ms | ratio | matmul, % | memory, % | ours, MiB | reference, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        cells = [row["kernel"], str(row["frames"]), *(cell(value) for value in list(row.values())[2:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--frames", type=int, nargs="+", default=[25, 100, 1000], help="numbers of frames T")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each side")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the result files"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device, network = torch.device(options.device), Network()
    matmul, memory = ceilings(device, options.repeats)
    rows = []
    for frames in options.frames:
        features = video(frames, device)
        cases = clustering_cases(features, network) + encoding_cases(features, network)
        if frames == options.frames[0]:
            cases += selection_cases(device, network)
        for case in cases:
            rows.append(asdict(measure(case, device, options.repeats, matmul, memory)))
            print(f"T = {frames}: {case.kernel}: {rows[-1]['ours_ms']:.2f} ms", flush=True)
    result = {
        "device": device_name(device),
        "torch": torch.__version__,
        "repeats": options.repeats,
        "matmul_gflops": matmul / 1e9,
        "memory_gbs": memory / 1e9,
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / ("kernels-" + re.sub(r"[^a-z0-9]+", "-", result["device"].lower()).strip("-"))
    stem.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    stem.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
