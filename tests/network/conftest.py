"""One seed and one thread for every test of the network; makes speed/ and scripts/ importable."""

import sys
from pathlib import Path

import pytest
import torch

for folder in ("speed", "scripts"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / folder))


@pytest.fixture(autouse=True)
def fixed_seed_and_one_thread():
    """Every test starts from the same seed, on one core."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
