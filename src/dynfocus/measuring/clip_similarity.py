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
from dynfocus.evaluation.questions import Question
from dynfocus.features.decode import sample_frames
from dynfocus.measuring.redundancy import (
    Similarities,
    draw_questions,
    measure,
    sensitivity,
    summarise,
)
from dynfocus.reporting.checkpoints import questions_by_video
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table

LETTERS = "ABCDEF"
FRAMES_PER_PASS = 64


@cache
def load_clip(checkpoint: Path) -> tuple[Any, Any]:
    """The CLIP of the prepared visual encoder and its tokenizer, read once for all benchmarks."""
    from open_clip import SimpleTokenizer

    from dynfocus.backbones.clip import load

    model = load(checkpoint)
    return model, SimpleTokenizer(context_length=model.context_length)


class ClipEmbedder:
    """The visual encoder's whole CLIP, both towers, as the embedder of frames and texts."""

    def __init__(self, checkpoint: Path, data: Path, sampling: Video):
        """From the prepared visual encoder in `checkpoint`; video paths are relative to `data`."""
        self.model, self.tokenizer = load_clip(checkpoint)
        self.data, self.sampling = data, sampling

    def frames(self, video: str) -> NDArray[np.floating]:
        """(T, d) of the sampled frames of a video."""
        import torch

        from dynfocus.backbones.clip import normalize

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


def measure_benchmarks(session: Session, item: str) -> tuple[dict[str, list[Similarities]], dict[str, str]]:
    """Curves of the sampled videos per benchmark of the item, and why others have none."""
    curves: dict[str, list[Similarities]] = {}
    gaps: dict[str, str] = {}
    seed = session.seeds(item)[0]
    for name in session.experiments.items[item].benchmarks:
        try:
            by_video = questions_by_video(session, name)
            pairs = [(video, question_and_answer(one)) for video, asked in by_video.items() for one in asked]
            embedder = ClipEmbedder(session.layout.backbones / "clip", session.layout.data / name, session.config.video)
            curves[name] = measure(draw_questions(pairs, seed), embedder)
        except UserError as error:
            gaps[name] = str(error)
    return curves, gaps


def redundancy_table(curves: dict[str, list[Similarities]], gaps: dict[str, str]) -> Table:
    """Mean r_d and r_a per benchmark."""
    rows = []
    for name, own in curves.items():
        found = summarise(name, own)
        rows.append(((name,), (f"{100 * found.repetitive:.1f}", f"{100 * found.irrelevant:.1f}", str(found.videos))))
    rows += [((name,), ("missing", "missing", "0")) for name in gaps]
    notes = [f"{name}: {reason}" for name, reason in gaps.items()]
    notes.append("The paper's own ratios are in a figure of the main paper, not in the text at hand.")
    columns = ("Repetitive r_d (%)", "Irrelevant r_a (%)", "Videos")
    return plain_table("redundancy", "Redundancy of the benchmarks", ("Benchmark",), columns, rows, notes=notes)


def sensitivity_table(curves: dict[str, list[Similarities]]) -> Table:
    """r_d / r_a over all sampled videos of each benchmark at other thresholds."""
    by_name = {name: sensitivity(own) for name, own in curves.items()}
    thresholds = sorted({threshold for row in by_name.values() for threshold in row})
    rows = [
        (
            (f"{threshold:.1f}",),
            [f"{100 * row[threshold][0]:.0f} / {100 * row[threshold][1]:.0f}" for row in by_name.values()],
        )
        for threshold in thresholds
    ]
    notes = ["The paper takes 0.6 for r_d and 0.4 for r_a."]
    title = "Sensitivity to the threshold: r_d / r_a (%)"
    return plain_table("redundancy_thresholds", title, ("Threshold",), list(by_name), rows, notes=notes)
