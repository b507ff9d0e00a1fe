"""The process group of a training: start it also for a single process, end it when the process ends.

DeepSpeed always wants a process group; `torchrun` provides its variables for several processes, this module for one.
On a CPU DeepSpeed would compile an operator for all-reduce in shared memory at the first start (half a minute, needs a
compiler and ninja); the group runs on gloo without it. DeepSpeed keeps references to the group in its modules, so one
group serves all trainings of a process and is destroyed at exit; a process that leaves it standing exits with status 1.
"""

from __future__ import annotations

import atexit
import os
import socket
import warnings

from dynfocus.config.schema import Hardware
from dynfocus.errors import UserError

SHARED_MEMORY_OP = "deepspeed_shm_comm"


def join_processes(hardware: Hardware) -> int:
    """Prepare this process for training among the others; returns how many there are.

    Raises:
        UserError: the number of processes started is not the one configured, or there is no GPU where one is asked for.
    """
    import torch

    _describe_single_process()
    world = int(os.environ["WORLD_SIZE"])
    if world != hardware.processes:
        raise UserError(
            f"training started with {world} process(es), but hardware.processes is {hardware.processes}; "
            f"start it with torchrun --nproc_per_node {hardware.processes}"
        )
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device is cuda, but this machine shows no GPU; use a profile with device cpu")
    if hardware.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        _prefer_gloo()
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, hardware.threads // world))
    # Data loading forks workers, which tokenise one sample at a time.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # DeepSpeed still calls names that the newest torch has deprecated.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    atexit.unregister(_end_group)
    atexit.register(_end_group)
    return world


def is_main() -> bool:
    """True in the process that writes files."""
    return int(os.environ.get("RANK", "0")) == 0


def barrier() -> None:
    """Wait for all processes, if there are several."""
    import torch.distributed as dist

    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()


def _describe_single_process() -> None:
    if "WORLD_SIZE" in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _prefer_gloo() -> None:
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__[SHARED_MEMORY_OP] = False


def _end_group() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
