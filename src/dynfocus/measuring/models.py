"""Models and questions behind the measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.steps.jobs import Jobs

if TYPE_CHECKING:
    from dynfocus.evaluation.answerers.base import Answerer
    from dynfocus.evaluation.questions import Question
    from dynfocus.network import DynFocusForConditionalGeneration, DynFocusProcessor


@dataclass(frozen=True)
class Loaded:
    """A trained model with its processor."""

    model: DynFocusForConditionalGeneration
    processor: DynFocusProcessor


def load_model(jobs: Jobs, item: str, run: str) -> Loaded:
    """Model and processor that answer for a run, first seed of the item, in evaluation mode on the profile's device."""
    from transformers import AutoModelForCausalLM

    from dynfocus.network import DynFocusProcessor

    folder = jobs.checkpoint(run, jobs.item_seeds(item)[0])
    model = AutoModelForCausalLM.from_pretrained(folder).eval().to(jobs.config.hardware.device)
    processor = DynFocusProcessor.from_pretrained(folder)
    processor.config = model.config
    return Loaded(model, processor)


def answerer_of(jobs: Jobs, item: str, run: str) -> Answerer:
    """What answers the questions of a run, as in the evaluation."""
    from dynfocus.evaluation.answerers import load_answerer

    seed, layout = jobs.item_seeds(item)[0], jobs.layout
    return load_answerer(jobs.run(run), jobs.checkpoint(run, seed), layout.data, layout.features, seed)


def questions_by_video(jobs: Jobs, name: str) -> dict[str, list[Question]]:
    """The questions that runs answer on a benchmark (`evaluation.limit`) by video, videos in the order of names."""
    by_video: dict[str, list[Question]] = {}
    for question in load_questions(benchmark(name), jobs.layout.data, jobs.config.evaluation):
        if question.video is not None:
            by_video.setdefault(question.video, []).append(question)
    return dict(sorted(by_video.items()))
