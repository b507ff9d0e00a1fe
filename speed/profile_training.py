"""Says where the time of a training step goes, for several encoders on the same samples.

    python speed/profile_training.py --root .                       # mini profile, dynfocus and two_token
    python speed/profile_training.py --root . --stage alignment --runs dynfocus llama_vid two_token
    python speed/profile_training.py --root . --out speed/results

`--root` holds data/, features/ and backbones/ of a finished run of the profile. The steps are those of training: same
mixture, order, templates, collator, loss and AdamW; only DeepSpeed's wrapping is left out. Every step is timed in
parts: the backward pass is cut at the visual tokens and behind the text encoder, so that the share of each side is
measured, not estimated. The runs take turns step by step; times are medians over the steps.

The last lines compare each run with the last one named: is its step slower by more than its LLM tokens explain?
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.config import load_config
from dynfocus.config.experiments import load_experiments, run_config
from dynfocus.config.schema import Config
from dynfocus.features.store import FeatureStore
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.network import encoders
from dynfocus.network.build import build_model
from dynfocus.training.data import Collator, EpochSampler, Samples, load_mixture, readable
from dynfocus.training.stage import TEMPLATES
from dynfocus.training.trainer import answers_alone, mean_answer_loss

FUNCTIONS = {
    "S-DPC": (encoders, "object_prototypes_of"),
    "T-DPC": (encoders, "estimate_events"),
    "pooling": (encoders, "pool_patches"),
    "cooperative sequence": (encoders, "cooperative_sequence"),
}
"""Parts of the forward pass that are functions: name in the report, module and attribute."""
MODULES = {
    "text encoder": "connector.text_encoder",
    "context attention": "connector.context_attention",
    "dynamic selection": "connector.selection",
    "F_fine": "connector.fine_projector",
    "F_coarse": "connector.coarse_projector",
    "connector": "connector",
    "LLM": "language_model",
}
"""Parts of the forward pass that are modules."""
STEP_PARTS = ("data", "forward", "loss", "backward LLM", "backward connector", "backward text encoder", "optimizer")
"""Parts whose times add up to a step."""


@dataclass
class Clock:
    """Seconds of every named part, one list of steps per part."""

    steps: list[dict[str, float]] = field(default_factory=list)

    def start(self) -> None:
        """Begin a step."""
        self.steps.append(defaultdict(float))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block as (more of) the part `name` of this step."""
        begin = time.perf_counter()
        yield
        self.steps[-1][name] += time.perf_counter() - begin

    def median(self, name: str) -> float:
        """Median milliseconds of a part."""
        return 1000 * statistics.median(step.get(name, 0.0) for step in self.steps)


class Run:
    """One run of the experiments: its samples, model and optimizer."""

    def __init__(self, name: str, config: Config, stage: str, root: Path):
        self.name, self.clock = name, Clock()
        self.settings = getattr(config, stage)
        stores = {name: FeatureStore(root / "features" / name) for name in self.settings.datasets}
        torch.manual_seed(0)
        self.model, processor = build_model(config, root / "backbones")
        entries = load_mixture(self.settings.datasets, root / "data", self.settings.max_rounds)
        entries, _ = readable(entries, stores, self.settings.min_coverage)
        limit = self.settings.max_text_tokens
        self.samples = Samples(entries, stores, processor.tokenizer, TEMPLATES[stage], limit, 0)
        lengths = self.samples.lengths(self.model.num_visual_tokens)
        self.lengths = lengths if self.settings.group_by_length else None
        self.collate = Collator(processor)
        self.model.set_trainable(set(self.settings.trainable))
        self.model.train()
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(learning, lr=self.settings.learning_rate, foreach=True)
        self.cuts: dict[str, tuple[Tensor, Tensor]] = {}
        self.counts: list[dict[str, int]] = []
        _time_modules(self)

    def batches(self, count: int, lengths: list[int] | None) -> Iterator[list[int]]:
        """Sample indices of the first `count` steps of an epoch."""
        size = self.settings.micro_batch
        order = list(EpochSampler(len(self.samples), size, 0, lengths))
        return (order[start : start + size] for start in range(0, count * size, size))

    def step(self, indices: list[int]) -> None:
        """One optimizer step on the samples `indices`, timed part by part."""
        clock = self.clock
        clock.start()
        with clock.part("data"):
            batch = self.collate([self.samples[index] for index in indices])
        self.cuts.clear()
        inputs = answers_alone(batch)
        labels = inputs.pop("labels")
        with clock.part("forward"):
            outputs = self.model(**inputs)
        with clock.part("loss"):
            loss = mean_answer_loss(outputs, labels)
        with clock.part("backward LLM"):
            loss.backward()
        for name in ("connector", "text encoder"):
            with clock.part(f"backward {name}"):
                _continue_backward(self.cuts.get(name))
        with clock.part("optimizer"):
            torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.counts.append(count(batch, self.model.config.image_token_id))


def count(batch: dict[str, Tensor], image_token_id: int) -> dict[str, int]:
    """Tokens and frames of a batch, with and without padding."""
    text, video = batch["attention_mask"], batch.get("video_mask", torch.zeros(0, 0))
    return {
        "LLM tokens": int(text.sum()),
        "LLM positions, padding included": text.numel(),
        "visual tokens": int((batch["input_ids"] == image_token_id).sum()),
        "frames": int(video.sum()),
        "frames, padding included": video.numel(),
        "frame-prompt pairs": int(video.sum(1)[batch["prompt_video"]].sum()) if "prompt_video" in batch else 0,
    }


def _continue_backward(cut: tuple[Tensor, Tensor] | None) -> None:
    """Run the backward pass on from a cut (output, detached copy)."""
    if cut is not None and cut[0].requires_grad and cut[1].grad is not None:
        cut[0].backward(cut[1].grad)


