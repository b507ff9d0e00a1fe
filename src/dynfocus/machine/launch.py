"""The processes of a training: the command that starts them, and the group that they join.

    one process      this one
    one node         torchrun --standalone
    several nodes    srun starts one torchrun per node inside a Slurm job; they meet at the first node

DeepSpeed always wants a process group; `torchrun` provides its variables for several processes, this module for one.
On a CPU DeepSpeed would compile an operator for all-reduce in shared memory at the first start (half a minute, needs a
compiler and ninja); the group runs on gloo without it. DeepSpeed keeps references to the group in its modules, so one
group serves all trainings of a process and is destroyed at exit; a process that leaves it standing exits with status 1.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence

from dynfocus.config.schema import Hardware
from dynfocus.errors import UserError

MOST_LOADERS = 8
"""Processes that read and collate the batches of one training process."""
SHARED_MEMORY_OP = "deepspeed_shm_comm"
FIRST_PORT, PORTS = 20_000, 10_000
PR_SET_PDEATHSIG = 1


def launch_command(
    hardware: Hardware, arguments: Sequence[str], environment: Mapping[str, str], host: str
) -> list[str] | None:
    """The command that starts `dynfocus ARGUMENTS` in all processes of a training; None where this one is enough.

    Args:
        environment: variables of this process, for the id of the Slurm job.
        host: name of this machine; in a Slurm job the first node, where the processes meet.

    Raises:
        UserError: several nodes are asked for outside a Slurm job.
    """
    if hardware.processes == 1 or "RANK" in environment:
        return None
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    program = ["-m", "dynfocus", *arguments]
    workers = f"--nproc_per_node={hardware.processes // hardware.nodes}"
    if hardware.nodes == 1:
        return [*torchrun, "--standalone", workers, *program]
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        raise UserError(
            f"hardware.nodes is {hardware.nodes}, but this is no Slurm job; use --profile workflow/profiles/slurm, "
            f"or start on every node: torchrun --nnodes={hardware.nodes} {workers} --rdzv-backend=c10d "
            f"--rdzv-endpoint=FIRST_NODE:{FIRST_PORT} {' '.join(program)}"
        )
    endpoint = f"{host}:{FIRST_PORT + int(job) % PORTS}"
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={job}"]
    nodes = [f"--nodes={hardware.nodes}", f"--ntasks={hardware.nodes}", "--ntasks-per-node=1"]
    step = ["srun", *nodes, "--cpu-bind=none", "--kill-on-bad-exit=1"]
    return [*step, *torchrun, f"--nnodes={hardware.nodes}", workers, *meeting, *program]


def loaders(hardware: Hardware) -> int:
    """Loader processes of each training process; none on a CPU, whose cores the training needs."""
    return 0 if hardware.device == "cpu" else min(MOST_LOADERS, hardware.threads)


def join_processes(hardware: Hardware) -> int:
    """Prepare this process for training among the others; returns how many there are.

    Raises:
        UserError: the number of processes started is not the one configured, or there is no GPU where one is asked for.
    """
    import torch

    _die_with_launcher()
    _describe_single_process()
    world = int(os.environ["WORLD_SIZE"])
    if world != hardware.processes:
        raise UserError(
            f"training started with {world} process(es), but hardware.processes is {hardware.processes}; "
            "start it with `dynfocus train-...`, which starts them all"
        )
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device is cuda, but this machine shows no GPU; use a profile with device cpu")
    if hardware.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        _prefer_gloo()
        if "OMP_NUM_THREADS" not in os.environ:
            threads = max(1, hardware.threads // world)
            torch.set_num_threads(threads)
            # Accelerate takes all cores where this is not set, and sums in another order are other weights.
            os.environ["OMP_NUM_THREADS"] = str(threads)
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


def _die_with_launcher() -> None:
    """End a process of torchrun when torchrun is killed: it would wait for the others, and keep its GPU, for ever."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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
