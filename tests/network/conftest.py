"""One seed and one thread for every test of the network."""

import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seed_and_one_thread():
    """Every test starts from the same seed, on one core."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
