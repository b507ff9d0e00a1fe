"""The visual encoder: an open_clip model, kept as its JSON configuration and safetensors weights.

`train` makes a small CLIP on captioned stills of the mini world. `open_clip` fetches published
weights by their tag. `lavis` takes the visual encoder of BLIP-2 from `eva_vit_g.pth`, which has no
text encoder. Whatever the source, `load` returns a model whose `visual` gives the features.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP
from torch.nn import functional

from dynfocus.backbones import lavis
from dynfocus.backbones.loop import optimize
from dynfocus.backbones.weights import first_fault, read_checkpoint
from dynfocus.config.schema import ClipBackbone, Config
from dynfocus.errors import UserError
from dynfocus.machine.faults import reason_of
from dynfocus.network.clip import MERGES_FILE, build, model_config, normalize, save, visual_only
from dynfocus.network.vision import load_vision_tower
from dynfocus.world.films import BOARD, make_film
from dynfocus.world.questions import every_question
from dynfocus.world.stills import Still, still

STILLS = 3000
"""Different stills that training draws its batches from."""
FILMS = 400
"""Films about which the words of all questions stay in the vocabulary."""
FEATURE_STD = 0.75
"""Standard deviation of a trained encoder's features."""
DECORRELATION = 6.0
"""Weight of `decorrelation` in the loss."""
JITTER = 1e-4
"""Share of the mean variance that is added to every direction's: no covariance is then singular."""


def prepare(config: Config, out: Path) -> None:
    """Leave the CLIP of the configuration in `out`: `open_clip_config.json` and `open_clip_model.safetensors`."""
    torch.set_num_threads(config.hardware.threads)
    settings = config.backbones.clip
    if settings.source == "train":
        train(settings, config.video.image_size, out, config.world.seed)
    elif settings.source == "lavis":
        convert(settings, out)
    else:
        require_image_size(settings, config.video.image_size)
        fetch(settings, out)


def require_image_size(settings: ClipBackbone, image_size: int) -> None:
    """Raise UserError where the encoder was made for images of another size than the profile's."""
    own = model_config(settings.model)["vision_cfg"].get("image_size", image_size)
    if own != image_size:
        raise UserError(f"video.image_size is {image_size}, but {settings.model} has {own}; set them equal")


def convert(settings: ClipBackbone, out: Path) -> None:
    """The visual encoder in a LAVIS checkpoint, stored in the form that `load` reads."""
    shape, where = model_config(settings.model), "backbones.clip.weights"
    if "timm_model_name" not in shape["vision_cfg"]:
        raise UserError(f"backbones.clip.model: {settings.model} is no EVA; with source lavis it is EVA01-g-14")
    weights = lavis.open_clip_names(read_checkpoint(Path(settings.weights), where), f"{where}: {settings.weights}")
    try:
        model = visual_only(shape, weights)
    except RuntimeError as error:
        raise UserError(f"{where}: {settings.weights} does not fit {settings.model}: {first_fault(error)}") from error
    save(model, shape, out)


def fetch(settings: ClipBackbone, out: Path) -> None:
    """Published open_clip weights by tag or file, stored in the form that `load` reads.

    The encoder's own mean and deviation of pixels go along: SigLIP's are not CLIP's.
    """
    try:
        model = open_clip.create_model(settings.model, pretrained=settings.weights, require_pretrained=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"backbones.clip: cannot load {settings.model} {settings.weights}: {reason_of(error)}"
        ) from error
    noted = getattr(model.visual, "preprocess_cfg", {})
    pixels = {name: list(noted[name]) for name in ("mean", "std") if name in noted}
    save(model, model_config(settings.model) | {"preprocess_cfg": pixels}, out)


def train(settings: ClipBackbone, image_size: int, out: Path, seed: int) -> None:
    """Contrastive training on stills, their captions and their regions."""
    shape = model_config(settings.model)
    vision = shape["vision_cfg"]
    if vision["image_size"] // vision["patch_size"] != BOARD:
        raise UserError(f"{settings.model}: image_size / patch_size must be {BOARD}, the lattice that regions are on")
    if vision["image_size"] != image_size:
        raise UserError(
            f"video.image_size is {image_size}, but {settings.model} has {vision['image_size']}; set them equal"
        )
    torch.manual_seed(seed)
    model = build(shape)
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)

    def losses() -> Iterator[torch.Tensor]:
        rng = random.Random(seed)
        album = [still(rng, image_size) for _ in range(STILLS)]
        while True:
            yield caption_and_region_loss(model, tokenizer, rng.sample(album, settings.batch_size))

    optimize(model, losses(), settings.steps, settings.learning_rate, "contrastive training of CLIP")
    rng = random.Random(seed)
    rescale_stream(model, settings.layer, normalize(np.stack([still(rng, image_size).image for _ in range(64)])))
    for number in range(FILMS):  # questions are embedded too (redundancy), though nothing is trained on them
        for asked in every_question(make_film(number)):
            tokenizer.encode(f"{asked.text} {asked.answer}")
    merges = keep_met_words(model, tokenizer)
    save(model, shape | {"text_cfg": shape["text_cfg"] | {"vocab_size": model.vocab_size}}, out)
    (out / MERGES_FILE).write_bytes(merges)


