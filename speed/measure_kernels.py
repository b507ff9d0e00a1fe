"""Times the network's kernels and its whole encoder beside plain reference versions, on a CPU or a CUDA device.

    python speed/measure_kernels.py                                   # 2 threads, T = 25, 100, 1000
    python speed/measure_kernels.py --frames 25 --repeats 3
    python speed/measure_kernels.py --frames 1000 --only T-DPC K-means
    python speed/measure_kernels.py --device cuda --precision bf16
    python speed/measure_kernels.py --frames 100 1000 --dynfocus DIR --chat-univi DIR --flash-vstream DIR

A kernel, its reference and, from checkouts that are named, the public code run in turn; times are medians. Shares are
of what this machine reaches in a large matmul of the same precision (never TF32) and in a large copy, measured in the
same run. Peak memory is what a call allocates at most beyond its inputs, by torch's own count. The result is written
as JSON and Markdown, named after the device; with `--only` it is printed alone, and with checkouts only what they have
is measured, to a file of its own. All sides allocate in huge pages (THP_MEM_ALLOC_ENABLE=1, unless set otherwise).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import torch
import usual_kernels
from public_code import FILES, PublicCode
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from dynfocus.config.schema import Network
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.network import reference
from dynfocus.network.batch import Prompts, Rows, Videos
from dynfocus.network.cce import ContextAttention, content_tokens, object_prototypes_of, read_objects
from dynfocus.network.clustering import kmeans
from dynfocus.network.complexity import WORDS, meta_encoder, module_work, paper_config
from dynfocus.network.dpe import ScoreNetwork, estimate_events, pool_patches
from dynfocus.network.topk import perturbed_topk
from dynfocus.steps.manifests import git_commit

PATCHES, WIDTH, TEXT_WIDTH, QUERIES = 256, 1408, 768, 32
REFERENCE_KMEANS_BYTES = 4 << 30
"""Above this size of its (T, K, c) differences the reference K-means is not run on a CPU."""
LONGEST_SECONDS = 10.0
"""A whole encoder with its text encoder is not run where its work takes longer at the measured matmul rate."""
HEADINGS = {
    "kernel": "kernel",
    "frames": "T",
    "ours_ms": "ours, ms",
    "reference_ms": "reference, ms",
    "ratio": "ratio",
    "matmul_share": "matmul, %",
    "memory_share": "memory, %",
    "ours_mib": "ours, MiB",
    "reference_mib": "reference, MiB",
    "public_ms": "public, ms",
    "public_ratio": "ratio",
    "public_mib": "public, MiB",
}
"""Field of a `Row` -> its heading; the last three only where public code was run."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UPS = {"cpu": 0, "cuda": 2}
"""Calls before the timed ones, beyond the one that measures memory."""


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
    public_ms: float | None = None
    public_ratio: float | None = None
    public_mib: float | None = None


@dataclass
class Case:
    """A kernel at one size: the calls to compare, and the work that the kernel cannot avoid."""

    kernel: str
    frames: int
    ours: Callable[[], object]
    reference: Callable[[], object] | None
    flops: float
    bytes: float
    public: Callable[[], object] | None = None


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Clock = Callable[[], float]


def seconds(call: Callable[[], object], device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Duration of one call: by `clock`, wall time, on a CPU; between two events of the stream on CUDA."""
    if device.type == "cuda":
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        synchronise(device)
        start.record()
        call()
        stop.record()
        synchronise(device)
        return start.elapsed_time(stop) / 1000
    start = clock()
    call()
    return clock() - start


def median_seconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median duration of a call after its warm-up."""
    return statistics.median([seconds(call, device) for _ in range(1 + repeats)][1:])


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Memory that a call allocates at its peak, by torch's own count."""
    if device.type == "cuda":
        synchronise(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes, initial=0))


