"""A training on a real Slurm that meets its time limit: it saves, is sent again and goes on by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from local_slurm import DAEMONS, LocalSlurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in DAEMONS) or os.geteuid() != 0,
        reason="needs root and Slurm: tests/cluster/install_slurm.sh",
    ),
]

# Slurm counts limits in minutes, and sends a warning up to a minute early: it comes in the second of two.
LIMIT = ("train_alignment:runtime=2", "train_alignment:slurm_extra=--signal=URG@30", "train_alignment:cpus_per_gpu=1")
OPTIONS = (
    *("--profile", "workflow/profiles/slurm", "--configfile", "config/smoke.yaml", "--until", "train_alignment"),
    *("--config", "alignment={epochs: 1500, save_steps: 100000}", "runs=[dynfocus]"),
    *("--default-resources", "mem_mb=3000", "runtime=60", "--set-resources", *LIMIT),
    *("--latency-wait", "5", "--seconds-between-status-checks", "2", "--slurm-keep-successful-logs"),
    *("--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue"),
)


def test_a_training_longer_than_its_limit_saves_stops_and_is_finished_by_its_next_job(clone, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone / "src"), os.environ.get("PYTHONPATH", "")])}
    with LocalSlurm(tmp_path / "slurm") as cluster:
        command = [sys.executable, "-m", "snakemake", *OPTIONS]
        run = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        trainings = [job for job in cluster.jobs() if "train_alignment" in job.comment]
    assert run.returncode == 0, run.stderr[-4000:]
    states = [job.state for job in sorted(trainings, key=lambda job: job.id)]
    assert len(states) > 1 and states == ["FAILED"] * (len(states) - 1) + ["COMPLETED"], states
    logs = sorted((clone / ".snakemake/slurm_logs/rule_train_alignment").rglob("*.log"))
    texts = [log.read_text() for log in logs]
    assert all("the job's time ends; saved at step" in text for text in texts[:-1]), texts
    assert all("resuming from checkpoint-" in text for text in texts[1:]), texts
