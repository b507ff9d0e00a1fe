"""A loopback site in place of the hub and of the publishers' servers."""

from __future__ import annotations

import pytest
from loopback import Site, serving

from dynfocus.ledger import http


@pytest.fixture
def site(monkeypatch):
    """A server that is also the hub; nobody is logged in, and retries do not wait."""
    with serving(Site()) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        monkeypatch.setattr(http, "PAUSE", 0.0)
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
        yield served
