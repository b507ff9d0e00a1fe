"""Made-up evidence: in memory, and as the score files and manifests of a finished run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from score_files import score_record

from dynfocus.config import load_config
from dynfocus.evaluation.evidence import Evidence, Questions, Series
from dynfocus.files import hash_of
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_hash, manifest_path
from dynfocus.steps.table import answers_of

FILMS, PER_FILM = 40, 5


def jobs_of(root: Path, *overrides: str) -> Jobs:
    """The jobs of the whole mini profile below a root."""
    settings = [f"root={root}", "items=[all]", "runs=[all]", "benchmarks=[all]", *overrides]
    return Jobs.load(load_config([Path("config/mini.yaml")], settings))


def questions(name: str = "msvd_qa", labels: Sequence[str] = ("",), version: str = "v1") -> dict[str, Questions]:
    """`FILMS` films of `PER_FILM` questions each; film after film takes the next of `labels`."""
    films = [number for number in range(FILMS) for _ in range(PER_FILM)]
    made = Questions(
        name,
        tuple(f"{place:04d}" for place in range(len(films))),
        tuple(f"film{film}" for film in films),
        tuple((labels[film % len(labels)],) if labels[film % len(labels)] else () for film in films),
    )
    return {f"{name}-{version}": made}


def series(
    run: str, seed: int, values: Sequence[float], processor: str = "some CPU", model: str = "", **changes: str
) -> Series:
    """One series of made-up values."""
    fields = {
        "benchmark": "msvd_qa", "metric": "accuracy", "settings": "s", "questions": "msvd_qa-v1",
        "finished": "2026-01-01", "commit": "c", **changes,
    }  # fmt: skip
    name = model or f"{run}-{seed}-{processor}"
    return Series(run=run, seed=seed, processor=processor, model=name, values=np.asarray(values, float), **fields)


def answers(chance: float, seed: int, luck: float = 0.0) -> np.ndarray:
    """Right (1) and wrong (0) answers to every question, right with a chance in per cent."""
    generator = np.random.default_rng(seed)
    hard = np.random.default_rng(0).uniform(-20, 20, FILMS * PER_FILM)
    return (100 * generator.random(FILMS * PER_FILM) < chance + luck * generator.standard_normal() + hard) * 1.0


def evidence_of_runs(chances: Mapping[str, float], seeds: int = 3, **changes: str) -> Evidence:
    """Evidence of runs that answer right with a chance in per cent."""
    made = [
        series(run, seed, answers(chance, 100 * place + seed), **changes)
        for place, (run, chance) in enumerate(chances.items())
        for seed in range(seeds)
    ]
    return Evidence(tuple(made), questions())


def finish_scores(
    jobs: Jobs,
    run: str,
    seed: int,
    values: Sequence[float],
    *,
    processor: str = "some CPU",
    model: str = "",
    version: str = "v1",
) -> None:
    """Scores on MSVD-QA with their samples, and the manifests of the answers behind them."""
    asked = questions()["msvd_qa-v1"]
    rows = [
        {
            "benchmark": "msvd_qa", "sample_id": name, "question_ids": [name], "video": film, "status": "ok",
            "values": {"accuracy": value}, "groups": {}, "unparsed": False, "predicted": None, "correct": None,
            "replies": [""],
        }
        for name, film, value in zip(asked.ids, asked.films, values, strict=True)
    ]  # fmt: skip
    path = jobs.layout.scores(run, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    accuracy = 100 * float(np.mean(values))
    path.write_text(json.dumps([{**score_record("msvd_qa", run, seed, {"accuracy": accuracy}), "questions": version}]))
    path.with_suffix(".samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    step = answers_of(jobs, run, seed)[0]
    shard = step.path(jobs)
    shard.parent.mkdir(parents=True, exist_ok=True)
    shard.write_text(json.dumps(list(values)))
    settings = json.loads(json.dumps(step.settings(jobs)))
    common = {"finished": "2026-01-02T03:04:05+00:00", "commit": "0123456789abcdef", "seed": seed}
    made = {
        **common, "settings": settings, "settings_hash": hash_of(settings), "processor": processor,
        "inputs": {str(jobs.checkpoint(run, seed)): model or f"{run}-{seed}-{processor}"},
        "content": content_hash(shard),
    }  # fmt: skip
    rest = {"code": {}, "also": {}, "bytes": 0, "sample": "", "apart": []}
    manifest_path(shard).write_text(json.dumps(rest | made | {"artefact": shard.name}))
    scored = {
        **common, "settings": {}, "settings_hash": "", "inputs": {str(shard): made["content"]},
        "content": content_hash(path),
    }  # fmt: skip
    manifest_path(path).write_text(json.dumps(rest | scored | {"artefact": path.name}))
