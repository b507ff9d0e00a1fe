"""Locks: held by one process, and one clear line where a file system has none."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from dynfocus.errors import UserError
from dynfocus.machine.gpus import acquire_slots
from dynfocus.machine.locks import acquire, only_one, open_lock, take


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    file = tmp_path / "deep/run.lock"
    held = acquire(file, "a run")
    with pytest.raises(UserError, match=f"a run: still running as process {os.getpid()}; wait"):
        acquire(file, "a run")
    held.close()
    with only_one(file, "a run"):
        assert file.read_text() == str(os.getpid())
    code = "import os, sys; from pathlib import Path; from dynfocus.machine.locks import acquire;"
    code += "lock = acquire(Path(sys.argv[1]), 'a run'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == -9
    acquire(file, "a run").close()


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def no_locks(request, monkeypatch):
    """A file system that answers a lock as some network file systems do."""

    def flock(stream, how):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_system_without_locks_is_one_line_and_can_be_used_all_the_same(no_locks, tmp_path, monkeypatch):
    said = r"run\.lock: its file system gives no locks .*; use another disk, .*DYNFOCUS_NO_LOCKS=1"
    with pytest.raises(UserError, match=said):
        acquire(tmp_path / "run.lock", "a run")
    with pytest.raises(UserError, match="gives no locks"):
        acquire_slots(["0"], 1, tmp_path, "training")
    monkeypatch.setenv("DYNFOCUS_NO_LOCKS", "1")
    acquire(tmp_path / "run.lock", "a run").close()
    assert acquire_slots(["0"], 1, tmp_path, "training")[1] == ("0",)


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file/run.lock", tmp_path):
        with pytest.raises(UserError, match=r"cannot be locked .*; give write access"):
            acquire(place, "a run")


def test_a_lock_file_of_any_content_is_one_line(tmp_path):
    file = tmp_path / "run.lock"
    file.write_bytes(b"\xff\n\x1b[31m" * 1000)
    with open_lock(file) as stream:
        assert take(stream)
        with pytest.raises(UserError, match="still running as process") as caught:
            acquire(file, "a run")
    assert str(caught.value).isprintable()
