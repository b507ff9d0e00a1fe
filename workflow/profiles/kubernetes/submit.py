#!/usr/bin/env python3
"""Send one job of Snakemake to Kubernetes; prints the name of the Job, by which status.py and cancel.sh know it.

submit.py --image I --claim C --mount /path --gpus 1 --cpus 8 --megabytes 64000 --minutes 60 JOBSCRIPT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KEEP_SECONDS = 7 * 24 * 3600
SHARED_MEMORY = "16Gi"


def manifest(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The Kubernetes Job that runs the script in `folder`, once and with a time limit: Snakemake tries again."""
    needs = {"cpu": str(asked.cpus), "memory": f"{asked.megabytes}M"}
    gpus = {"nvidia.com/gpu": str(asked.gpus)} if asked.gpus else {}
    container = {
        "name": "job",
        "image": asked.image,
        "command": ["/bin/sh", asked.jobscript],
        "workingDir": str(folder),
        "resources": {"requests": needs | gpus, "limits": {"memory": needs["memory"]} | gpus},
        "volumeMounts": [
            {"name": "shared", "mountPath": asked.mount},
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": asked.claim}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "dynfocus-", "labels": {"app": "dynfocus"}},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 60 * asked.minutes,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {"metadata": {"labels": {"app": "dynfocus"}}, "spec": pod},
        },
    }


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("image", "claim", "mount"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("gpus", "cpus", "megabytes", "minutes"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("jobscript")
    return parser.parse_args(words)


def main() -> None:
    body = json.dumps(manifest(arguments(sys.argv[1:]), Path.cwd()))
    made = subprocess.run(
        ["kubectl", "create", "--output=name", "--filename=-"],
        input=body,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(made.stdout.strip().removeprefix("job.batch/"))


if __name__ == "__main__":
    main()
