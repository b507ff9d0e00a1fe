"""A full disk is told as such by whichever library meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from dynfocus.machine.faults import MAKE_ROOM, remedy_for

FULL = "/dev/full"
LARGE = torch.zeros(1_000_000)
WRITERS = {
    "python": lambda: Path(FULL).write_bytes(bytes(1_000_000)),
    "torch": lambda: torch.save(LARGE, FULL),
}


@pytest.mark.skipif(not Path(FULL).exists(), reason="no /dev/full here")
@pytest.mark.parametrize("library", WRITERS)
def test_a_full_disk_is_told_as_such(library):
    with pytest.raises(Exception, match=r".") as raised:
        WRITERS[library]()
    assert remedy_for(raised.value) == MAKE_ROOM


def test_libraries_in_rust_tell_the_number_in_words():
    told = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert remedy_for(told) == MAKE_ROOM and remedy_for(SafetensorError("header too large")) is None


def test_a_zip_archive_that_torch_could_not_finish_is_a_full_disk_and_one_it_cannot_read_is_not():
    assert (
        remedy_for(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")) == MAKE_ROOM
    )
    assert remedy_for(RuntimeError("PytorchStreamReader failed reading zip archive"), reading=True) is None
