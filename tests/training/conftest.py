"""The toy world and network of this folder (toy_network.py)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import real_network
import toy_network


@pytest.fixture(scope="session")
def tokenizer():
    return toy_network.llama_tokenizer()


@pytest.fixture
def toys(monkeypatch):
    """The toy network and feature store in place of the real ones."""
    for name, module in toy_network.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return toy_network


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A toy world: data, features, an empty backbones folder."""
    root = tmp_path_factory.mktemp("world")
    toy_network.write_world(root)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data, features and tiny real backbones; the network's draws do not depend on how a batch is split."""
    folder = tmp_path_factory.mktemp("world")
    toy_network.write_world(folder)
    (folder / "backbones").rmdir()
    real_network.write_backbones(folder / "backbones")
    with pytest.MonkeyPatch.context() as patch:
        real_network.share_draws(patch)
        yield folder
