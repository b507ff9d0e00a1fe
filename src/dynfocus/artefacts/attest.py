"""The record of a finished reproduction: what was run on what, how long it took, what came out.

A record is one small JSON file in docs/attestations; the README shows a table of all of them between
two marks. Hashes let a third person see whether two reproductions agree to the byte.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynfocus import __version__
from dynfocus.artefacts.cache import decide
from dynfocus.errors import UserError
from dynfocus.files import hash_of, read_json, read_model, write_json
from dynfocus.machine.processor import machine
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_hash, git_commit, verify, verify_content, versions
from dynfocus.steps.table import name_of

RECORDS = Path("docs", "attestations")
BEGIN, END = "<!-- attestations: begin -->", "<!-- attestations: end -->"
HEADS = ("Who", "Date", "Profile", "Settings", "From", "Machine", "Time of all jobs", "Headline", "Scores")


def attest(jobs: Jobs, by: str = "", folder: Path = RECORDS) -> Path:
    """Write the record of the finished run of a configuration, and its evidence for the claims; returns the record.

    Raises:
        UserError: the report or one of its artefacts is missing or made from other settings.
    """
    from dynfocus.reporting.claims import add_evidence

    record = record_of(jobs, by)
    add_evidence(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record['date'][:10]}-{record['profile']}-{hash_of(record)[:6]}.json"
    write_json(file, record)
    return file


def record_of(jobs: Jobs, by: str = "") -> dict[str, Any]:
    """The record as plain data."""
    layout = jobs.layout
    if not layout.report.is_file():
        raise UserError(f"{layout.report} is missing: finish the run before it is attested")
    decision = decide(jobs)
    used = [*decision.pulled, *decision.made]
    manifests = {name_of(jobs, step): verify(step.path(jobs), step.settings(jobs)) for step in used}
    for step in used:
        verify_content(step.path(jobs), manifests[name_of(jobs, step)], step.whole)
    seconds: Counter[str] = Counter()
    for step in used:
        seconds[step.rule()] += manifests[name_of(jobs, step)]["wall_seconds"]
    return {
        "by": by,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": jobs.config.profile,
        "start_from": jobs.config.start_from,
        "seeds": jobs.config.seeds,
        "versions": {**versions(), "dynfocus": __version__},
        "commit": git_commit(),
        "machine": machine(),
        "wall_seconds": {kind: round(total, 1) for kind, total in seconds.items()},
        "configuration": hash_of(jobs.config.model_dump(mode="json", exclude={"root", "start_from", "published"})),
        "scores": scores(jobs),
        "claims": claims(jobs),
        "content": {name: manifest["content"] for name, manifest in manifests.items()},
        "tables": {file.name: content_hash(file) for file in sorted((layout.results / "tables").glob("*.csv"))},
    }


def scores(jobs: Jobs) -> dict[str, dict[str, Any]]:
    """Run and seed -> benchmark -> the headline metric with its interval; the profile's runs first, in its order."""
    found: dict[str, dict[str, Any]] = {}
    place = {run: index for index, run in enumerate(jobs.config.runs)}
    for run, seed in sorted(jobs.evaluations, key=lambda evaluation: place.get(evaluation[0], len(place))):
        records = read_json(jobs.layout.scores(run, seed), list, "score the run again")
        found[f"{run}/seed-{seed}"] = {
            record["benchmark"]: {"metric": record["headline"], **_interval(record)} for record in records
        }
    return found


def claims(jobs: Jobs) -> dict[str, Any]:
    """How many cells of the paper's tables came out how, and the verdict of each direction claim that was tested."""
    from dynfocus.reporting.claims import evidence_of, judge_claims
    from dynfocus.reporting.session import SavedItem
    from dynfocus.reporting.verdicts import Verdict

    cells: Counter[str] = Counter()
    for file in sorted((jobs.layout.results / "tables").glob("*.json")):
        item = read_model(SavedItem, file, "run its notebook again")
        for table in item.tables:
            for row in table.rows:
                cells.update(cell.verdict for cell in row.cells if not isinstance(cell, str) and cell.cell_id)
    shown = {"verdict", "difference", "low", "high", "seeds"}
    directions = {
        outcome.id: outcome.model_dump(include=shown)
        for outcome in judge_claims(evidence_of(jobs))
        if outcome.verdict != Verdict.NOT_ATTEMPTED.value
    }
    return {"cells": dict(sorted(cells.items())), "directions": directions}


def write_table(readme: Path, folder: Path = RECORDS) -> None:
    """Write the table of all records between the marks of the README.

    Raises:
        UserError: the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise UserError(f"{readme}: add the lines `{BEGIN}` and `{END}` where the table of reproductions belongs")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n{table(folder)}\n{END}{after}", encoding="utf-8")


def table(folder: Path = RECORDS) -> str:
    """All records as a Markdown table, the oldest first."""
    records = [read_json(file, dict, "restore it from git") for file in sorted(folder.glob("*.json"))]
    rows = [HEADS, tuple("---" for _ in HEADS), *(_row(record) for record in records)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    hardware = record["machine"]
    gpus = f", {hardware['gpus']} GPUs" if hardware["gpus"] else ""
    # fsum: Python 3.12 sums floats more exactly than 3.11, and half a second decides what is shown.
    total = round(math.fsum(record["wall_seconds"].values()))
    return (
        record["by"] or "not named",
        record["date"][:10],
        record["profile"],
        record["configuration"],
        record["start_from"],
        f"{hardware['processor']}, {hardware['cores']} cores{gpus}, {hardware['memory_gib']:.0f} GiB",
        f"{total // 60} min {total % 60} s",
        "; ".join(_headlines(record)),
        hash_of(record["scores"]),
    )


def _headlines(record: dict[str, Any]) -> Iterable[str]:
    """The first run that is shown, on each benchmark."""
    for run, benchmarks in list(record["scores"].items())[:1]:
        for name, value in benchmarks.items():
            if value["value"] is not None:
                yield f"{run.split('/')[0]} {name} {value['value']:.1f} [{value['low']:.1f}, {value['high']:.1f}]"


def _interval(record: dict[str, Any]) -> dict[str, Any]:
    metric = record["metrics"][record["headline"]]
    return {key: metric[key] for key in ("value", "low", "high", "n")}
