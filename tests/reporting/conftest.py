"""A temporary root with made-up score files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from score_files import write_scores


@pytest.fixture
def scores(tmp_path: Path) -> Callable[[list[dict]], Path]:
    """Write records below a fresh root and return the root."""

    def write(records: list[dict]) -> Path:
        write_scores(tmp_path, records)
        return tmp_path

    return write
