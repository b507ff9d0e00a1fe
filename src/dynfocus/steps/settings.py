"""Which settings each step depends on, and the hash of exactly those.

A step runs again when its slice changes and only then, and an artefact is bound to the settings
that made it by the hash of its slice. Settings that say where or how fast something runs
(`hardware`, numbers of shards, checkpoint intervals) belong to no slice.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dynfocus.config.schema import Config

Slice = dict[str, Any]

DATA = ("source", "world")
CLIP = ("world.seed", "backbones.clip", "video.image_size")
LLM = ("world.seed", "backbones.llm")
QFORMER = (*CLIP, "backbones.qformer")
FEATURES = (*DATA, *CLIP, "max_samples", "video", "feature_precision")
ALIGNMENT = (*DATA, "max_samples", "video", "feature_precision", "backbones", "network", "alignment")
INSTRUCTION = (*ALIGNMENT, "instruction")
ANSWERS = (
    *INSTRUCTION,
    "evaluation.batch_size",
    "evaluation.max_new_tokens",
    "evaluation.temperature",
    "evaluation.rectified_prompt",
)
VERDICTS = (
    "evaluation.judge.kind",
    "evaluation.judge.model",
    "evaluation.judge.temperature",
    "evaluation.judge.max_tokens",
)
SCORES = ("profile", "evaluation.bootstrap", "evaluation.judge.max_unjudged")

SLICES: dict[str, tuple[str, ...]] = {
    "prepare_data": DATA,
    "prepare_clip": CLIP,
    "prepare_llm": LLM,
    "prepare_qformer": QFORMER,
    "extract_features": FEATURES,
    "train_alignment": ALIGNMENT,
    "train_instruction": INSTRUCTION,
    "answer_questions": ANSWERS,
    "judge_answers": VERDICTS,
    "score_answers": SCORES,
}

WITHOUT_EFFECT = ("save_steps",)


def settings_of(config: Config, step: str) -> Slice:
    """The slice of a (run's) configuration that `step` depends on: key path -> plain value."""
    values = config.model_dump(mode="json")
    return {path: _pick(values, path) for path in sorted(set(SLICES[step]))}


def _pick(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    if isinstance(values, dict):
        return {key: value for key, value in values.items() if key not in WITHOUT_EFFECT}
    return values


def hash_of(settings: Any) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a JSON value, independent of key order."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def alignment_key(config: Config, seed: int) -> str:
    """The name of a stage-1 checkpoint: runs with an equal stage-1 slice and seed share it."""
    return hash_of({"seed": seed, **settings_of(config, "train_alignment")})
