"""Names for people: how the report calls benchmarks, metrics and runs that files name by an identifier."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dynfocus.config.names import BENCHMARKS
from dynfocus.evaluation.benchmarks import benchmark

METRICS = {
    "m_avg": "M-Avg",
    "g_avg": "G-Avg",
    "basic_accuracy": "basic questions",
    "halluc_accuracy": "hallucinated questions",
}
"""Identifier of a metric -> its name; the others are words already."""
SWEEPS = {"prototypes": "number of event prototypes L", "ratio": "ratio K/L"}
"""Identifier of a sweep, which a claim names in the place of a run -> its name."""
RULE_JUDGE = "the offline rule judge"


def benchmark_name(name: str) -> str:
    """A benchmark as it calls itself."""
    return (benchmark(name).title if name in BENCHMARKS else "") or name


def metric_name(name: str) -> str:
    """A metric in words."""
    return METRICS.get(name, name.replace("_", " "))


def judge_name(name: str) -> str:
    """A judge in words."""
    return RULE_JUDGE if name == "rule" else name


def side_name(text: str, titles: Mapping[str, str]) -> str:
    """A side of a claim, `run` or `run:metric`, by the run's title."""
    run, _, metric = text.partition(":")
    name = titles.get(run, SWEEPS.get(run, run))
    return f"{name}, {metric_name(metric)}" if metric else name


def in_words(text: str, titles: Mapping[str, str]) -> str:
    """A sentence with the identifiers of runs and benchmarks in it replaced by their names."""
    known = {name: benchmark_name(name) for name in BENCHMARKS}
    known |= {run: title for run, title in titles.items() if "_" in run}
    pattern = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.sub(rf"\b({pattern})\b", lambda match: known[match[0]], text)