def _time_modules(run: Run) -> None:
    """Time the modules' forward passes and cut the graph behind the connector and the text encoder."""
    begins: dict[str, float] = {}
    for label, path in MODULES.items():
        module = _submodule(run.model, path)
        if module is None:
            continue

        def before(_module: nn.Module, _inputs: Any, label: str = label) -> None:
            begins[label] = time.perf_counter()

        def after(_module: nn.Module, _inputs: Any, output: Any, label: str = label) -> Any:
            run.clock.steps[-1][label] += time.perf_counter() - begins[label]
            if label not in ("connector", "text encoder") or not output.requires_grad:
                return None
            leaf = output.detach().requires_grad_()
            run.cuts[label] = (output, leaf)
            return leaf

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    """A submodule by its path; None where the model has none."""
    for name in path.split("."):
        model = getattr(model, name, None)
        if model is None:
            return None
    return model


@contextmanager
def timed_functions(clock: Clock) -> Iterator[None]:
    """Time the functions of the forward pass in `clock`."""

    def timed(function: Callable, label: str) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            with clock.part(label):
                return function(*args, **kwargs)

        return call

    originals = {label: getattr(*place) for label, place in FUNCTIONS.items()}
    for label, (module, name) in FUNCTIONS.items():
        setattr(module, name, timed(originals[label], label))
    try:
        yield
    finally:
        for label, (module, name) in FUNCTIONS.items():
            setattr(module, name, originals[label])


def summary(run: Run, skip: int) -> dict[str, Any]:
    """Median milliseconds of the parts and mean counts of a run, without its first `skip` steps."""
    run.clock.steps, counts = run.clock.steps[skip:], run.counts[skip:]
    parts = {name: run.clock.median(name) for name in (*STEP_PARTS, *MODULES, *FUNCTIONS)}
    totals = [sum(step.get(name, 0.0) for name in STEP_PARTS) for step in run.clock.steps]
    return {
        "run": run.name,
        "step_ms": 1000 * statistics.median(totals),
        "parts_ms": parts,
        "llm_ms": parts["LLM"] + parts["loss"] + parts["backward LLM"],
        "counts": {name: statistics.mean(count[name] for count in counts) for name in counts[0]},
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    runs = result["runs"]
    lines = [
        f"# A training step, {result['stage']}",
        "",
        f"{result['profile']} profile, {result['samples']} samples a step, {result['threads']} thread(s), medians of "
        f"{result['steps']} steps, milliseconds. Indented parts are inside the one above.",
        "",
        "| part | " + " | ".join(run["run"] for run in runs) + " |",
        "| --- |" + " --- |" * len(runs),
    ]
    rows: list[tuple[str, Callable[[dict[str, Any]], float]]] = [("whole step", lambda run: run["step_ms"])]
    layout = {"forward": ("connector", "LLM")}
    inner = [name for name in (*MODULES, *FUNCTIONS) if name not in ("connector", "LLM")]
    for part in STEP_PARTS:
        rows.append((part, lambda run, part=part: run["parts_ms"][part]))
        for child in layout.get(part, ()):
            rows.append((f"– {child}", lambda run, child=child: run["parts_ms"][child]))
            for grandchild in inner if child == "connector" else ():
                rows.append((f"– – {grandchild}", lambda run, name=grandchild: run["parts_ms"][name]))
    for label, value in rows:
        lines.append(f"| {label} | " + " | ".join(f"{value(run):.1f}" for run in runs) + " |")
    for name in runs[0]["counts"]:
        lines.append(f"| {name} | " + " | ".join(f"{run['counts'][name]:.0f}" for run in runs) + " |")
    last = runs[-1]
    lines.append("")
    for run in runs[:-1]:
        extra = run["llm_ms"] - last["llm_ms"]
        explained = last["step_ms"] + extra
        tokens = run["counts"]["LLM tokens"] / last["counts"]["LLM tokens"]
        lines.append(
            f"* {run['run']}: LLM tokens {tokens:.2f} × those of {last['run']}, step "
            f"{run['step_ms'] / last['step_ms']:.2f} ×. The LLM takes {extra:.1f} ms more: {last['run']} with that "
            f"would take {explained:.1f} ms, {run['run']} takes {run['step_ms']:.1f} ms "
            f"({run['step_ms'] - explained:+.1f} ms)."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train a few steps of each run in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config/mini.yaml"), help="profile")
    parser.add_argument("--root", type=Path, default=Path("."), help="folder with data/, features/ and backbones/")
    parser.add_argument("--stage", choices=tuple(TEMPLATES), default="instruction")
    parser.add_argument("--runs", nargs="+", default=["dynfocus", "two_token"], help="runs of the experiments")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each run")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=None, help="folder of the result files; none: print only")
    options = parser.parse_args()
    prepare_process()
    torch.set_num_threads(options.threads)
    config = load_config([options.config])
    experiments = load_experiments(Path(config.experiments), config)
    runs = [Run(name, run_config(config, experiments, name), options.stage, options.root) for name in options.runs]
    count = options.steps + options.warmup
    for batches in zip(*(run.batches(count, runs[0].lengths) for run in runs), strict=True):
        for run, indices in zip(runs, batches, strict=True):
            with timed_functions(run.clock):
                run.step(indices)
    result = {
        "profile": config.profile,
        "stage": options.stage,
        "samples": runs[0].settings.micro_batch,
        "threads": options.threads,
        "steps": options.steps,
        "runs": [summary(run, options.warmup) for run in runs],
    }
    print(markdown(result))
    if options.out is not None:
        stem = options.out / f"training-step-{config.profile}-{options.stage}"
        write_result(stem, result, markdown(result))


if __name__ == "__main__":
    main()
