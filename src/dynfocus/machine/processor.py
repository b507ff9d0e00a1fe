"""What this machine is, without its name."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from dynfocus.machine.gpus import visible_gpus


def machine() -> dict[str, Any]:
    """Processor, cores, memory and GPUs; no name of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": visible_gpus(),
        "system": f"{platform.system()} {platform.machine()}",
    }


@cache
def cpu_name() -> str:
    """The CPU's model, or the architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text(), flags=re.M) if info.is_file() else []
    return models[0] if models else platform.machine()


@cache
def processor_name(device: str) -> str:
    """What computes on a device: the GPU's model for `cuda`, else the CPU's.

    Equal seeds give equal models on one kind of processor, not on two.
    """
    if device != "cuda":
        return cpu_name()
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return "GPU"
    return names[0].strip() if names else "GPU"
