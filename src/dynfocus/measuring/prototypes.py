"""Figure 3: what the network makes of one film: spatial and event prototypes, and what was asked about it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.questions import Question
from dynfocus.features.decode import sample
from dynfocus.features.store import FeatureStore
from dynfocus.measuring.models import load_model, questions_by_video
from dynfocus.measuring.pictures import to_text
from dynfocus.steps.jobs import Jobs

TIMELINE = ("prototype_of_frame", "prototype_frames", "scores", "cones", "tokens_per_frame")
"""Fields of an explanation over T frames and L event prototypes."""


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """The first question of the item's benchmark: time line, cluster maps (T, grid, grid), and the film's frames."""
    (run, *_), (name, *_) = jobs.item_runs(item), jobs.item_benchmarks(item)
    loaded = load_model(jobs, item, run)
    video, questions = next(iter(questions_by_video(jobs, name).items()))
    question, store = questions[0].encoder_prompt, FeatureStore(jobs.layout.features / name)
    device = loaded.model.device
    prompt = {key: value.to(device) for key, value in loaded.processor.encode_prompts([question]).items()}
    features = store.get(video).to(device, loaded.model.dtype)
    made = loaded.model.explain(features, prompt["prompt_input_ids"], prompt["prompt_attention_mask"])
    film = sample(jobs.layout.data / benchmark(name).data_set / video, jobs.config.video, np.asarray)
    return {
        "run": run,
        "benchmark": name,
        "video": video,
        "question": question,
        "timeline": {field: getattr(made, field).tolist() for field in TIMELINE},
        "fine": made.fine_map.tolist(),
        "coarse": None if made.coarse_map is None else made.coarse_map.tolist(),
        "frames": [to_text(picture) for picture in film.frames],
        "seconds": film.seconds.tolist(),
        "questions": [
            {"id": one.question_id, "question": one.encoder_prompt, "truth": truth_of(one)} for one in questions
        ],
    }


def truth_of(question: Question) -> str:
    """The annotated answer in words: the text of the right option where there are options."""
    gold = question.gold or ""
    return question.options[ord(gold) - ord("A")] if question.options and len(gold) == 1 else gold
