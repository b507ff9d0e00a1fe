"""What a node must hold: the weights as every process loads them, and the batches that loaders hand over."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.planning import doctor
from dynfocus.planning.doctor import State
from dynfocus.planning.work import batches_in_flight


@pytest.fixture
def paper(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return lambda *changes: load_config([Path("config/paper.yaml")], list(changes))


def test_weights_count_once_per_process_in_the_type_that_is_loaded(paper):
    """Eight ranks of Vicuna-7B in bf16, as build_model loads it; in fp32 they would be twice that."""
    assert "about 113 GB" in doctor.check_memory(paper()).found
    assert "about 225 GB" in doctor.check_memory(paper("instruction.precision=fp32")).found
    nodes = "hardware={gpus: 16, processes: 16, nodes: 2}"
    batches = ("alignment.micro_batch=16", "instruction.micro_batch=2")
    assert "about 113 GB" in doctor.check_memory(paper(nodes, *batches)).found


def test_the_memory_that_the_cluster_profiles_ask_for_holds_them(paper, repository):
    import yaml

    needed = float(doctor.check_memory(paper()).found.split("about ")[1].split()[0])
    for name in ("slurm", "kubernetes"):
        profile = yaml.safe_load((repository / f"workflow/profiles/{name}/config.yaml").read_text())
        for rule in ("train_alignment", "train_instruction"):
            asked = profile["set-resources"][rule]["mem_mb"] / 1e3
            assert asked > needed + batches_in_flight(paper())
            assert name == "slurm" or asked * 0.25 > batches_in_flight(paper())


def test_batches_in_flight_decide_the_shared_memory(paper, tmp_path, monkeypatch):
    from collections import namedtuple

    found = batches_in_flight(paper())
    assert 30 < found < 60
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(16e9))
    check = doctor.check_shared_memory(paper(), tmp_path)
    assert check.state is State.WARNING and f"{found:.0f} GB of batches in flight" in check.found
    assert f"--shm-size={found:.0f}g" in check.remedy
