"""What the seeds of the claims answered on mini MSVD-QA, by kind of question: the table of docs/mini_world.md.

    .venv/bin/python scripts/kinds_by_seed.py
    .venv/bin/python scripts/kinds_by_seed.py --told backbones/llm/told_the_truth.json

Reads the evidence in docs/claims; the kind of a question comes from the world, which no film has to be rendered for.
`--told` adds what the mini LLM reads from bags of true words; it lies in backbones/ after a run or a `dynfocus pull`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from dynfocus.config import load_config
from dynfocus.evaluation.evidence import STORED, read_evidence
from dynfocus.files import read_json
from dynfocus.steps.claims import wanted_settings
from dynfocus.steps.jobs import Jobs
from dynfocus.world.export import world_set

BENCHMARK = "msvd_qa"
RUNS = {
    "dynfocus": "DynFocus",
    "flash_vstream": "Flash-VStream",
    "llama_vid": "LLaMA-VID",
    "two_token": "two tokens",
    "blind": "blind",
}
"""Run -> head of its column."""


def asked(jobs: Jobs) -> dict[str, dict[str, str]]:
    """The annotated answers of the benchmark by the ids of their questions: `answer`, and the kind as `type`."""
    made = world_set(BENCHMARK)
    with tempfile.TemporaryDirectory() as folder:
        made.annotate(made.films(BENCHMARK, jobs.config.world), Path(folder), random.Random(0))
        return {row["question_id"]: row for row in read_json(Path(folder) / "test_a.json", list)}


def answered(jobs: Jobs) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Ids of the questions, and run -> (seeds, questions), 1 where an answer is right."""
    evidence = read_evidence(STORED / jobs.config.profile).fitting(wanted_settings(jobs))
    sides = {run: evidence.of(run, BENCHMARK, "accuracy") for run in RUNS}
    keys = sorted(set.intersection(*(set(side) for side in sides.values())))
    if not keys:
        raise SystemExit(f"{STORED / jobs.config.profile}: nothing on {BENCHMARK} for these settings; run claims")
    ids = evidence.asked(sides["dynfocus"][keys[0]]).ids
    return ids, {run: np.stack([side[key].values for key in keys]) for run, side in sides.items()}


def guess(answers: list[str]) -> float:
    """Percent that the most frequent answer gets."""
    return 100 * max(Counter(answers).values()) / len(answers)


def table(jobs: Jobs, told: Path | None = None) -> str:
    """Markdown, a kind a row, in the order of what DynFocus has over a guess."""
    questions, (ids, values) = asked(jobs), answered(jobs)
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(ids):
        places[questions[name]["type"]].append(place)
    marks = read_json(told, dict) if told else {}
    chances = {kind: guess([questions[ids[place]]["answer"] for place in found]) for kind, found in places.items()}
    rows = []
    for kind, found in places.items():
        chance, mark = chances[kind], marks.get(f"{kind}/open")
        seeds = {run: 100 * right[:, found].mean(axis=1) for run, right in values.items()}
        truth = f"{100 * mark['right'] / mark['asked']:.0f}" if mark else "–"
        columns = [" ".join(f"{value:.0f}" for value in right) for right in seeds.values()]
        rows.append((chance - seeds["dynfocus"].mean(), [kind, str(len(found)), f"{chance:.0f}", truth, *columns]))
    whole = [" ".join(f"{100 * value:.0f}" for value in right.mean(axis=1)) for right in values.values()]
    chance = sum(len(found) * chances[kind] for kind, found in places.items()) / len(ids)
    lines = [["kind", "questions", "guess", "told", *RUNS.values()], ["---"] * (4 + len(RUNS))]
    lines += [row for _, row in sorted(rows)]
    lines.append(["**all**", f"{len(ids):,}", f"{chance:.0f}", "–", *whole])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table of the mini profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--told", type=Path, help="told_the_truth.json of the mini LLM")
    print(table(Jobs.load(load_config([Path("config/mini.yaml")])), parser.parse_args().told))


if __name__ == "__main__":
    main()
