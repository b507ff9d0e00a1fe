"""A Slurm of one machine on loopback, for tests: real munge, slurmctld and slurmd, fake GPUs.

Everything it writes is in one folder, but for the link /etc/slurm/slurm.conf: Snakemake's Slurm plugin drops the
variables that could name another file. The link goes when the cluster stops, since with it and no controller every
call of Snakemake waits ten seconds. Needs root and the packages that `install_slurm.sh` installs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

LINK = Path("/etc/slurm/slurm.conf")
DAEMONS = ("munged", "slurmctld", "slurmd")
# Device files stand for GPUs: Slurm counts and numbers them, nothing opens them.
FAKE_GPUS = ("/dev/null", "/dev/zero")
START_SECONDS = 60
# From the cancellation of a job to the end of its last process: KillWait and a little.
KILL_SECONDS = 5
# A busy machine loses a question to the controller now and then.
ATTEMPTS = 5

CONTROLLER = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=5,sched_min_interval=0,bf_interval=5
CommunicationParameters=NoInAddrAny
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=3
GresTypes=gpu
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 Boards=1 SocketsPerBoard=1 "
    "CoresPerSocket=2 ThreadsPerCore=1 RealMemory={memory} Gres=gpu:{gpus}\n"
)
PARTITION = "PartitionName=main Nodes={names} Default=YES\n"


@dataclass(frozen=True)
class SlurmJob:
    """What the controller says of a job; `gpus` are the numbers of the GPUs it holds while it runs."""

    id: int
    comment: str
    state: str
    start: datetime | None
    end: datetime | None
    gpus: frozenset[int]

    def overlaps(self, other: SlurmJob) -> bool:
        """Whether both ran at the same time."""
        if None in (self.start, self.end, other.start, other.end):
            return False
        return self.start < other.end and other.start < self.end


class LocalSlurm:
    """Context manager: the cluster runs inside the `with` block.

    `nodes`: how many slurmd on this machine, each with two CPUs and `FAKE_GPUS`.
    """

    def __init__(self, folder: Path, nodes: int = 1, memory_mb: int = 20_000) -> None:
        self.folder = folder
        self.names = [f"node{number}" for number in range(1, nodes + 1)]
        self.memory_mb = memory_mb
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> LocalSlurm:
        missing = [name for name in DAEMONS if shutil.which(name) is None]
        if missing or os.geteuid() != 0:
            raise RuntimeError(f"needs root and {', '.join(DAEMONS)}; run tests/cluster/install_slurm.sh")
        if LINK.exists() or LINK.is_symlink():
            raise RuntimeError(f"{LINK} exists: this machine has a Slurm already; remove it if a test left it")
        self._configure()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cancel what still runs, end the daemons that this object started, and take the link away."""
        if len(self._started) == len(DAEMONS) - 1 + len(self.names):
            subprocess.run(["scancel", "--user=root"], capture_output=True, check=False)
            time.sleep(KILL_SECONDS)
        LINK.unlink(missing_ok=True)
        for daemon in reversed(self._started):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self._started):
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
        self._started.clear()

    def jobs(self) -> list[SlurmJob]:
        """Every job since the start, in the order of submission."""
        listing = self._ask("scontrol", "--details", "--oneliner", "show", "jobs")
        return [parse_job(line) for line in listing.splitlines() if line.startswith("JobId=")]

    def cancel(self, job: SlurmJob) -> None:
        """`scancel` one job."""
        self._ask("scancel", str(job.id))

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        for name in ("state", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        nodes = "".join(
            NODE.format(name=name, host=host, port=16818 + number, memory=self.memory_mb, gpus=len(FAKE_GPUS))
            for number, name in enumerate(self.names)
        )
        text = CONTROLLER.format(host=host, folder=self.folder) + nodes + PARTITION.format(names=",".join(self.names))
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in FAKE_GPUS))
        LINK.parent.mkdir(exist_ok=True)
        LINK.symlink_to(self.folder / "slurm.conf")

    def _start_all(self) -> None:
        subprocess.run(["install", "-d", "-o", "munge", "-m755", "/run/munge"], check=True)
        self._start(["munged", "--foreground", "--force"], "munged", user="munge")
        self._wait(["munge", "-n"], "munged")
        config = ["-f", str(self.folder / "slurm.conf")]
        self._start(["slurmctld", "-D", *config], "slurmctld")
        for name in self.names:
            (self.folder / f"spool-{name}").mkdir(exist_ok=True)
            self._start(["slurmd", "-D", "-N", name, *config], f"slurmd-{name}")
        self._wait(["sinfo", "--noheader", "--Node", "--format=%N", "--states=idle"], "slurmd", wanted=self.names)

    def _start(self, command: Sequence[str], name: str, user: str = "root") -> None:
        with (self.folder / f"{name}.out").open("w") as log:
            self._started.append(
                subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, user=user, group=user, extra_groups=[])
            )

    def _wait(self, command: Sequence[str], what: str, wanted: Sequence[str] = ()) -> None:
        """Until `command` succeeds and prints all of `wanted`."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode == 0 and set(wanted) <= set(answer.stdout.split()):
                return
            time.sleep(0.2)
        raise RuntimeError(f"{what} did not start; see the logs in {self.folder}")

    def _ask(self, *command: str) -> str:
        """What a command prints; asked again where it fails."""
        for attempt in range(ATTEMPTS):
            answer = subprocess.run(command, capture_output=True, text=True, check=attempt == ATTEMPTS - 1)
            if answer.returncode == 0:
                break
            time.sleep(1)
        return answer.stdout


def parse_job(line: str) -> SlurmJob:
    """One line of `scontrol --details --oneliner show jobs`."""
    fields = dict(re.findall(r"(\w+)=(\S*)", line))
    gres = re.search(r"GRES=gpu:\d+\(IDX:([\d,-]+)\)", line)
    comment = re.search(r"Comment=(\S+)", line)
    return SlurmJob(
        id=int(fields["JobId"]),
        comment=comment[1] if comment else "",
        state=fields["JobState"],
        start=_moment(fields["StartTime"]),
        end=_moment(fields["EndTime"]),
        gpus=_numbers(gres[1]) if gres else frozenset(),
    )


def _moment(text: str) -> datetime | None:
    return None if text == "Unknown" else datetime.fromisoformat(text)


def _numbers(ranges: str) -> frozenset[int]:
    """`0-1,3` as {0, 1, 3}."""
    found: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
