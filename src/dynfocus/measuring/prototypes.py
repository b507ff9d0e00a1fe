"""Figure 3: what the network makes of one film: spatial prototypes over frames, event prototypes in time."""

from __future__ import annotations

from typing import Any

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.features.decode import read_frames
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
    pictures = read_frames(jobs.layout.data / benchmark(name).data_set / video, store.frames(video).tolist())
    return {
        "run": run,
        "benchmark": name,
        "video": video,
        "question": question,
        "timeline": {field: getattr(made, field).tolist() for field in TIMELINE},
        "fine": made.fine_map.tolist(),
        "coarse": None if made.coarse_map is None else made.coarse_map.tolist(),
        "frames": [to_text(picture) for picture in pictures],
    }
