"""The smoke profile from nothing to its report as Slurm jobs, on a real Slurm of one node with fake GPUs.

One run of the workflow, in which one training is cancelled after its first checkpoint; then what the controller
saw is judged. Takes minutes and root: `install_slurm.sh` first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import pytest
from local_slurm import DAEMONS, FAKE_GPUS, LINK, LocalSlurm, SlurmJob

missing = [name for name in DAEMONS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        bool(missing) or os.geteuid() != 0,
        reason="needs root and Slurm: tests/cluster/install_slurm.sh",
    ),
]

ON_GPU = (
    "prepare_clip",
    "prepare_llm",
    "prepare_qformer",
    "extract_features",
    "train_alignment",
    "train_instruction",
    "answer_questions",
)
OPTIONS = (
    *("--profile", "workflow/profiles/slurm", "--configfile", "config/smoke.yaml"),
    *("--config", "alignment={epochs: 40}"),
    *("--default-resources", "mem_mb=3000", "runtime=60"),
    *("--set-resources", *(f"{rule}:gpu=1" for rule in ON_GPU)),
    *("--latency-wait", "5", "--retries", "2", "--seconds-between-status-checks", "2"),
    *("--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue"),
)
CANCELLED_RULE = "train_alignment"
POLL_SECONDS = 1.0


@dataclass
class Record:
    """What was seen: the last state of every job, the GPUs each held, and the job that was cancelled."""

    folder: Path
    status: int = -1
    output: str = ""
    jobs: dict[int, SlurmJob] = field(default_factory=dict)
    cancelled: SlurmJob | None = None

    def see(self, job: SlurmJob) -> None:
        """Keep the newest state of a job; only a running job shows its GPUs."""
        before = self.jobs.get(job.id)
        self.jobs[job.id] = replace(job, gpus=job.gpus or (before.gpus if before else frozenset()))

    def of_rule(self, rule: str) -> list[SlurmJob]:
        return [job for job in self.jobs.values() if rule in job.comment]


@pytest.fixture(scope="module")
def record(clone, tmp_path_factory) -> Iterator[Record]:
    """The workflow run once through Slurm, watched."""
    seen = Record(clone)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone / "src"), os.environ.get("PYTHONPATH", "")])}
    with LocalSlurm(tmp_path_factory.mktemp("slurm")) as cluster, (clone / "run.log").open("w") as log:
        command = [sys.executable, "-m", "snakemake", *OPTIONS]
        run = subprocess.Popen(command, cwd=clone, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            while run.poll() is None:
                watch(cluster, seen)
                time.sleep(POLL_SECONDS)
        finally:
            run.kill()
            run.wait()
        watch(cluster, seen)
    seen.status, seen.output = run.returncode, (clone / "run.log").read_text()
    yield seen


def watch(cluster: LocalSlurm, seen: Record) -> None:
    """Look at all jobs once; cancel one training as soon as it has a whole checkpoint."""
    for job in cluster.jobs():
        seen.see(job)
        training = CANCELLED_RULE in job.comment and job.state == "RUNNING"
        if training and seen.cancelled is None and has_checkpoint(seen.folder):
            cluster.cancel(job)
            seen.cancelled = job


def has_checkpoint(folder: Path) -> bool:
    return any((folder / "runs/smoke/work/alignment").glob("*/checkpoint-*/complete.json"))


def test_workflow_ends_with_its_report(record):
    assert record.status == 0, record.output[-4000:]
    assert (record.folder / "runs/smoke/results/report.html").stat().st_size > 0


def test_every_job_is_a_slurm_job(record):
    from dynfocus.config.load import load_config
    from dynfocus.steps.jobs import Jobs
    from dynfocus.steps.table import RenderReport, needed

    os.chdir(record.folder)
    jobs = Jobs.load(load_config([Path("config/smoke.yaml")]))
    planned = {step.rule() for step in needed(jobs, [RenderReport()])}
    completed = [job.comment for job in record.jobs.values() if job.state == "COMPLETED"]
    assert {rule for rule in planned if any(rule in comment for comment in completed)} >= planned - {
        "score_answers",
        "execute_notebook",
    }, "these two travel in groups, whose comments name the group"


def test_short_jobs_travel_in_groups(record):
    scoring = [job for job in record.jobs.values() if "scores" in job.comment or "score_answers" in job.comment]
    assert 1 <= len([job for job in scoring if job.state == "COMPLETED"]) < 3


def test_two_jobs_run_at_once(record):
    assert any(one.overlaps(other) for one, other in combinations(record.jobs.values(), 2))


def test_no_gpu_serves_two_jobs_at_once(record):
    on_gpu = [job for job in record.jobs.values() if any(rule in job.comment for rule in ON_GPU)]
    assert all(len(job.gpus) == 1 for job in on_gpu), [(job.comment, job.gpus) for job in on_gpu]
    assert set().union(*(job.gpus for job in on_gpu)) == set(range(len(FAKE_GPUS)))
    for one, other in combinations(on_gpu, 2):
        assert not (one.overlaps(other) and one.gpus & other.gpus), f"{one} and {other}"


def test_cancelled_training_is_sent_again_and_resumes(record):
    assert record.cancelled is not None, "the training ended before its first checkpoint"
    same = [job for job in record.jobs.values() if job.comment == record.cancelled.comment]
    assert [job.state for job in same] == ["CANCELLED", "COMPLETED"]
    logs = (record.folder / "runs/smoke/logs" / CANCELLED_RULE).glob("*.log")
    assert any("resuming from checkpoint-" in log.read_text() for log in logs)


def test_nothing_is_left_in_etc(record):
    assert not LINK.is_symlink() and not LINK.exists()
