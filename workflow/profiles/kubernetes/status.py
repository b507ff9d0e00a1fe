#!/usr/bin/env python3
"""What Snakemake asks about a job: prints running, success or failed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

ENDS = {"Complete": "success", "Failed": "failed"}


def state(job: dict[str, Any]) -> str:
    """The state of a Job object; it has ended once a condition says so."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((ENDS[one["type"]] for one in conditions if one["type"] in ENDS and one["status"] == "True"), "running")


def main() -> None:
    namespace, _, name = sys.argv[1].rpartition("/")
    where = [f"--namespace={namespace}"] if namespace else []
    command = ["kubectl", "get", "job", name, *where, "--output=json", "--ignore-not-found"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(state(json.loads(answer)) if answer.strip() else "failed")


if __name__ == "__main__":
    main()
