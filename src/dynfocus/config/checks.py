"""Settings that are valid one by one and impossible together, found when a profile is read and not after an hour.

Each check names the keys that are at odds, so that the message can name the file that sets them.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dynfocus.config.nearest import require_known
from dynfocus.config.schema import ClipBackbone, Config
from dynfocus.errors import UserError
from dynfocus.files import read_json

MEMORY_SIDE = 8
"""Side of a whole frame in Flash-VStream's memory, where the grid has more patches than that."""
COUNTS_OF_A_SHAPE = {
    "llm": ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    "qformer": ("num_query_tokens", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
}
"""What the JSON file of a backbone that is trained here must say."""
PATCH = re.compile(r"patch(\d{1,4})")


@dataclass(frozen=True)
class Conflict:
    """Settings that cannot stand together: their key paths, the likeliest mistake first, and what to do."""

    keys: tuple[str, ...]
    message: str


ELSEWHERE = ("hf-hub:", "local-dir:")
"""open_clip's marks of a model that is described where its weights are."""


@dataclass(frozen=True)
class Vision:
    """Shape of a visual encoder: side of its image and of a patch in pixels; None for blocks that are not listed."""

    image_size: int
    patch_size: int
    layers: int | None


def conflicts(config: Config) -> Iterator[Conflict]:
    """Every conflict of a profile or of a run."""
    yield from _patches(config)
    yield from _trained_backbones(config)
    yield from _visual_encoder(config)
    yield from _batches(config)


def accumulation(global_batch: int, world: int, micro_batch: int) -> int:
    """Forward passes per process and optimizer step: global batch = world × micro × accumulation.

    Raises:
        UserError: the global batch is not a multiple of world × micro; names the nearest values that are valid.
    """
    share = world * micro_batch
    if global_batch % share == 0:
        return global_batch // share
    raise UserError(
        f"global_batch {global_batch} is not a multiple of {world} processes × micro_batch {micro_batch}; "
        f"nearest valid: {_nearest_values(global_batch, world, micro_batch)}"
    )


def vision_of(clip: ClipBackbone) -> Vision | None:
    """The shape of a profile's visual encoder, of its JSON file or of open_clip's own; None where neither tells.

    Raises:
        UserError: there is no such file or model, or the file is not that of a visual encoder.
    """
    own = clip.model.endswith(".json")
    file = Path(clip.model) if own else _open_clip_file(clip.model)
    if file is None:
        return None
    vision = read_json(file, dict, "give an open_clip model configuration").get("vision_cfg")
    vision = vision if isinstance(vision, dict) else {}
    named = PATCH.search(str(vision.get("timm_model_name", "")))
    patch: Any = int(named[1]) if named else vision.get("patch_size")
    image, layers = vision.get("image_size", 224), vision.get("layers")
    if _is_count(image) and _is_count(patch) and patch <= image:
        return Vision(image, patch, layers if _is_count(layers) else None)
    if own:
        raise UserError(f"{file}: vision_cfg must give image_size and a smaller patch_size, whole numbers of pixels")
    return None


def _patches(config: Config) -> Iterator[Conflict]:
    """Prototypes and pooling against the patches of a frame."""
    network = config.network
    grid, pooled, patches = network.grid, network.pooled_grid, network.grid**2
    if grid % pooled:
        yield Conflict(
            ("network.pooled_grid", "network.grid"),
            f"pooled_grid {pooled} does not divide grid {grid}, and pooling needs whole squares; "
            f"choose {_nearest_divisor(grid, pooled)}",
        )
    if network.encoder == "flash_vstream" and grid > MEMORY_SIDE and grid % MEMORY_SIDE:
        yield Conflict(
            ("network.grid", "network.encoder"),
            f"grid {grid} is no multiple of {MEMORY_SIDE}, the side of a frame in flash_vstream's memory; "
            f"choose a visual encoder with a grid of {max(1, round(grid / MEMORY_SIDE)) * MEMORY_SIDE}",
        )
    if network.fine_prototypes > patches:
        yield Conflict(
            ("network.fine_prototypes", "network.grid"),
            f"fine_prototypes {network.fine_prototypes} are more than the {patches} patches of a frame "
            f"(grid {grid}); choose at most {patches}",
        )
    if network.coarse_prototypes > network.fine_prototypes:
        yield Conflict(
            ("network.coarse_prototypes", "network.fine_prototypes"),
            f"coarse_prototypes {network.coarse_prototypes} are more than the {network.fine_prototypes} "
            f"fine_prototypes that they merge; choose at most {network.fine_prototypes}",
        )
    if network.encoder == "dynfocus" and network.cone_tokens == "dropped" and network.rod_tokens == 0:
        yield Conflict(
            ("network.cone_tokens", "network.rod_tokens"),
            "cone_tokens dropped and rod_tokens 0 leave no visual token; for a model that sees nothing set "
            "encoder: blind",
        )


def _visual_encoder(config: Config) -> Iterator[Conflict]:
    """The grid, the image and the block against the visual encoder."""
    clip, size, grid = config.backbones.clip, config.video.image_size, config.network.grid
    try:
        vision = vision_of(clip)
    except UserError as error:
        yield Conflict(("backbones.clip.model",), str(error))
        return
    if vision is None:
        return
    if size != vision.image_size:
        yield Conflict(
            ("video.image_size", "backbones.clip.model"),
            f"image_size {size} is not that of {clip.model}; set image_size to {vision.image_size}",
        )
    elif grid != size // vision.patch_size:
        yield Conflict(
            ("network.grid", "backbones.clip.model"),
            f"grid {grid} is not that of {clip.model}, whose {size} pixels are patches of {vision.patch_size}; "
            f"set grid to {size // vision.patch_size}",
        )
    if vision.layers is not None and -clip.layer > vision.layers:
        yield Conflict(
            ("backbones.clip.layer", "backbones.clip.model"),
            f"layer {clip.layer} is before the first of the {vision.layers} blocks of {clip.model}; "
            f"choose -{vision.layers} to -1",
        )


def _trained_backbones(config: Config) -> Iterator[Conflict]:
    """A backbone that is trained here needs the JSON file of its shape."""
    for name, key in (("clip", "model"), ("llm", "name"), ("qformer", "name")):
        settings: Any = getattr(config.backbones, name)
        shape = getattr(settings, key)
        if settings.source != "train":
            continue
        if shape.endswith(".json") and Path(shape).is_file():
            yield from (Conflict((f"backbones.{name}.{key}",), fault) for fault in _faults_of_shape(name, Path(shape)))
            continue
        known = f"config/backbones/{name}-mini.json"
        yield Conflict(
            (f"backbones.{name}.{key}", f"backbones.{name}.source"),
            f"source train needs the JSON file of a shape, and {shape} is none; name one, such as {known}",
        )


def _faults_of_shape(name: str, file: Path) -> Iterator[str]:
    """What is wrong with the shape of a backbone that is trained here; that of the visual encoder is read elsewhere."""
    try:
        shape = read_json(file, dict)
    except UserError as error:
        yield str(error)
        return
    for field in COUNTS_OF_A_SHAPE.get(name, ()):
        if not _is_count(shape.get(field)):
            yield f"{file}: {field} must be a whole number above 0; see config/backbones/{name}-mini.json"


def _batches(config: Config) -> Iterator[Conflict]:
    for stage in ("alignment", "instruction"):
        settings = getattr(config, stage)
        try:
            accumulation(settings.global_batch, config.hardware.processes, settings.micro_batch)
        except UserError as error:
            keys = (f"{stage}.global_batch", f"{stage}.micro_batch", "hardware.processes")
            yield Conflict(keys, str(error))


def _open_clip_file(model: str) -> Path | None:
    """The file that open_clip describes a model by; None without open_clip, and for a model of the hub or a folder.

    Raises:
        UserError: open_clip has no such model.
    """
    if model.startswith(ELSEWHERE):
        return None
    known = _open_clip_models()
    if known:
        require_known("open_clip", [model], known, "model")
    return known.get(model)


@cache
def _open_clip_models() -> dict[str, Path]:
    """The files of open_clip's models by name, found without importing it (and torch)."""
    package = importlib.util.find_spec("open_clip")
    folders = (package.submodule_search_locations if package else None) or ()
    return {file.stem: file for folder in folders for file in sorted(Path(folder, "model_configs").glob("*.json"))}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _nearest_values(global_batch: int, world: int, micro_batch: int) -> str:
    share = world * micro_batch
    batches = sorted({max(1, global_batch // share) * share, -(-global_batch // share) * share})
    offers = [f"global_batch {' or '.join(map(str, batches))}"]
    if global_batch % world == 0:
        offers.append(f"micro_batch {_nearest_divisor(global_batch // world, micro_batch)}")
    if global_batch % micro_batch == 0:
        offers.append(f"{_nearest_divisor(global_batch // micro_batch, world)} processes")
    return ", or ".join(offers)


def _nearest_divisor(number: int, wanted: int) -> int:
    small = [value for value in range(1, math.isqrt(number) + 1) if number % value == 0]
    divisors = [*small, *(number // value for value in small)]
    return min(divisors, key=lambda value: (abs(value - wanted), value))
