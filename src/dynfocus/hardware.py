"""What this machine offers, told without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess

from dynfocus.config.schema import Config
from dynfocus.errors import UserError


def visible_gpus() -> int:
    """The number of NVIDIA GPUs that this process may use (`CUDA_VISIBLE_DEVICES` narrows it)."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is not None:
        return len([name for name in mask.split(",") if name.strip() not in ("", "-1")])
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    listing = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=60, check=False)
    return listing.stdout.count("GPU ") if listing.returncode == 0 else 0


def require_gpus(config: Config, needed: int) -> None:
    """Raise UserError where a profile wants `needed` GPUs on this machine and they are not there."""
    if config.hardware.device == "cpu":
        return
    present = visible_gpus()
    if present < needed:
        raise UserError(
            f"profile {config.profile}: hardware.device is cuda with {needed} GPUs, this machine offers {present}; "
            "use config/mini.yaml, set hardware.gpus and hardware.processes, or choose a cluster profile"
        )
