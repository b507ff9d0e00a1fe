"""Figures 1 and 2: several questions about a video, with the replies that were stored when the run answered them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.records import read_answers
from dynfocus.features.decode import sample
from dynfocus.measuring.models import questions_by_video
from dynfocus.measuring.pictures import to_text
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import answers_of

VIDEOS, TURNS, STRIP = 2, 3, 6
"""Videos shown, questions on each, and frames of each."""


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """`cases`: for each of the first videos its frames and the first questions with reply and annotated answer."""
    (run, *_), (name, *_) = jobs.item_runs(item), jobs.item_benchmarks(item)
    shards = answers_of(jobs, run, jobs.item_seeds(item)[0])
    answers = read_answers([shard.path(jobs) for shard in shards])[name]
    folder, cases = jobs.layout.data / benchmark(name).data_set, []
    for video, questions in list(questions_by_video(jobs, name).items())[:VIDEOS]:
        film = sample(folder / video, jobs.config.video, np.asarray)
        shown = np.linspace(0, len(film.frames) - 1, min(STRIP, len(film.frames))).astype(int)
        turns = [
            {
                "question": question.encoder_prompt,
                "reply": answers[question.question_id].reply,
                "gold": question.gold or "",
            }
            for question in questions[:TURNS]
        ]
        frames = [
            {
                "number": int(film.indices[place]),
                "seconds": float(film.seconds[place]),
                "picture": to_text(film.frames[place]),
            }
            for place in shown
        ]
        cases.append({"video": video, "frames": frames, "turns": turns})
    return {"run": run, "benchmark": name, "cases": cases}
