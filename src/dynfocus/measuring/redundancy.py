"""Appendix A on real files: CLIP's embeddings of sampled frames and of question and answer, through open_clip."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.config.schema import Video
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features.decode import sample_frames
from dynfocus.measuring.models import questions_by_video
from dynfocus.measuring.similarity import draw_questions, similarities
from dynfocus.steps.jobs import Jobs

LETTERS = "ABCDEF"
FRAMES_PER_PASS = 64
DIGITS = 6


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`curves`: benchmark -> the similarities along each sampled video; `gaps`: benchmark -> why there are none."""
    curves: dict[str, list[dict[str, Any]]] = {}
    gaps: dict[str, str] = {}
    for name in jobs.item_benchmarks(item):
        try:
            by_video = questions_by_video(jobs, name)
            pairs = [(video, question_and_answer(one)) for video, asked in by_video.items() for one in asked]
            folder = jobs.layout.data / benchmark(name).data_set
            embedder = ClipEmbedder(jobs.layout.backbones / "clip", folder, jobs.config.video)
            found = similarities(draw_questions(pairs, jobs.item_seeds(item)[0]), embedder)
        except UserError as error:
            gaps[name] = str(error)
            continue
        curves[name] = [
            {
                "video": one.video,
                "text": one.text,
                "consecutive": [round(float(value), DIGITS) for value in one.consecutive],
                "to_text": [round(float(value), DIGITS) for value in one.to_text],
            }
            for one in found
        ]
    return {"curves": curves, "gaps": gaps}


@cache
def load_clip(checkpoint: Path) -> tuple[Any, Any]:
    """The CLIP of the prepared visual encoder and its tokenizer, read once for all benchmarks."""
    from dynfocus.network.clip import load, load_tokenizer

    model = load(checkpoint)
    return model, load_tokenizer(checkpoint, model.context_length)


class ClipEmbedder:
    """The visual encoder's whole CLIP, both towers, as the embedder of frames and texts."""

    def __init__(self, checkpoint: Path, data: Path, sampling: Video):
        """From the prepared visual encoder in `checkpoint`; video paths are relative to `data`."""
        self.model, self.tokenizer = load_clip(checkpoint)
        self.data, self.sampling = data, sampling

    def frames(self, video: str) -> NDArray[np.floating]:
        """(T, d) of the sampled frames of a video."""
        import torch

        from dynfocus.network.clip import normalize

        side = self.model.visual.image_size
        height, width = (side, side) if isinstance(side, int) else side
        sampled, _ = sample_frames(self.data / video, self.sampling)
        images = np.stack([resize(frame, width, height) for frame in sampled])
        with torch.inference_mode():
            parts = [self.model.encode_image(pixels) for pixels in normalize(images).split(FRAMES_PER_PASS)]
        return torch.cat(parts).float().numpy()

    def text(self, text: str) -> NDArray[np.floating]:
        """(d,) of question and answer together."""
        import torch

        with torch.inference_mode():
            return self.model.encode_text(self.tokenizer([text]))[0].float().numpy()


def resize(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A frame (H, W, 3) at another size, unchanged where it has that size."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def question_and_answer(question: Question) -> str:
    """q‖a: the bare question and its answer; of an option letter, the option's text."""
    gold = question.gold or ""
    if question.options and len(gold) == 1 and gold in LETTERS[: len(question.options)]:
        gold = question.options[LETTERS.index(gold)]
    return f"{question.encoder_prompt} {gold}".strip()
