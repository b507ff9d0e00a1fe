"""The name of what computes: equal seeds give equal models on one kind of processor, not on two."""

from __future__ import annotations

import platform
import re
import subprocess
from functools import cache
from pathlib import Path


@cache
def cpu_name() -> str:
    """The processor's model, or the architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text(), flags=re.M) if info.is_file() else []
    return models[0] if models else platform.machine()


@cache
def processor_name(device: str) -> str:
    """The GPU's model for the device `cuda`, else the CPU's."""
    if device != "cuda":
        return cpu_name()
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return "GPU"
    return names[0].strip() if names else "GPU"