def ceilings(device: torch.device, dtype: torch.dtype, repeats: int, clock: Clock) -> tuple[float, float]:
    """Matmul rate of a type in FLOP/s and copy rate in bytes/s (read + write) of the device."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.randn(1 << (28 if device.type == "cuda" else 25), device=device)
    target = torch.empty_like(source)
    matmul = min(seconds(lambda: a @ b, device, clock) for _ in range(repeats + 2))
    copy = min(seconds(lambda: target.copy_(source), device, clock) for _ in range(repeats + 2))
    return 2 * size**3 / matmul, 2 * source.nbytes / copy


def video(frames: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Features (T, N, d) of a film of scenes: a few scenes of a few objects each, with noise."""
    generator = torch.Generator().manual_seed(0)
    scenes = torch.randn(12, 20, WIDTH, generator=generator)
    objects = torch.randint(20, (12, PATCHES), generator=generator)
    features = torch.empty(frames, PATCHES, WIDTH)
    for t in range(frames):
        scene = (12 * t) // frames
        features[t] = scenes[scene, objects[scene]] + 0.7 * torch.randn(PATCHES, WIDTH, generator=generator)
    return features.to(device, dtype)


def clustering_cases(features: Tensor, network: Network, public: PublicCode) -> list[Case]:
    """T-DPC, S-DPC and weighted K-means on the features (T, N, d) of one video."""
    frames = features.shape[0]
    pooled = pool_patches(features, network.grid, network.pooled_grid)
    flat = pooled.flatten(1)
    channels = flat.shape[1]
    neighbours = (network.fine_neighbours, network.coarse_neighbours)

    def reference_objects() -> list[Tensor]:
        sizes = (network.fine_prototypes, network.coarse_prototypes, neighbours)
        return [usual_kernels.object_prototypes(frame, *sizes) for frame in features]

    cases = [
        Case(
            "T-DPC",
            frames,
            lambda: estimate_events(pooled[None], None, network),
            lambda: usual_kernels.events(flat, network.event_prototypes, network.temporal_neighbours),
            2 * frames**2 * channels,
            flat.nbytes,
            public.events(flat, network.event_prototypes, network.temporal_neighbours),
        ),
        Case(
            "S-DPC",
            frames,
            lambda: object_prototypes_of(features, network),
            reference_objects,
            2 * frames * PATCHES * (PATCHES + network.fine_prototypes) * WIDTH,
            features.nbytes,
            public.objects(features),
        ),
    ]
    clusters = 80
    if frames > clusters:
        weights = torch.ones(frames, device=features.device)
        fits = features.is_cuda or frames * clusters * flat[0].nbytes <= REFERENCE_KMEANS_BYTES
        cases.append(
            Case(
                "weighted K-means, K = 80",
                frames,
                lambda: kmeans(flat[None], clusters, weights[None].log()),
                (lambda: usual_kernels.kmeans(flat, clusters, weights, 20)) if fits else None,
                4 * frames * clusters * channels,
                flat.nbytes,
                public.kmeans(pooled, clusters) if fits else None,
            )
        )
    return cases


def selection_cases(device: torch.device, network: Network, public: PublicCode) -> list[Case]:
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
        theirs = public.topk(scores, grad, network.perturbations, network.sigma)
        cases.append(Case(f"perturbed Top-K, L = {length}", 1, ours, plain, 2 * work, 8 * work, theirs))
    return cases


def encoding_cases(features: Tensor, network: Network, public: PublicCode) -> list[Case]:
    """Dynamic selection's scores and the rods: context attention and content tokens over all frames."""
    frames, like = features.shape[0], {"device": features.device, "dtype": features.dtype}
    tokens = object_prototypes_of(features[:1], network).tokens.repeat(frames, 1, 1)
    attention = ContextAttention(TEXT_WIDTH, WIDTH).to(**like)
    queries = torch.randn(frames, QUERIES, TEXT_WIDTH, **like)
    rows = Rows.of((frames,), (0,), features.device)
    score = ScoreNetwork(WIDTH).to(**like)
    prototypes = torch.randn(1, network.event_prototypes, network.pooled_grid**2, WIDTH, **like)
    exists = torch.ones(prototypes.shape[:2], dtype=torch.bool, device=features.device)

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
            public.scores(prototypes),
        ),
    ]


