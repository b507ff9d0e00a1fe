"""Makes the reference versions in benchmarks/ importable, and holds the toy models that several tests use."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def fixed_seed_and_one_thread():
    """Every test starts from the same seed, on one core."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
