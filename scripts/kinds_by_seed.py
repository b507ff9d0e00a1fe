"""What the seeds of the claims answered on mini MSVD-QA, by kind of question: the table of docs/mini_world.md.

    .venv/bin/python scripts/kinds_by_seed.py
    .venv/bin/python scripts/kinds_by_seed.py --told backbones/llm/told_the_truth.json

Reads the evidence in docs/claims; the kind of a question comes from the world, which no film has to be rendered for.
`--told` adds what the mini LLM reads from bags of true words; it lies in backbones/ after a run or a `dynfocus pull`.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from dynfocus.config import load_config
from dynfocus.evaluation.evidence import STORED, read_evidence
from dynfocus.files import read_json
from dynfocus.steps.claims import wanted_settings
from dynfocus.steps.jobs import Jobs
from dynfocus.world.benchmark_sets import MSVD_MIX
from dynfocus.world.export import world_set
from dynfocus.world.questions import QA, ask_mixed

BENCHMARK, QUESTIONS_PER_FILM = "msvd_qa", 8
RUNS = {
    "dynfocus": "DynFocus",
    "flash_vstream": "Flash-VStream",
    "llama_vid": "LLaMA-VID",
    "two_token": "two tokens",
    "blind": "blind",
}
"""Run -> head of its column."""


def asked(jobs: Jobs) -> dict[str, QA]:
    """The questions of the benchmark by their ids."""
    films = world_set(BENCHMARK).films(BENCHMARK, jobs.config.world)
    by_film = ask_mixed(films, QUESTIONS_PER_FILM, MSVD_MIX)
    return {
        f"v_film{film.seed}_{number}": qa
        for film, questions in zip(films, by_film, strict=True)
        for number, qa in enumerate(questions)
    }


def answered(jobs: Jobs) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Ids of the questions, and run -> (seeds, questions), 1 where an answer is right."""
    evidence = read_evidence(STORED / jobs.config.profile).fitting(wanted_settings(jobs))
    sides = {run: evidence.of(run, BENCHMARK, "accuracy") for run in RUNS}
    keys = sorted(set.intersection(*(set(side) for side in sides.values())))
    ids = evidence.asked(sides["dynfocus"][keys[0]]).ids
    return ids, {run: np.stack([side[key].values for key in keys]) for run, side in sides.items()}


def guess(questions: list[QA]) -> float:
    """Percent that the most frequent answer gets."""
    return 100 * max(Counter(qa.answer for qa in questions).values()) / len(questions)


def table(jobs: Jobs, told: Path | None = None) -> str:
    """Markdown, a kind a row, in the order of what DynFocus has over a guess."""
    questions, (ids, values) = asked(jobs), answered(jobs)
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(ids):
        places[questions[name].kind].append(place)
    marks = read_json(told, dict) if told else {}
    rows = []
    for kind, found in places.items():
        chance, mark = guess([questions[ids[place]] for place in found]), marks.get(f"{kind}/open")
        seeds = {run: 100 * right[:, found].mean(axis=1) for run, right in values.items()}
        truth = f"{100 * mark['right'] / mark['asked']:.0f}" if mark else "–"
        columns = [" ".join(f"{value:.0f}" for value in right) for right in seeds.values()]
        rows.append((chance - seeds["dynfocus"].mean(), [kind, str(len(found)), f"{chance:.0f}", truth, *columns]))
    whole = [" ".join(f"{100 * value:.0f}" for value in right.mean(axis=1)) for right in values.values()]
    chance = sum(len(found) * guess([questions[ids[place]] for place in found]) for found in places.values()) / len(ids)
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
