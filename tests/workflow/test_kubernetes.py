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
pathlib.Path({folder!r}).with_name("verbs").open("a").write(" ".join(sys.argv[1:]) + "\\n")
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


def submit(repository: Path, script: Path, gpus: int, *more: str) -> str:
    options = ["--image", "dynfocus:1", "--claim", "disk", "--mount", "/dynfocus", "--gpus", str(gpus), *more]
    limits = ["--cpus", "8", "--megabytes", "64000", "--minutes", "30"]
    command = [sys.executable, str(repository / PROFILE / "submit.py"), *options, *limits, str(script)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def status(repository: Path, name: str) -> str:
    command = [sys.executable, str(repository / PROFILE / "status.py"), name]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.fixture
def script(tmp_path) -> Path:
    file = tmp_path / "job.sh"
    file.write_text("exit 0\n")
    return file


ALL_OPTIONS = (
    *("--namespace", "research", "--service-account", "trainer", "--pull-secret", "registry"),
    *("--secret", "dynfocus", "--secret", "judge", "--select", "gpu=a100", "--tolerate", "nvidia.com/gpu"),
)


def test_job_carries_its_gpus_memory_volume_and_time_limit(repository, cluster, script):
    job = json.loads((cluster / submit(repository, script, 2)).read_text())
    pod = job["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == {"memory": "64000M", "nvidia.com/gpu": "2"}
    assert resources["requests"]["cpu"] == "8"
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "disk"}
    assert pod["volumes"][1]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16000M"}
    assert job["spec"]["backoffLimit"] == 0


def test_the_time_limit_begins_on_the_node_and_a_pod_that_must_go_is_warned(repository, cluster, script):
    job = json.loads((cluster / submit(repository, script, 2)).read_text())
    pod = job["spec"]["template"]["spec"]
    assert "activeDeadlineSeconds" not in job["spec"] and pod["activeDeadlineSeconds"] == 1800
    (_, _, warning) = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert warning.startswith("kill -s URG -1") and pod["terminationGracePeriodSeconds"] == 600


def test_keys_and_places_of_a_cluster_reach_the_pod(repository, cluster, script):
    sent = submit(repository, script, 1, *ALL_OPTIONS)
    assert sent == "research/dynfocus-0" and "--namespace=research" in cluster.with_name("verbs").read_text()
    pod = json.loads((cluster / "dynfocus-0").read_text())["spec"]["template"]["spec"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": name}} for name in ("dynfocus", "judge")]
    assert pod["imagePullSecrets"] == [{"name": "registry"}] and pod["serviceAccountName"] == "trainer"
    assert pod["nodeSelector"] == {"gpu": "a100"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert status(repository, sent) == "success"


@pytest.mark.parametrize("more", [(), ALL_OPTIONS], ids=["plain", "all options"])
def test_manifests_follow_the_published_schema(repository, cluster, script, more):
    validator = pytest.importorskip("kubernetes_validate")
    submit(repository, script, 1, *more)
    job = json.loads((cluster / "dynfocus-0").read_text())
    del job["status"]
    validator.validate(job, "1.30", strict=True)
    job["spec"]["template"]["spec"]["tolerance"] = []
    with pytest.raises(validator.ValidationError):
        validator.validate(job, "1.30", strict=True)


def test_a_label_without_a_value_is_refused(repository):
    command = [sys.executable, str(repository / PROFILE / "submit.py"), "--select", "gpu"]
    options = ["--image", "i", "--claim", "c", "--mount", "/m"]
    limits = ["--gpus", "0", "--cpus", "1", "--megabytes", "100", "--minutes", "1", "job.sh"]
    done = subprocess.run([*command, *options, *limits], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "--select gpu: give a label as key=value" in done.stderr


@pytest.mark.parametrize("rule, cpus", [("train_instruction", 64), ("train_alignment", 64), ("answer_questions", 8)])
def test_a_training_pod_asks_for_the_cpus_of_its_loaders(repository, rule, cpus):
    import yaml

    profile = yaml.safe_load((repository / PROFILE / "config.yaml").read_text())
    default = dict(entry.split("=") for entry in profile["default-resources"])
    assert profile["set-resources"].get(rule, {}).get("pod_cpus", int(default["pod_cpus"])) == cpus
    assert "--cpus {resources.pod_cpus}" in profile["cluster-generic-submit-cmd"]


def test_job_without_gpus_asks_for_none(repository, cluster, script):
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
    done = project.snakemake(*options, "--default-resources", "mem_mb=100", "runtime=5", "pod_cpus=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(cluster.iterdir())) > 5
    assert project.planned("--config", "seeds=[3]") == []
