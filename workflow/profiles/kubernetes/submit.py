#!/usr/bin/env python3
"""Send one job of Snakemake to Kubernetes; prints the name of the Job, by which status.py and cancel.sh know it.

submit.py --image I --claim C --mount /path --gpus 1 --cpus 8 --megabytes 64000 --minutes 60 [--namespace N]
    [--service-account A] [--pull-secret S] [--secret S]... [--select KEY=VALUE]... [--tolerate KEY]... JOBSCRIPT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KEEP_SECONDS = 7 * 24 * 3600
# Loader processes hand over their batches through shared memory, which counts as memory of the pod.
SHARED_SHARE = 0.25
# A training that hears the signal URG, which all other programs ignore, saves within this time and stops.
GRACE_SECONDS = 600
WARN = f"kill -s URG -1; sleep {GRACE_SECONDS}"


def manifest(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The Kubernetes Job that runs the script in `folder`, once: Snakemake tries again.

    The time limit is the pod's, which begins when it starts on a node; a Job's would count the time in the queue.
    """
    needs = {"cpu": str(asked.cpus), "memory": f"{asked.megabytes}M"}
    gpus = {"nvidia.com/gpu": str(asked.gpus)} if asked.gpus else {}
    container = {
        "name": "job",
        "image": asked.image,
        "command": ["/bin/sh", asked.jobscript],
        "workingDir": str(folder),
        "envFrom": [{"secretRef": {"name": name}} for name in asked.secret],
        "resources": {"requests": needs | gpus, "limits": {"memory": needs["memory"]} | gpus},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", WARN]}}},
        "volumeMounts": [
            {"name": "shared", "mountPath": asked.mount},
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 60 * asked.minutes,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": asked.claim}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory(asked.megabytes)}},
        ],
        "nodeSelector": dict(pair.split("=", 1) for pair in asked.select),
        "tolerations": [{"key": key, "operator": "Exists"} for key in asked.tolerate],
        "imagePullSecrets": [{"name": name} for name in asked.pull_secret],
    }
    if asked.service_account:
        pod["serviceAccountName"] = asked.service_account
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "dynfocus-", "labels": {"app": "dynfocus"}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {"metadata": {"labels": {"app": "dynfocus"}}, "spec": pod},
        },
    }


def shared_memory(megabytes: int) -> str:
    """The part of a pod's memory that may be shared among its processes."""
    return f"{int(megabytes * SHARED_SHARE)}M"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("image", "claim", "mount"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("gpus", "cpus", "megabytes", "minutes"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--namespace", help="where jobs go; that of the current context by default")
    parser.add_argument("--service-account", help="account that the pods run as")
    repeated = {
        "secret": "Secret whose keys become variables, for the judge's key and HF_TOKEN",
        "pull-secret": "Secret that opens the registry of the image",
        "select": "label that a node must have, key=value",
        "tolerate": "taint that a pod puts up with, by its key",
    }
    for name, text in repeated.items():
        parser.add_argument(f"--{name}", action="append", default=[], help=f"{text}; repeatable")
    parser.add_argument("jobscript")
    asked = parser.parse_args(words)
    for pair in asked.select:
        if "=" not in pair:
            parser.error(f"--select {pair}: give a label as key=value")
    return asked


def main() -> None:
    asked = arguments(sys.argv[1:])
    where = [f"--namespace={asked.namespace}"] if asked.namespace else []
    made = subprocess.run(
        ["kubectl", "create", *where, "--output=name", "--filename=-"],
        input=json.dumps(manifest(asked, Path.cwd())),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    name = made.stdout.strip().removeprefix("job.batch/")
    print(f"{asked.namespace}/{name}" if asked.namespace else name)


if __name__ == "__main__":
    main()
