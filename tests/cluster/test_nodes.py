"""Training processes on two nodes of a real Slurm find each other through torchrun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from local_slurm import DAEMONS, LocalSlurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in DAEMONS) or os.geteuid() != 0,
        reason="needs root and Slurm: tests/cluster/install_slurm.sh",
    ),
]

# Each process adds up the ranks of all and says where it runs.
MEMBER = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor(float(dist.get_rank()))
dist.all_reduce(total)
print("sum", int(total), "of", dist.get_world_size(), "on", os.environ["SLURMD_NODENAME"], flush=True)
dist.destroy_process_group()
"""
# What `dynfocus train-...` does before it trains, with another program in its place.
LAUNCH = """
import os, socket, sys
from dynfocus.config.schema import Hardware
from dynfocus.machine.launch import launch_command
hardware = Hardware(device="cpu", gpus=0, processes=4, nodes=2)
command = launch_command(hardware, [], os.environ, socket.gethostname())
os.execvp(command[0], [*command[:command.index("dynfocus") - 1], sys.argv[1]])
"""


def test_four_processes_on_two_nodes_form_one_group(tmp_path):
    (tmp_path / "member.py").write_text(MEMBER)
    (tmp_path / "launch.py").write_text(LAUNCH)
    script = f"{sys.executable} {tmp_path}/launch.py {tmp_path}/member.py"
    options = ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--mem=4000"]
    with LocalSlurm(tmp_path / "slurm", nodes=2) as cluster:
        submitted = subprocess.run(
            ["sbatch", "--wait", *options, f"--output={tmp_path}/out", f"--wrap={script}"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        states = [job.state for job in cluster.jobs()]
    printed = sorted(line for line in (tmp_path / "out").read_text().splitlines() if line.startswith("sum"))
    assert printed == [f"sum 6 of 4 on node{node}" for node in (1, 1, 2, 2)], (tmp_path / "out").read_text()
    assert submitted.returncode == 0 and states == ["COMPLETED"]
