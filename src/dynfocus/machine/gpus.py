"""The GPUs of this machine, and which of them a job takes; told without importing torch.

Jobs on one machine that run at the same time get different GPUs.

Snakemake counts GPUs but does not say which, so every local job would see all of them. A job takes one lock per GPU
and narrows `CUDA_VISIBLE_DEVICES` to those it got. The operating system drops the locks when the process ends,
however it ends. Locks lie in one folder per user and machine, so runs of several folders share the GPUs too.

A job waits until as many GPUs as it asked for are free and never starts with fewer. Waiting jobs queue at a
turnstile: only the first of them holds GPUs while it waits for more, so none can starve or block each other.

A scheduler (Slurm, Kubernetes) hands out GPUs itself; there the number is only checked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.machine.locks import open_lock, take

SCHEDULERS = {"SLURM_JOB_ID": "Slurm", "KUBERNETES_SERVICE_HOST": "Kubernetes"}
POLL_SECONDS = 0.5

_HELD: list[IO[str]] = []


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


def take_gpus(config: Config, needed: int, what: str) -> tuple[str, ...]:
    """Reserve `needed` GPUs for this process until it ends, and let it see no others; their ids.

    On a CPU profile nothing is taken. A process started by torchrun runs on the GPUs of its launcher.

    Raises:
        UserError: this machine, or the allocation of the scheduler, has fewer.
    """
    if config.hardware.device == "cpu" or needed == 0:
        return ()
    pool = visible_ids()
    if len(pool) < needed:
        raise UserError(_too_few(config, needed, len(pool), what))
    if "RANK" in os.environ or scheduler() is not None:
        return pool
    locks, taken = acquire_slots(pool, needed, folder(), what)
    _HELD.extend(locks)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return taken


def acquire_slots(pool: Sequence[str], needed: int, locks: Path, what: str) -> tuple[list[IO[str]], tuple[str, ...]]:
    """Wait for `needed` free GPUs of `pool`; the held locks and the ids, in the order of `pool`.

    The locks end with the returned streams. They survive `exec`, so a launcher that takes the place of this process
    keeps them.

    Raises:
        UserError: the pool has fewer than `needed`.
    """
    if len(pool) < needed:
        raise UserError(f"{what}: asks for {needed} GPUs of {len(pool)} ({', '.join(pool)}); ask for fewer")
    held: dict[str, IO[str]] = {}
    with open_lock(locks / "queue.lock") as turnstile:
        take(turnstile, wait=True)
        announced = False
        while True:
            for name in pool:
                if name not in held and len(held) < needed and (lock := _try(locks / f"gpu-{name}.lock")) is not None:
                    held[name] = lock
            if len(held) == needed:
                break
            if not announced:
                print(f"{what}: waiting for {needed} of {len(pool)} GPUs, {len(held)} free", file=sys.stderr)
                announced = True
            time.sleep(POLL_SECONDS)
    taken = tuple(name for name in pool if name in held)
    return [held[name] for name in taken], taken


def visible_ids() -> tuple[str, ...]:
    """Ids of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return tuple(str(number) for number in range(visible_gpus()))
    return tuple(name.strip() for name in mask.split(",") if name.strip() not in ("", "-1"))


def scheduler() -> str | None:
    """The name of the scheduler that started this process and gave it GPUs; None on a machine of one's own."""
    return next((name for variable, name in SCHEDULERS.items() if variable in os.environ), None)


def folder() -> Path:
    """Where the locks of this user and machine are."""
    return Path(tempfile.gettempdir()) / f"dynfocus-gpus-{os.getuid()}"


def check_offer(offered: int | None, needed: int) -> None:
    """Refuse a workflow run with `--resources gpu=N` that is smaller than its largest job.

    Snakemake would quietly run such a job with N GPUs. `offered` is None where no limit was given.

    Raises:
        UserError: `needed` exceeds `offered`.
    """
    if offered is not None and offered < needed:
        raise UserError(
            f"--resources gpu={offered}, but a job of this profile needs {needed}; offer {needed}, "
            "or set hardware.gpus and hardware.processes to what there is"
        )


def _try(file: Path) -> IO[str] | None:
    """The locked file, or None where another process holds it."""
    stream = open_lock(file)
    if not take(stream):
        stream.close()
        return None
    os.set_inheritable(stream.fileno(), True)
    return stream


def _too_few(config: Config, needed: int, present: int, what: str) -> str:
    where = f"{scheduler()} gave this job" if scheduler() else "this machine offers"
    return (
        f"profile {config.profile}: hardware.device is cuda with {needed} GPUs for {what}, {where} {present}; "
        "use config/mini.yaml, set hardware.gpus and hardware.processes, or ask the scheduler for more"
    )
