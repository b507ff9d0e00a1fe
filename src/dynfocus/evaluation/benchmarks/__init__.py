"""The registry of benchmarks, keyed by the names that runs and tables use."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from pathlib import Path

from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks.base import Benchmark
from dynfocus.evaluation.benchmarks.lvbench import LvBench
from dynfocus.evaluation.benchmarks.mlvu import Mlvu, MlvuTest
from dynfocus.evaluation.benchmarks.short_answer import ActivityNetQa, MsrvttQa, MsvdQa
from dynfocus.evaluation.benchmarks.vcg_bench import VcgBench
from dynfocus.evaluation.benchmarks.video_mme import VideoMme
from dynfocus.evaluation.benchmarks.videohallucer import VideoHallucer
from dynfocus.evaluation.questions import Question

BENCHMARKS: dict[str, Benchmark] = {
    kind.name: kind()
    for kind in (
        MsvdQa,
        MsrvttQa,
        ActivityNetQa,
        VcgBench,
        VideoMme,
        LvBench,
        Mlvu,
        MlvuTest,
        VideoHallucer,
    )
}


def benchmark(name: str) -> Benchmark:
    """The adapter of that name."""
    if name not in BENCHMARKS:
        near = get_close_matches(name, BENCHMARKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(BENCHMARKS)}"
        raise UserError(f"benchmark `{name}` is not known; {hint}")
    return BENCHMARKS[name]


def load_questions(adapter: Benchmark, data_dir: Path) -> list[Question]:
    """Questions of a benchmark below the folder of all data sets; their ids must be unique."""
    questions = adapter.load(data_dir / adapter.data_set)
    twice = [key for key, count in Counter(question.question_id for question in questions).items() if count > 1]
    if twice:
        raise UserError(
            f"{data_dir / adapter.data_set}: question id {twice[0]} occurs more than once "
            f"({len(twice)} such ids); take the official annotation file"
        )
    return questions


__all__ = ["BENCHMARKS", "Benchmark", "benchmark", "load_questions"]
