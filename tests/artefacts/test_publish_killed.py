"""Publishing killed with its whole group at random moments: what is published stays whole, and a repeat ends it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finished_run import REPORT, SELECTION, dvc, jobs_here, make

from dynfocus.artefacts import store
from dynfocus.artefacts.fresh import freshness
from dynfocus.artefacts.publish import publish
from dynfocus.steps.table import TrainInstruction, needed

KILLS = 10
TUNED = TrainInstruction("dynfocus", 0)


def start() -> subprocess.Popen:
    """`dynfocus publish` in a process group of its own."""
    options = [word for text in (*SELECTION, "published=['*']") for word in ("--set", text)]
    command = [sys.executable, "-m", "dynfocus", "publish", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def retrain(text: str) -> None:
    """A checkpoint with other content, and everything after it."""
    jobs = jobs_here()
    for step in needed(jobs, [REPORT]):
        if step == TUNED or TUNED in needed(jobs, [step]):
            make(jobs, step, text)


def unused() -> list[Path]:
    """Files of the store that no `.dvc` file names."""
    used = {Path("dvcstore", name) for name in store.objects_of(store.dvc_files(), Path("dvcstore"))}
    return [file for file in Path("dvcstore").rglob("*") if file.is_file() and file not in used]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_publish_killed_at_random_moments_and_repeated(published):
    moments, whole = random.Random(0), 0
    retrain("timed")
    began = time.monotonic()
    assert start().wait() == 0
    seconds = time.monotonic() - began
    for number in range(KILLS):
        retrain(f"run {number}")
        process = start()
        time.sleep(moments.uniform(0, seconds))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        whole += not freshness(jobs_here()).stale
        publish(jobs_here())
        assert freshness(jobs_here()).stale == {}, f"kill {number}"
        assert not unused(), f"kill {number}"
    print(f"{KILLS} kills within {seconds:.1f} s; what was published stayed whole after {whole} of them")
    dvc("pull", "--force")
    assert f"run {KILLS - 1}" in Path(TUNED.path(jobs_here()), "content.txt").read_text()
