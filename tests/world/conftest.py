"""A few films of every set of the mini world, without their pixels."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world_files import TINY, with_world, write_annotations


@pytest.fixture(scope="session")
def tiny_config(mini_config):
    return with_world(mini_config, **TINY)


@pytest.fixture(scope="session")
def tiny_sets(tiny_config, tmp_path_factory):
    """(folder with a few films of every set, films by set and path)."""
    folder = tmp_path_factory.mktemp("tiny")
    return folder, write_annotations(tiny_config, folder)
