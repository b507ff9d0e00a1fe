"""What this machine is, without its name."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from dynfocus.machine.gpus import visible_gpus


def machine() -> dict[str, Any]:
    """Processor, cores, memory and GPUs; no name of the machine."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text(), flags=re.M) if info.is_file() else []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": visible_gpus(),
        "system": f"{platform.system()} {platform.machine()}",
    }
