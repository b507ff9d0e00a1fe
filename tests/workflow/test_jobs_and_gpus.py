"""The plan's jobs are Snakemake's, and no job is given fewer GPUs than it asks for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import RenderReport, needed

SMALL = {"alignment": {"micro_batch": 1}, "instruction": {"micro_batch": 1}}
"""A batch that several GPUs can share."""
NOT_JOBS = ("all", "total")


def counted(project, *arguments: str) -> dict[str, int]:
    """Jobs per rule of a dry run."""
    done = project.snakemake("-n", "-q", "rules", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    return {rule: int(number) for rule, number in rows if rule not in NOT_JOBS}


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_jobs_of_the_plan_are_those_of_the_workflow(project, repository, monkeypatch, profile):
    (project.folder / "config" / "experiments.yaml").write_text((repository / "config/experiments.yaml").read_text())
    for notebook in (repository / "notebooks").glob("*.ipynb"):
        (project.folder / "notebooks" / notebook.name).touch()
    monkeypatch.chdir(project.folder)
    jobs = Jobs.load(load_config([Path(f"config/{profile}.yaml")]))
    ours = Counter(step.rule() for step in needed(jobs, [RenderReport()]))
    assert ours == counted(project, "--configfile", f"config/{profile}.yaml")


def on_gpus(project, **hardware) -> None:
    project.edit(
        "config/dummy.yaml", lambda values: values.update(root="gpu", hardware={"device": "cuda", **hardware}, **SMALL)
    )


def test_offer_smaller_than_a_job_stops_the_run(project):
    on_gpus(project, gpus=2, processes=2)
    done = project.snakemake("-n", "--resources", "gpu=1")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "--resources gpu=1, but a job of this profile needs 2" in done.stderr
    assert project.snakemake("-n", "--resources", "gpu=2").returncode == 0


def test_profile_of_one_machine_offers_enough_for_the_paper(project, repository):
    shown = project.snakemake(
        "-n", "--profile", "workflow/profiles/gpus", "--configfile", "config/paper.yaml", "config/dummy.yaml"
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_training_over_two_nodes_asks_slurm_for_a_task_on_each(project):
    on_gpus(project, gpus=4, processes=4, nodes=2)
    rules = project.folder / "workflow" / "rules" / "train.smk"
    rules.write_text(re.sub(r" +message:\n.*\n", "", rules.read_text()))  # a dry run shows a message or the resources
    shown = project.snakemake("-n", "--config", "seeds=[9]")
    training = re.search(r"^rule train_instruction:.*?resources: ([^\n]*)", shown.stdout + shown.stderr, re.M | re.S)
    assert training, shown.stdout + shown.stderr
    for wanted in ("gpu=4", "nodes=2", "tasks=2", "tasks_per_gpu=0", "mpi=srun"):
        assert wanted in training[1]
