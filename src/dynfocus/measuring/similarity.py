"""Appendix A: how many frames of a video repeat, and how many say nothing about the answer.

r_d (equation 1): share of consecutive pairs whose similarity s_t = cos(f_t, f_{t+1}) is above 0.6.
r_a (equation 2): share of frames whose similarity s_t = cos(f_t, q‖a) is below 0.4. Both after
min-max normalisation over the video; f_t and q‖a are CLIP's embeddings of frame and text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dynfocus.paper.register import value_of

REPETITIVE = value_of("a.threshold_repetitive")
IRRELEVANT = value_of("a.threshold_irrelevant")
VIDEOS = int(value_of("a.videos"))
THRESHOLDS = tuple(step / 10 for step in range(1, 10))
"""Thresholds of the sensitivity table."""


class Embedder(Protocol):
    """CLIP: embeddings of the frames of a video and of texts."""

    def frames(self, video: str) -> NDArray[np.floating]:
        """(T, d) of the sampled frames."""

    def text(self, text: str) -> NDArray[np.floating]:
        """(d,)."""


@dataclass(frozen=True)
class Similarities:
    """One video's curves, min-max normalised: `consecutive` (T-1,), `to_text` (T,)."""

    video: str
    text: str
    consecutive: NDArray[np.floating]
    to_text: NDArray[np.floating]


@dataclass(frozen=True)
class Redundancy:
    """Mean ratios over the sampled videos of a benchmark."""

    benchmark: str
    repetitive: float
    irrelevant: float
    videos: int


def unit_rows(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows scaled to length 1; a row of zeros is refused, as it has no direction."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    if not np.all(lengths > 0):
        raise ValueError("a feature of length 0 has no direction")
    return features / lengths


def min_max(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values moved to [0, 1]. A constant curve has no scale and keeps its cosines."""
    if values.size == 0:
        return values
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high - low > 1e-7 else values


def consecutive_similarity(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """cos(f_t, f_{t+1}) of frames (T, d), min-max normalised: (T-1,)."""
    unit = unit_rows(features)
    return min_max(np.sum(unit[:-1] * unit[1:], axis=1))


def text_similarity(features: NDArray[np.floating], text: NDArray[np.floating]) -> NDArray[np.floating]:
    """cos(f_t, q‖a) of frames (T, d) and a text (d,), min-max normalised: (T,)."""
    return min_max(unit_rows(features) @ unit_rows(text))


def repetitive_ratio(similarities: NDArray[np.floating], threshold: float = REPETITIVE) -> float:
    """r_d of equation 1; 0 for a single frame, which repeats nothing."""
    return float(np.mean(similarities > threshold)) if similarities.size else 0.0


def irrelevant_ratio(similarities: NDArray[np.floating], threshold: float = IRRELEVANT) -> float:
    """r_a of equation 2."""
    return float(np.mean(similarities < threshold)) if similarities.size else 0.0


def draw_questions(questions: Sequence[tuple[str, str]], seed: int, videos: int = VIDEOS) -> list[tuple[str, str]]:
    """One (video, question and answer) for each of at most `videos` random videos; the order of `questions` is nothing.

    The question of a video is drawn too.
    """
    by_video: dict[str, list[str]] = {}
    for video, text in sorted(questions):
        by_video.setdefault(video, []).append(text)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(by_video), min(videos, len(by_video)))
    return [(video, generator.choice(by_video[video])) for video in chosen]


def similarities(pairs: Sequence[tuple[str, str]], embedder: Embedder) -> list[Similarities]:
    """Both curves of each (video, question and answer)."""
    curves = []
    for video, text in pairs:
        features = embedder.frames(video)
        curves.append(
            Similarities(video, text, consecutive_similarity(features), text_similarity(features, embedder.text(text)))
        )
    return curves


def summarise(
    benchmark: str, curves: Sequence[Similarities], repetitive: float = REPETITIVE, irrelevant: float = IRRELEVANT
) -> Redundancy:
    """Mean r_d and r_a over videos. Raises ValueError without a video."""
    if not curves:
        raise ValueError(f"{benchmark}: no video to measure")
    return Redundancy(
        benchmark,
        float(np.mean([repetitive_ratio(one.consecutive, repetitive) for one in curves])),
        float(np.mean([irrelevant_ratio(one.to_text, irrelevant) for one in curves])),
        len(curves),
    )


def sensitivity(curves: Sequence[Similarities]) -> dict[float, tuple[float, float]]:
    """Threshold -> mean (r_d, r_a), to see what the choice of 0.6 and 0.4 decides."""
    rows = {threshold: summarise("", curves, threshold, threshold) for threshold in THRESHOLDS}
    return {threshold: (row.repetitive, row.irrelevant) for threshold, row in rows.items()}