class Given(nn.Module):
    """In place of the text encoder: queries (R, n, h) made before; the norm tells the connector's type."""

    def __init__(self, queries: Tensor, norm: nn.Module):
        super().__init__()
        self.queries = queries
        self.ln_vision = norm

    def forward(self, frames: Tensor, prompts: Prompts, rows: Rows) -> Tensor:
        """The queries, whatever is asked."""
        return self.queries


def random_weights(module: nn.Module, features: Tensor) -> nn.Module:
    """The module with small random weights, on the device and in the type of the features."""
    module.to_empty(device=features.device).to(features.dtype)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.02)
        for name, buffer in module.named_buffers():
            if name.endswith("position_ids"):
                buffer.copy_(torch.arange(buffer.numel(), device=buffer.device).view_as(buffer))
    return module.eval()


def whole_cases(features: Tensor, matmul: float) -> list[Case]:
    """The visual tokens of a video at paper size: without the text encoder, and with it where that ends in time."""
    frames, device = features.shape[0], features.device
    work = {name: 2e9 * gmacs for name, gmacs in module_work(paper_config(), frames).items()}
    reading = work.pop("text_encoder")
    encoder = meta_encoder(paper_config())
    text_encoder = encoder.text_encoder
    queries = torch.randn(frames, QUERIES, TEXT_WIDTH, device=device, dtype=features.dtype)
    given = encoder.text_encoder = Given(queries, text_encoder.ln_vision)
    random_weights(encoder, features)
    videos = Videos.from_padded(features[None], torch.ones(1, frames, dtype=torch.bool, device=device))
    prompts = Prompts(torch.randint(1000, 2000, (1, WORDS), device=device), None, (0,))

    def ours(text_encoder: nn.Module) -> Tensor:
        encoder.text_encoder = text_encoder
        return encoder(videos, prompts)

    def plain() -> Tensor:
        return usual_kernels.visual_tokens(encoder, features, queries)

    cases = [
        Case(
            "visual tokens, text encoder's output given",
            frames,
            torch.no_grad()(lambda: ours(given)),
            torch.no_grad()(plain),
            sum(work.values()),
            features.nbytes,
        )
    ]
    if (sum(work.values()) + reading) / matmul < LONGEST_SECONDS:
        random_weights(text_encoder, features)
        whole = torch.no_grad()(lambda: ours(text_encoder))
        total = sum(work.values()) + reading
        cases.append(Case("visual tokens, with the text encoder", frames, whole, None, total, features.nbytes))
    return cases


def measure(
    case: Case, device: torch.device, repeats: int, budget: float, limits: tuple[float, float], clock: Clock
) -> Row:
    """One row: the kernel and what it is compared with in turn, each `repeats` times or for `budget` seconds.

    limits: the ceilings of matmul and copy; clock: as in `seconds`.
    """
    calls = {"ours": case.ours, "reference": case.reference, "public": case.public}
    calls = {side: call for side, call in calls.items() if call is not None}
    peaks = {side: peak_bytes(call, device) / 2**20 for side, call in calls.items()}
    for call in [*calls.values()] * WARM_UPS[device.type]:
        call()
    times: dict[str, list[float]] = {side: [] for side in calls}
    for _ in range(repeats):
        for side, call in calls.items():
            if sum(times[side]) < budget:
                times[side].append(seconds(call, device, clock))
    medians = {side: statistics.median(column) for side, column in times.items()}
    ours, (matmul, memory) = medians["ours"], limits

    def milliseconds(side: str) -> float | None:
        return 1000 * medians[side] if side in medians else None

    def ratio(side: str) -> float | None:
        return medians[side] / ours if side in medians else None

    return Row(
        case.kernel,
        case.frames,
        1000 * ours,
        milliseconds("reference"),
        ratio("reference"),
        100 * case.flops / ours / matmul,
        100 * case.bytes / ours / memory,
        peaks["ours"],
        peaks.get("reference"),
        milliseconds("public"),
        ratio("public"),
        peaks.get("public"),
    )


