"""What the direction claims of the paper need: runs, benchmarks and seeds, less what is evidence already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dynfocus.evaluation.evidence import STORED, Unit, read_evidence
from dynfocus.files import hash_of
from dynfocus.machine.processor import processor_name
from dynfocus.paper.register import Claim, load_claims
from dynfocus.steps.jobs import Jobs


def side_of(text: str, claim: Claim) -> Unit:
    """The unit that a side of a pair names: `run`, or `run:metric`."""
    run, _, metric = text.partition(":")
    return run, claim.benchmark, metric or claim.metric


def units_of(claim: Claim, runs: Iterable[str]) -> list[Unit]:
    """The units that a claim is tested on, among the known `runs`."""
    if claim.kind == "pair":
        return [side_of(text, claim) for text in (claim.better, claim.worse)]
    return [(run, claim.benchmark, claim.metric) for run in claim.runs(runs)]


def claim_units(jobs: Jobs) -> list[Unit]:
    """What the claims compare and this configuration makes, each once."""
    chosen, known = jobs.config.runs, jobs.experiments.runs
    named = dict.fromkeys(unit for claim in load_claims() for unit in units_of(claim, known))
    made = [unit for unit in named if unit[0] in known and ("all" in chosen or unit[0] in chosen)]
    return [unit for unit in made if unit[1] in jobs.benchmarks(unit[0])]


def settings_of_run(jobs: Jobs, run: str) -> str:
    """A hash of everything in the configuration that decides how a run answers and how its answers are marked."""
    return hash_of([jobs.run_settings(run, step) for step in ("answer_questions", "judge_answers")])


def wanted_settings(jobs: Jobs) -> dict[str, str]:
    """Run -> that hash, of every run of the configuration."""
    return {run: settings_of_run(jobs, run) for run in jobs.experiments.runs}


def base_settings(jobs: Jobs) -> str:
    """The same of the profile without its runs, for the names of files."""
    return hash_of([jobs.settings(step) for step in ("answer_questions", "judge_answers")])


def missing_evaluations(jobs: Jobs, stored: Path = STORED) -> list[tuple[str, int]]:
    """The (run, seed) pairs of `claim_seeds` that must still be scored.

    A seed is there when one processor has all of it: runs are compared on one processor only. Else what is
    missing on this one is made.
    """
    evidence = read_evidence(stored / jobs.config.profile).fitting(wanted_settings(jobs))
    here, needed = processor_name(jobs.config.hardware.device), claim_units(jobs)
    missing: list[tuple[str, int]] = []
    for seed in jobs.config.claim_seeds:
        units: dict[str, set[Unit]] = {here: set()}
        for one in evidence.series:
            if one.seed == seed:
                units.setdefault(one.processor, set()).add(one.unit)
        if not any(set(needed) <= found for found in units.values()):
            missing += [(run, seed) for run in dict.fromkeys(unit[0] for unit in needed if unit not in units[here])]
    return missing
