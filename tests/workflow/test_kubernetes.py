"""Jobs sent to Kubernetes, with a stand-in for kubectl that runs them here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Keeps each Job as a file; runs its command on creation, as a node would.
KUBECTL = """\
#!{python}
import json, pathlib, subprocess, sys
jobs = pathlib.Path({folder!r})
verb, words = sys.argv[1], [word for word in sys.argv[2:] if not word.startswith("-")]
if verb == "create":
    job, name = json.load(sys.stdin), "dynfocus-" + str(len(list(jobs.iterdir())))
    container = job["spec"]["template"]["spec"]["containers"][0]
    code = subprocess.run(container["command"], cwd=container["workingDir"], stdout=subprocess.DEVNULL).returncode
    job["status"] = {{"conditions": [{{"type": "Failed" if code else "Complete", "status": "True"}}]}}
    (jobs / name).write_text(json.dumps(job))
    print("job.batch/" + name)
elif verb == "get" and (jobs / words[1]).exists():
    print((jobs / words[1]).read_text())
"""
PROFILE = "workflow/profiles/kubernetes"


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    """A folder of Jobs, and a `kubectl` on PATH that keeps them there."""
    jobs, programs = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, folder=str(jobs)))
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return jobs


def submit(repository: Path, script: Path, gpus: int) -> str:
    options = ["--image", "dynfocus:1", "--claim", "disk", "--mount", "/dynfocus", "--gpus", str(gpus)]
    limits = ["--cpus", "8", "--megabytes", "64000", "--minutes", "30"]
    command = [sys.executable, str(repository / PROFILE / "submit.py"), *options, *limits, str(script)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def status(repository: Path, name: str) -> str:
    command = [sys.executable, str(repository / PROFILE / "status.py"), name]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_job_carries_its_gpus_memory_volume_and_time_limit(repository, cluster, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text("exit 0\n")
    job = json.loads((cluster / submit(repository, script, gpus=2)).read_text())
    pod = job["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == {"memory": "64000M", "nvidia.com/gpu": "2"}
    assert resources["requests"]["cpu"] == "8"
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "disk"}
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (1800, 0)


def test_job_without_gpus_asks_for_none(repository, cluster, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text("exit 0\n")
    assert "nvidia.com/gpu" not in (cluster / submit(repository, script, gpus=0)).read_text()


@pytest.mark.parametrize("code, state", [(0, "success"), (3, "failed")])
def test_end_of_a_job_is_told(repository, cluster, tmp_path, code, state):
    script = tmp_path / "job.sh"
    script.write_text(f"exit {code}\n")
    assert status(repository, submit(repository, script, gpus=0)) == state


def test_job_that_is_gone_has_failed(repository, cluster):
    assert status(repository, "dynfocus-99") == "failed"


@pytest.mark.slow
def test_workflow_runs_as_kubernetes_jobs(project, cluster, monkeypatch):
    options = [
        "--profile",
        PROFILE,
        "--config",
        "seeds=[3]",
        "--latency-wait",
        "5",
        "--seconds-between-status-checks",
        "1",
    ]
    done = project.snakemake(*options, "--default-resources", "mem_mb=100", "runtime=5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(cluster.iterdir())) > 5
    assert project.planned("--config", "seeds=[3]") == []
