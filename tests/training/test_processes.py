"""Real processes: kill -9, and two processes under each ZeRO stage (each start costs its imports, hence `slow`)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_toy_stage.py")
SAME_CURVE = 1e-5
KILLED = -9


def start(world, out, processes=1, kill=(), **changes):
    """Run the toy instruction stage in `processes` processes of its own."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    settings = json.dumps(changes | {"processes": processes})
    command = [*launcher, str(SCRIPT), str(world), "instruction", str(out), settings, *map(str, kill)]
    group = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    clean = {name: value for name, value in os.environ.items() if name not in group}
    return subprocess.run(command, env=clean | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280)


def curve(out):
    with (out / "log.csv").open() as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A world whose stage 2 starts from the backbones."""
    import toy_network

    root = tmp_path_factory.mktemp("processes")
    toy_network.write_world(root)
    return root


@pytest.fixture(scope="module")
def single(started):
    """The curve of one process."""
    ended = start(started, started / "single", noise=0.0)
    assert ended.returncode == 0, ended.stderr
    return curve(started / "single")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_two_processes_train_like_one(started, single, zero):
    out = started / f"zero-{zero}"
    ended = start(started, out, processes=2, micro_batch=2, zero_stage=zero, noise=0.0)
    assert ended.returncode == 0, ended.stderr
    assert curve(out) == pytest.approx(single, abs=SAME_CURVE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", ["step", "save"])
def test_kill_9_and_resume_give_the_same_curve_and_weights(started, single, where):
    out = started / f"killed-{where}"
    assert start(started, out, kill=(0, 6, where), noise=0.0).returncode == KILLED
    assert not out.exists()
    ended = start(started, out, noise=0.0)
    assert ended.returncode == 0 and "resuming from checkpoint-4" in ended.stderr, ended.stderr
    assert curve(out) == single
    one, two = (load_file(folder / "model.safetensors") for folder in (started / "single", out))
    assert all(one[name].equal(two[name]) for name in one)


@pytest.mark.timeout(600)
def test_one_killed_rank_ends_the_run_and_it_resumes(started, single):
    out = started / "killed-rank"
    settings = {"processes": 2, "micro_batch": 2, "noise": 0.0}
    ended = start(started, out, kill=(1, 7), **settings)
    assert ended.returncode != 0 and not out.exists()
    ended = start(started, out, **settings)
    assert ended.returncode == 0 and "resuming from checkpoint-6" in ended.stderr, ended.stderr
    assert curve(out) == pytest.approx(single, abs=SAME_CURVE)