def cases_of(features: Tensor, first: bool, matmul: float, public: PublicCode) -> Iterator[Case]:
    """All cases of one film; the Top-K, which has no frames, with the first one."""
    network = Network()
    yield from clustering_cases(features, network, public)
    yield from encoding_cases(features, network, public)
    if not public:
        yield from whole_cases(features, matmul)
    if first:
        yield from selection_cases(features.device, network, public)


def device_name(device: torch.device) -> str:
    """Name of the device, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {torch.get_num_threads()} threads"
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def slug(name: str) -> str:
    """A name as part of the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def markdown(result: dict) -> str:
    """The result as a Markdown page."""

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"

    lines = [
        f"# Kernels on {result['device']}",
        "",
        f"Code {(result['commit'] or 'of no commit')[:10]}, torch {result['torch']}, {result['precision']}, "
        f"N = {PATCHES}, d = {WIDTH}, medians of at most {result['repeats']} ({result['time']} time), TF32 off; "
        f"ceilings: matmul {result['matmul_gflops']:.0f} GFLOP/s, copy {result['memory_gbs']:.1f} GB/s.",
        "",
    ]
    columns = list(HEADINGS)[: len(HEADINGS) if result["public"] else -3]
    lines += ["| " + " | ".join(HEADINGS[column] for column in columns) + " |", "| --- " * len(columns) + "|"]
    for row in result["rows"]:
        cells = [row["kernel"], str(row["frames"]), *(cell(row[column]) for column in columns[2:])]
        lines.append("| " + " | ".join(cells) + " |")
    if result["public"]:
        commits = (f"{FILES[name][0]} {commit}" for name, commit in result["public"].items())
        lines += ["", f"Public code: {', '.join(commits)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=TYPES, default="fp32", help="type of features and weights")
    parser.add_argument("--frames", type=int, nargs="+", default=[25, 100, 1000], help="numbers of frames T")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of the kernels to measure")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each side, at most")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds after which a side is not run again")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--processor-time", action="store_true", help="on a busy machine: count what the process ran, with one thread"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the result files"
    )
    for name, (what, _) in FILES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="DIR", help=f"checkout of {what}")
    options = parser.parse_args()
    public = PublicCode(**{name: getattr(options, name) for name in FILES})
    prepare_process()
    torch.set_num_threads(1 if options.processor_time else options.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    device, dtype = torch.device(options.device), TYPES[options.precision]
    clock = time.process_time if options.processor_time else time.perf_counter
    matmul, memory = ceilings(device, dtype, options.repeats, clock)
    rows = []
    for frames in options.frames:
        for case in cases_of(video(frames, device, dtype), frames == options.frames[0], matmul, public):
            if any(part in case.kernel for part in options.only) and (case.public is not None or not public):
                row = measure(case, device, options.repeats, options.budget, (matmul, memory), clock)
                rows.append(asdict(row))
                print(f"T = {frames}: {row.kernel}: {row.ours_ms:.2f} ms", flush=True)
    result = {
        "device": device_name(device),
        "precision": options.precision,
        "torch": torch.__version__,
        "commit": git_commit(),
        "huge_pages": os.environ["THP_MEM_ALLOC_ENABLE"],
        "repeats": options.repeats,
        "time": "processor" if options.processor_time else "wall",
        "matmul_gflops": matmul / 1e9,
        "memory_gbs": memory / 1e9,
        "public": public.commits(),
        "rows": rows,
    }
    print(markdown(result))
    if options.only == [""]:
        name = result["device"] if options.precision == "fp32" else f"{result['device']} {options.precision}"
        stem = options.out / f"kernels-{'public-' if public else ''}{slug(name)}"
        write_result(stem, result, markdown(result))


if __name__ == "__main__":
    main()
