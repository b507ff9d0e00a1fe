"""Models, questions and features behind the figures and measurements of a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import benchmark, load_questions

if TYPE_CHECKING:
    from dynfocus.evaluation.answer import Answerer
    from dynfocus.evaluation.questions import Question
    from dynfocus.network import DynFocusForConditionalGeneration, DynFocusProcessor
    from dynfocus.reporting.session import Session


@dataclass(frozen=True)
class Loaded:
    """A trained model with its processor."""

    model: DynFocusForConditionalGeneration
    processor: DynFocusProcessor


def checkpoint_of(session: Session, item: str, run: str) -> Path:
    """The stage-2 checkpoint that answers for a run, first seed. Raises UserError when it is not there."""
    folder = session.jobs.checkpoint(run, session.seeds(item)[0])
    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: no checkpoint of {run}; train it before drawing {item}")
    return folder


def load_model(session: Session, item: str, run: str) -> Loaded:
    """Model and processor of a run, in evaluation mode on the CPU."""
    from transformers import AutoModelForCausalLM

    from dynfocus.network import DynFocusProcessor

    folder = checkpoint_of(session, item, run)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    processor = DynFocusProcessor.from_pretrained(folder)
    processor.config = model.config
    return Loaded(model, processor)


def answerer_of(session: Session, item: str, run: str) -> Answerer:
    """What answers the questions of a run, as in the evaluation."""
    from dynfocus.evaluation.answerers import load_answerer

    settings, layout = session.jobs.run(run), session.layout
    seed = session.seeds(item)[0]
    return load_answerer(settings, checkpoint_of(session, item, run), layout.data, layout.features, seed)


def questions_by_video(session: Session, name: str) -> dict[str, list[Question]]:
    """The questions of a benchmark by video, videos in the order of their names."""
    folder = session.layout.data / benchmark(name).data_set
    if not folder.exists():
        raise UserError(f"{folder}: no files of {name}; prepare them first")
    by_video: dict[str, list[Question]] = {}
    for question in load_questions(benchmark(name), session.layout.data):
        if question.video is not None:
            by_video.setdefault(question.video, []).append(question)
    return dict(sorted(by_video.items()))
