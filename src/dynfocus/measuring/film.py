"""One film through a trained network: its frames, what each became, and where its clusters lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.features.decode import sample
from dynfocus.features.store import FeatureStore
from dynfocus.measuring.models import load_model
from dynfocus.measuring.pictures import to_text
from dynfocus.steps.jobs import Jobs

TIMELINE = ("prototype_of_frame", "prototype_frames", "scores", "cones", "tokens_per_frame")
"""Fields of an explanation over T frames and L event prototypes."""


class Explainer:
    """The model of a report item's first run, and the features of its first benchmark."""

    def __init__(self, jobs: Jobs, item: str):
        (self.run, *_), (self.benchmark, *_) = jobs.item_runs(item), jobs.item_benchmarks(item)
        self._jobs, self._loaded = jobs, load_model(jobs, item, self.run)
        self._store = FeatureStore(jobs.layout.features / self.benchmark)

    def film(self, video: str, question: str) -> dict[str, Any]:
        """Time line, cluster maps `fine` and `coarse` (T, grid, grid), and all T frames with their seconds."""
        model, processor = self._loaded.model, self._loaded.processor
        prompt = {key: value.to(model.device) for key, value in processor.encode_prompts([question]).items()}
        features = self._store.get(video).to(model.device, model.dtype)
        made = model.explain(features, prompt["prompt_input_ids"], prompt["prompt_attention_mask"])
        film = sample(
            self._jobs.layout.data / benchmark(self.benchmark).data_set / video, self._jobs.config.video, np.asarray
        )
        return {
            "run": self.run,
            "benchmark": self.benchmark,
            "video": video,
            "question": question,
            "timeline": {field: getattr(made, field).tolist() for field in TIMELINE},
            "fine": made.fine_map.tolist(),
            "coarse": None if made.coarse_map is None else made.coarse_map.tolist(),
            "frames": [to_text(picture) for picture in film.frames],
            "seconds": film.seconds.tolist(),
        }
