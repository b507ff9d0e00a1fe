"""The real network under DeepSpeed in processes of its own: each ZeRO stage, each split of a batch, kill -9, resuming.

Losses are compared with those of one process. Each start costs its imports, hence `slow`; `-s` shows the differences.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).with_name("run_stage.py")
SAME_CURVE = 1e-5
KILLED = -9
# Seconds after which a start counts as hanging, on a machine that is busy with other work.
HANGS = 1200
STEPS = 12


def start(world, out, processes=1, kill=(), **changes):
    """Run the instruction stage in `processes` processes of its own."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    settings = json.dumps(changes | {"processes": processes})
    command = [*launcher, str(SCRIPT), str(world), "instruction", str(out), settings, *map(str, kill)]
    group = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    clean = {name: value for name, value in os.environ.items() if name not in group}
    return subprocess.run(command, env=clean | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=HANGS)


def finish(world, out, **settings):
    """Run a stage to its end; returns its losses."""
    ended = start(world, out, **settings)
    assert ended.returncode == 0, ended.stderr
    losses = curve(out)
    assert len(losses) == STEPS
    return losses


def curve(out):
    with (out / "log.csv").open() as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


def same_weights(one, two):
    mine, other = (load_file(folder / "model.safetensors") for folder in (one, two))
    return mine.keys() == other.keys() and all(mine[name].equal(other[name]) for name in mine)


def difference(name, one, two):
    """Largest difference between two curves, shown."""
    largest = max(abs(a - b) for a, b in zip(one, two, strict=True))
    print(f"{name}: losses {two[0]:.4f} to {two[-1]:.4f}, largest difference {largest:.1e}")
    return largest


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The toy world with tiny backbones of the real network."""
    import real_network
    import toy_network

    root = tmp_path_factory.mktemp("processes")
    toy_network.write_world(root)
    real_network.write_backbones(root / "backbones")
    return root


@pytest.fixture(scope="module")
def single(world):
    """The curve of one process with ZeRO-0."""
    losses = finish(world, world / "single", zero_stage=0, shared_draws=True)
    assert losses[-1] < losses[0] - 0.2
    return losses


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_two_processes_train_like_one(world, single, zero):
    losses = finish(world, world / f"two-{zero}", processes=2, micro_batch=2, zero_stage=zero, shared_draws=True)
    assert difference(f"two processes, ZeRO-{zero}", single, losses) < SAME_CURVE


@pytest.mark.parametrize("processes, micro", [(1, 1), (2, 1)])
def test_accumulated_micro_batches_train_like_one_large_one(world, single, processes, micro):
    name = f"{processes} x {micro} x {4 // processes // micro}"
    out = world / f"accumulated-{processes}"
    losses = finish(world, out, processes=processes, micro_batch=micro, zero_stage=0, shared_draws=True)
    assert difference(name, single, losses) < SAME_CURVE


@pytest.fixture(scope="module")
def undisturbed(world):
    """One process with draws of its own, never killed."""
    finish(world, world / "undisturbed")
    return world / "undisturbed"


@pytest.mark.parametrize("where", ["step", "save"])
def test_kill_9_and_resume_give_the_same_curve_and_weights(world, undisturbed, where):
    out = world / f"killed-{where}"
    assert start(world, out, kill=(0, 6, where)).returncode == KILLED
    assert not out.exists()
    ended = start(world, out)
    assert ended.returncode == 0 and "resuming from checkpoint-4" in ended.stderr, ended.stderr
    assert curve(out) == curve(undisturbed) and same_weights(out, undisturbed)


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_one_killed_rank_ends_the_run_at_once_and_it_resumes(world, zero):
    settings = {"processes": 2, "micro_batch": 2, "zero_stage": zero}
    whole, out = world / f"whole-{zero}", world / f"killed-rank-{zero}"
    finish(world, whole, **settings)
    ended = start(world, out, kill=(1, 7, "step"), **settings)
    seconds = time.time() - out.with_suffix(".killed").stat().st_mtime
    print(f"ZeRO-{zero}: the run ended {seconds:.1f} s after one rank was killed")
    assert ended.returncode != 0 and "exitcode  : -9" in ended.stderr and not out.exists()
    assert not processes_that_name(out)
    ended = start(world, out, **settings)
    assert ended.returncode == 0 and "resuming from checkpoint-6" in ended.stderr, ended.stderr
    assert difference(f"ZeRO-{zero}, resumed", curve(whole), curve(out)) == 0 and same_weights(whole, out)


def processes_that_name(path):
    """Command lines of running processes that hold a path."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [words] if str(path) in words else []
    return found
