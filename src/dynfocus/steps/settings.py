"""Which settings each step depends on, and the hash of exactly those.

A step runs again when its slice changes and only then, and an artefact is bound to the settings
that made it by the hash of its slice. Settings that say where or how fast something runs
(`hardware`, numbers of shards, checkpoint intervals) belong to no slice.
"""

from __future__ import annotations

from typing import Any

from dynfocus.config.schema import Config
from dynfocus.files import hash_of

Slice = dict[str, Any]

DATA = ("source", "world")
CLIP = ("world.seed", "backbones.clip", "video.image_size")
LLM = ("world.seed", "backbones.llm")
QFORMER = (*CLIP, "backbones.qformer")
FEATURES = (*DATA, *CLIP, "max_samples", "video", "feature_precision")
ALIGNMENT = (*DATA, "max_samples", "video", "feature_precision", "backbones", "network", "alignment")
INSTRUCTION = (*ALIGNMENT, "instruction")
SAMPLE = ("evaluation.limit", "evaluation.limit_seed")
ANSWERS = (
    *INSTRUCTION,
    "evaluation.batch_size",
    "evaluation.max_new_tokens",
    "evaluation.temperature",
    "evaluation.rectified_prompt",
    "evaluation.subtitles",
    *SAMPLE,
)
VERDICTS = (*SAMPLE, "evaluation.judge")
SCORES = ("profile", *SAMPLE, "evaluation.subtitles", "evaluation.bootstrap", "evaluation.judge.max_unjudged")

SLICES: dict[str, tuple[str, ...]] = {
    "prepare_data": DATA,
    "prepare_clip": CLIP,
    "prepare_llm": LLM,
    "prepare_qformer": QFORMER,
    "extract_features": FEATURES,
    "train_alignment": ALIGNMENT,
    "train_instruction": INSTRUCTION,
    "sample": SAMPLE,
    "measure_item": (*SAMPLE, "max_samples"),
    "answer_questions": ANSWERS,
    "judge_answers": VERDICTS,
    "judge_again": (*SAMPLE, "evaluation.second_judge"),
    "score_answers": SCORES,
}

WITHOUT_EFFECT = (
    "save_steps",
    *("address", "api_key_env", "limit_parameter", "concurrency", "requests_per_minute", "timeout", "retries"),
    *("give_up_after", "price_in", "price_out", "budget", "max_unjudged"),
)
"""Keys of a whole section that change no result: how often it is saved, and how a judge is reached, paced and paid."""


SINCE = {"held_out": 0, "frozen_llm": "full"}
"""Keys of a section that came later, and the value at which a result is what it was without them."""


def settings_of(config: Config, step: str) -> Slice:
    """The slice of a (run's) configuration that `step` depends on: key path -> plain value."""
    values = config.model_dump(mode="json")
    return {path: _pick(values, path) for path in sorted(set(SLICES[step]))}


def _pick(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    if isinstance(values, dict):
        return without_later({key: value for key, value in values.items() if key not in WITHOUT_EFFECT})
    return values


def without_later(section: Slice) -> Slice:
    """A section without the keys of `SINCE` that change nothing in it."""
    return {key: value for key, value in section.items() if key not in SINCE or SINCE[key] != value}


def alignment_key(config: Config, seed: int) -> str:
    """The name of a stage-1 checkpoint: runs with an equal stage-1 slice and seed share it."""
    return hash_of({"seed": seed, **settings_of(config, "train_alignment")})
