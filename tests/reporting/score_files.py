"""Made-up score records, and what a page that needs no network must not contain."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

LOADED = re.compile(
    r"""<(?:link|iframe|object|embed)\b|(?:src|srcset)\s*=\s*["'](?!data:)|@import|url\((?!["']?data:)"""
)
"""Anything in HTML or CSS that a browser would fetch."""


def metric(value: float | None, half: float = 2.0, n: int = 40) -> dict:
    """A metric entry with a symmetric interval."""
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": value - half, "high": value + half, "n": n}


HEADLINES = {"vcg_bench": "score", "mlvu": "m_avg"}


def score_record(
    benchmark: str,
    run: str,
    seed: int,
    metrics: Mapping[str, float | None],
    groups: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    unjudged: int = 0,
    judge: str | None = None,
    half: float = 2.0,
) -> dict:
    """A score record of 40 questions."""
    return {
        "benchmark": benchmark,
        "run": run,
        "seed": seed,
        "profile": "mini",
        "judge": judge,
        "headline": HEADLINES.get(benchmark, "accuracy"),
        "metrics": {name: metric(value, half) for name, value in metrics.items()},
        "coverage": {"answered": 40 - unjudged, "total": 40, "worst": {}, "best": {}},
        "failures": {"unparsed": 1, "unjudged": unjudged, "missing_video": 0},
        "groups": {
            grouping: {
                label: {name: metric(value, half) for name, value in entry.items()} for label, entry in labels.items()
            }
            for grouping, labels in (groups or {}).items()
        },
        "letters": None,
    }


def write_scores(root: Path, records: list[dict]) -> None:
    """One file per run and seed, as the scoring step writes them."""
    by_file: dict[Path, list[dict]] = {}
    for record in records:
        path = root / "results" / "scores" / record["run"] / f"seed-{record['seed']}.json"
        by_file.setdefault(path, []).append(record)
    for path, content in by_file.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
