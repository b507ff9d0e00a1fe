"""The perturbed Top-K's gradient at trained checkpoints: the plain mean, ours and the released code's beside the truth.

    python scripts/compare_gradients.py checkpoints/instruction/dynfocus/seed-0 --root . --out speed/results/gradient

Batches of instruction tuning go through a checkpoint, and at every film that the selection chooses from the gradient of
the loss with respect to the indicator, ∂loss/∂P_σ, is kept. With it held fixed three estimators of ∂loss/∂scores are
drawn many times: the mean over n draws of g · Z / σ (before), the same with the mean over the other draws subtracted
(ours, the network's own backward pass), and the diagonal of the released code. The truth is ours over 200,000 draws,
and is checked by central differences of the expectation with common draws.

Cosines are those of one estimate with the truth, over all scores of a film; the variance is E‖estimate − truth‖² as a
multiple of ‖truth‖². Both are means over draws and medians over films. `--root` holds data/, features/ and backbones/.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dynfocus.config import load_config
from dynfocus.config.experiments import load_experiments, run_config
from dynfocus.errors import UserError
from dynfocus.features.store import FeatureStore
from dynfocus.files import write_result
from dynfocus.machine.startup import prepare_process
from dynfocus.network import DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.network.topk import perturbed_topk
from dynfocus.tokens import selected_events
from dynfocus.training.data import Collator, EpochSampler, Samples, load_mixture, readable
from dynfocus.training.stage import TEMPLATES
from dynfocus.training.trainer import answers_alone, mean_answer_loss

EXACT_DRAWS, BLOCK = 200_000, 20_000
STEP = 0.02
"""Half the distance of the two points of a central difference; σ is 0.1."""
ESTIMATORS = ("before", "ours", "diagonal")


@dataclass(frozen=True)
class Film:
    """What one film gives: scores (L,), ∂loss/∂P_σ (K, L)."""

    scores: Tensor
    grad: Tensor


def films_of(model: DynFocusForConditionalGeneration, batches: Iterator[dict[str, Tensor]]) -> list[Film]:
    """The films of training batches in which fewer prototypes are kept than there are."""
    seen, films = [], []

    def keep(_module, _inputs, selection) -> None:
        selection.indicator.retain_grad()
        seen.append(selection)

    hook = model.connector.selection.register_forward_hook(keep)
    for batch in batches:
        inputs = answers_alone(batch)
        labels = inputs.pop("labels")
        mean_answer_loss(model(**inputs), labels).backward()
        (selection,) = seen
        seen.clear()
        frames = inputs["video_mask"].sum(1).tolist() if "video_mask" in inputs else []
        for video, (length, kept) in enumerate(zip(frames, selection.counts, strict=True)):
            prototypes = selected_events(model.config, length)[0]
            if kept < prototypes == selection.scores.shape[1]:
                films.append(Film(selection.scores[video].detach(), selection.indicator.grad[video, :kept].clone()))
    hook.remove()
    return films


def estimate(film: Film, draws: int, sigma: float, kind: str, seed: int) -> Tensor:
    """One estimate (L,) of ∂loss/∂scores from `draws` draws."""
    count, generator = film.grad.shape[0], torch.Generator().manual_seed(seed)
    if kind == "before":
        noise = torch.randn(draws, film.scores.shape[0], generator=generator)
        chosen = (film.scores + sigma * noise).topk(count, dim=1).indices.sort(1).values
        gain = film.grad[torch.arange(count), chosen].sum(1)
        return (gain[:, None] * noise).mean(0) / sigma
    leaf = film.scores[None].clone().requires_grad_()
    rule = "diagonal" if kind == "diagonal" else "full"
    made = perturbed_topk(leaf, torch.tensor([count]), count, draws, sigma, rule, generator)
    made.backward(film.grad[None])
    return leaf.grad[0]


def differences(film: Film, sigma: float) -> Tensor:
    """Central differences (L,) of the expectation of ⟨∂loss/∂P_σ, P_σ⟩, with common draws."""
    count = torch.tensor([film.grad.shape[0]])

    def value(scores: Tensor) -> Tensor:
        blocks = []
        for seed in range(EXACT_DRAWS // BLOCK):
            generator = torch.Generator().manual_seed(10_000 + seed)
            made = perturbed_topk(scores[None], count, int(count), BLOCK, sigma, generator=generator)
            blocks.append((made[0] * film.grad).sum())
        return torch.stack(blocks).mean()

    units = STEP * torch.eye(film.scores.shape[0])
    return torch.stack([value(film.scores + unit) - value(film.scores - unit) for unit in units]) / (2 * STEP)


def compare(films: Sequence[Film], draws: int, sigma: float, repeats: int) -> dict[str, object]:
    """Cosine and relative variance of every estimator, and how far central differences are from the truth."""
    cosines: dict[str, list[float]] = {kind: [] for kind in ESTIMATORS}
    variances: dict[str, list[float]] = {kind: [] for kind in ESTIMATORS}
    apart = []
    for film in films:
        blocks = [estimate(film, BLOCK, sigma, "ours", 20_000 + seed) for seed in range(EXACT_DRAWS // BLOCK)]
        truth = torch.stack(blocks).mean(0)
        apart.append(float((differences(film, sigma) - truth).norm() / truth.norm()))
        for kind in ESTIMATORS:
            made = torch.stack([estimate(film, draws, sigma, kind, seed) for seed in range(repeats)])
            cosines[kind].append(float(torch.cosine_similarity(made, truth[None], 1).mean()))
            variances[kind].append(float((made - truth).square().sum(1).mean() / truth.square().sum()))
    median: Callable[[list[float]], float] = statistics.median
    return {
        "films": len(films),
        "prototypes": films[0].scores.shape[0],
        "kept": films[0].grad.shape[0],
        "draws": draws,
        "cosine": {kind: median(values) for kind, values in cosines.items()},
        "variance": {kind: median(values) for kind, values in variances.items()},
        "differences": median(apart),
    }


def markdown(rows: Sequence[dict]) -> str:
    """The result as a Markdown page."""
    lines = [
        "# The gradient of the perturbed Top-K at trained checkpoints",
        "",
        "Written by `scripts/compare_gradients.py`, which says what is measured. Medians over films; *before* is the",
        "plain mean over the draws, *diagonal* what the released code computes, *differences* the relative distance of",
        "central differences from the truth.",
        "",
        "| checkpoint | films | L | K | draws | cosine: before | ours | diagonal | variance: before | ours "
        "| differences |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cosine, variance = row["cosine"], row["variance"]
        lines.append(
            f"| {row['checkpoint']} | {row['films']} | {row['prototypes']} | {row['kept']} | {row['draws']} | "
            f"{cosine['before']:.2f} | {cosine['ours']:.2f} | {cosine['diagonal']:.2f} | {variance['before']:.2f} | "
            f"{variance['ours']:.2f} | {row['differences']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every checkpoint, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="trained models, RUN/seed-S")
    parser.add_argument("--config", type=Path, default=Path("config/mini.yaml"), help="profile")
    parser.add_argument("--root", type=Path, default=Path("."), help="folder with data/, features/ and backbones/")
    parser.add_argument("--batches", type=int, default=8, help="training batches")
    parser.add_argument("--repeats", type=int, default=100, help="estimates of each kind")
    parser.add_argument("--out", type=Path, default=None, help="result files without their ending; none: print only")
    options = parser.parse_args()
    prepare_process()
    base = load_config([options.config])
    rows = []
    for folder in options.checkpoints:
        name = folder.parent.name
        config = run_config(base, load_experiments(Path(base.experiments), base), name)
        stage = config.instruction
        stores = {name: FeatureStore(options.root / "features" / name) for name in stage.datasets}
        model = DynFocusForConditionalGeneration.from_pretrained(folder).train()
        processor = DynFocusProcessor.from_pretrained(folder)
        entries, _ = readable(load_mixture(stage.datasets, options.root / "data", stage.max_rounds), stores, 0.0)
        limit = stage.max_text_tokens
        samples = Samples(entries, stores, processor.tokenizer, TEMPLATES["instruction"], limit, 0)
        lengths = samples.lengths(model.num_visual_tokens) if stage.group_by_length else None
        order, size = list(EpochSampler(len(samples), stage.micro_batch, 0, lengths)), stage.micro_batch
        collate = Collator(processor)
        torch.manual_seed(0)
        batches = (
            collate([samples[index] for index in order[at * size : (at + 1) * size]]) for at in range(options.batches)
        )
        films = films_of(model, batches)
        if not films:
            raise UserError(f"{folder}: no film of its training has more prototypes than are kept; name another run")
        row = compare(films, model.config.perturbations, model.config.sigma, options.repeats)
        rows.append({"checkpoint": f"{name}, {folder.name}", **row})
        print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    if options.out is not None:
        write_result(options.out, rows, markdown(rows))


if __name__ == "__main__":
    main()