@torch.no_grad()
def keep_met_words(model: CLIP, tokenizer: open_clip.SimpleTokenizer) -> bytes:
    """Cut the vocabulary to bytes and to pieces of the words that `tokenizer` has met; returns the merges left.

    Most of a small model would else be rows of words that it never reads. A merge stays where its result is part of a
    word that was met, in the order of before, so such words keep their tokens and these their embeddings; any other
    text is written in shorter pieces. The merges are in open_clip's own form, gzip of a line each.
    """
    words = [(*word[:-1], f"{word[-1]}</w>") for word in tokenizer.cache]
    parts = {"".join(word[i:j]) for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1)}
    lines = ["#version: 0.2", *(" ".join(merge) for merge in tokenizer.bpe_ranks if "".join(merge) in parts)]
    merges = gzip.compress("\n".join(lines).encode(), mtime=0)
    rows = [tokenizer.encoder[token] for token in open_clip.SimpleTokenizer(BytesIO(merges)).encoder]
    model.token_embedding = torch.nn.Embedding.from_pretrained(model.token_embedding.weight[rows], freeze=False)
    model.vocab_size = len(rows)
    return merges


@torch.no_grad()
def rescale_stream(model: CLIP, layer: int, images: torch.Tensor) -> None:
    """Scale the visual residual stream so that the features of `layer` have the standard deviation `FEATURE_STD`.

    Every block begins with a norm, so the stream's scale is free and the model computes what it did before. Fixing it
    makes the densities exp(−D) of the clustering alike in every training.
    """
    visual = model.visual
    scale = FEATURE_STD / load_vision_tower(visual, layer)(images).std()
    writers = [visual.ln_pre, *(part for block in visual.transformer.resblocks for part in block_outputs(block))]
    for parameter in (parameter for writer in writers for parameter in writer.parameters()):
        parameter.mul_(scale)


def block_outputs(block: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The two linear maps by which a block writes to the residual stream."""
    return block.attn.out_proj, block.mlp.c_proj


def caption_and_region_loss(model: CLIP, tokenizer: open_clip.SimpleTokenizer, stills: list[Still]) -> torch.Tensor:
    """CLIP's loss on images and captions plus the same loss on patches and the phrases for what they show.

    The second term makes the patch tokens local: with captions alone a small model stops at what tells whole pictures
    apart. Decoys among its phrases make it tell where things stand; by chance hardly two phrases differ in that alone.
    The third term keeps the features of all patches decorrelated (`decorrelation`).
    """
    images = normalize(np.stack([item.image for item in stills]))
    seen = model.visual.forward_intermediates(images, indices=1, normalize_intermediates=False, output_fmt="NLC")
    stream = seen["image_intermediates"][0]
    patches = model.visual.ln_post(stream) @ model.visual.proj
    rows = [number for number, item in enumerate(stills) for _ in item.regions]
    cells = [cell for item in stills for cell, _ in item.regions]
    true = [phrase for item in stills for _, phrase in item.regions]
    phrases = sorted({*true, *(decoy for item in stills for decoy in item.decoys)})
    targets = torch.tensor([phrases.index(phrase) for phrase in true])
    words = functional.normalize(model.encode_text(tokenizer(phrases)), dim=-1)
    captions = functional.normalize(model.encode_text(tokenizer([item.caption for item in stills])), dim=-1)
    scale = model.logit_scale.exp().clamp(max=100)
    local = functional.cross_entropy(scale * functional.normalize(patches[rows, cells], dim=-1) @ words.T, targets)
    logits = scale * functional.normalize(patches.mean(1), dim=-1) @ captions.T
    pairs = torch.arange(len(stills))
    whole = (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2
    return local + whole + DECORRELATION * decorrelation(stream.flatten(0, 1))


def decorrelation(features: torch.Tensor) -> torch.Tensor:
    """How far features (n, d) are from white, whatever their scale: zero where all d directions vary alike.

    The Kullback-Leibler divergence, per dimension, of a normal distribution with their covariance from one with a
    multiple of the identity. Contrast alone leaves what tells a place or a shape in directions of a thousandth of the
    variance, where a projector trained by gradient steps finds it last.
    """
    centred = features - features.mean(0)
    covariance = centred.T @ centred / centred.square().sum() * features.shape[1]  # of trace d
    return -torch.logdet(covariance + JITTER * torch.eye(features.shape[1])) / (2 * features.shape[1])
