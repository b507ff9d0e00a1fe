"""GPU slots with fake GPUs and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.machine import gpus as slots

HOLD = """
import sys, time
from pathlib import Path
from dynfocus.machine.gpus import acquire_slots
locks, taken = acquire_slots("012", int(sys.argv[1]), Path(sys.argv[2]), "test")
print(",".join(taken), flush=True)
time.sleep(float(sys.argv[3]))
"""
# As a launcher that takes the place of the process: only descriptors that survive `exec` still hold the locks.
HOLD_AND_EXEC = HOLD.replace("time.sleep(float(sys.argv[3]))", 'import os; os.execvp("sleep", ["sleep", sys.argv[3]])')


def hold(folder: Path, count: int, seconds: float = 60, program: str = HOLD) -> subprocess.Popen:
    """A process that takes `count` of three GPUs and keeps them for a while."""
    command = [sys.executable, "-c", program, str(count), str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def processes():
    """Processes that are ended with the test."""
    started: list[subprocess.Popen] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def three_gpus(monkeypatch, tmp_path):
    """A machine with three GPUs, without a scheduler."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setattr(slots, "folder", lambda: tmp_path)
    monkeypatch.setattr(slots, "_HELD", [])
    for name in (*slots.SCHEDULERS, "RANK"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    for lock in slots._HELD:
        lock.close()


def on_gpus(config: Config, count: int = 1) -> Config:
    hardware = config.hardware.model_copy(update={"device": "cuda", "gpus": count, "processes": count})
    return config.model_copy(update={"hardware": hardware})


def test_jobs_at_the_same_time_get_different_gpus(processes, tmp_path):
    processes += [hold(tmp_path, 1) for _ in range(3)]
    taken = [process.stdout.readline().strip() for process in processes]
    assert sorted(taken) == ["0", "1", "2"]


def test_job_waits_until_all_its_gpus_are_free(processes, tmp_path):
    first = hold(tmp_path, 2)
    processes.append(first)
    assert first.stdout.readline().strip() == "0,1"
    second = hold(tmp_path, 2)
    processes.append(second)
    assert "waiting for 2 of 3 GPUs" in second.stderr.readline()
    assert second.poll() is None
    first.kill()
    assert len(second.stdout.readline().strip().split(",")) == 2


@pytest.mark.parametrize("program", [HOLD, HOLD_AND_EXEC])
def test_killed_job_frees_its_gpus_and_a_living_one_keeps_them(processes, tmp_path, program):
    first = hold(tmp_path, 3, program=program)
    processes.append(first)
    assert first.stdout.readline().strip() == "0,1,2"
    time.sleep(0.3)
    second = hold(tmp_path, 1)
    processes.append(second)
    assert "waiting" in second.stderr.readline()
    os.kill(first.pid, signal.SIGKILL)
    assert second.stdout.readline().strip() == "0"


def test_large_job_is_not_overtaken_for_ever_by_small_ones(processes, tmp_path):
    first = hold(tmp_path, 1, seconds=2)
    processes.append(first)
    first.stdout.readline()
    large = hold(tmp_path, 3)
    processes.append(large)
    large.stderr.readline()
    small = hold(tmp_path, 1)
    processes.append(small)
    assert large.stdout.readline().strip() == "0,1,2"
    assert small.poll() is None


def test_job_sees_only_the_gpus_it_took(mini_config, three_gpus):
    assert slots.take_gpus(on_gpus(mini_config), 2, "train") == ("0", "1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_fewer_gpus_than_asked_for_is_an_error(mini_config, three_gpus):
    with pytest.raises(UserError, match=r"cuda with 4 GPUs for train, this machine offers 3"):
        slots.take_gpus(on_gpus(mini_config, 4), 4, "train")


def test_smaller_allocation_of_slurm_is_an_error_and_a_whole_one_is_used_as_it_is(mini_config, three_gpus, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UserError, match=r"Slurm gave this job 3"):
        slots.take_gpus(on_gpus(mini_config, 4), 4, "train")
    assert slots.take_gpus(on_gpus(mini_config), 2, "train") == ("0", "1", "2")
    assert list(three_gpus.iterdir()) == []


def test_cpu_profile_takes_nothing(mini_config, three_gpus):
    assert slots.take_gpus(mini_config, 1, "train") == ()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2"


def test_offer_of_the_workflow_must_hold_the_largest_job():
    slots.check_offer(None, 8)
    slots.check_offer(8, 8)
    with pytest.raises(UserError, match=r"--resources gpu=1, but a job of this profile needs 8"):
        slots.check_offer(1, 8)
