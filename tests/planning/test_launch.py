"""The command that starts the processes of a training."""

from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from dynfocus.config.schema import Hardware
from dynfocus.errors import UserError
from dynfocus.machine.launch import launch_command

ARGUMENTS = ["train-instruction", "--run", "dynfocus"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def command(environment=None, **hardware):
    return launch_command(Hardware(**hardware), ARGUMENTS, environment or {}, "gpu-017")


def test_one_process_needs_no_launcher():
    assert command(gpus=1, processes=1) is None


def test_process_of_a_launcher_starts_no_other():
    assert command({"RANK": "0"}, gpus=8, processes=8) is None


def test_one_node_starts_a_process_per_gpu():
    assert command(gpus=8, processes=8) == [
        *(*TORCHRUN, "--standalone", "--nproc_per_node=8"),
        *("-m", "dynfocus", *ARGUMENTS),
    ]


def test_nodes_of_a_slurm_job_meet_at_the_first_one():
    built = command({"SLURM_JOB_ID": "31415926"}, gpus=16, processes=16, nodes=2)
    step, rest = built[: built.index(sys.executable)], built[built.index(sys.executable) :]
    assert step == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpu-bind=none", "--kill-on-bad-exit=1"]
    assert rest == [
        *(*TORCHRUN, "--nnodes=2", "--nproc_per_node=8", "--rdzv-backend=c10d"),
        *("--rdzv-endpoint=gpu-017:25926", "--rdzv-id=31415926"),
        *("-m", "dynfocus", *ARGUMENTS),
    ]


def test_several_nodes_without_slurm_say_what_to_type():
    with pytest.raises(UserError, match=r"torchrun --nnodes=2 --nproc_per_node=4 .* -m dynfocus train-instruction"):
        command(gpus=8, processes=8, nodes=2)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"gpus": 8, "processes": 4}, "gpus .8. and processes .4. must be equal"),
        ({"gpus": 6, "processes": 6, "nodes": 4}, "multiple of nodes"),
    ],
)
def test_uneven_division_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Hardware(**wrong)
