"""An S3 remote on loopback: push, pull, a corrupted object, and a server that dies in the middle of a push."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import s3fs
from finished_run import dvc, jobs_here

from dynfocus.artefacts.publish import publish
from dynfocus.artefacts.pull import pull
from dynfocus.errors import UserError

SERVER = shutil.which("moto_server")
CHECKPOINT = "checkpoints/instruction/dynfocus/seed-0"
BUCKET = "artefacts"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(SERVER is None, reason="no moto_server on PATH (moto[server], in an environment of its own)"),
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MortalServer:
    """A forwarder to the real server that ends all connections after so many bytes from its clients."""

    def __init__(self, port: int, target: int, budget: float):
        self.budget, self._target, self._open = budget, target, []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self) -> None:
        self.budget = 0
        for end in [self._listener, *self._open]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while block := source.recv(4096):
                if counted:
                    self.budget -= len(block)
                if self.budget <= 0:
                    self.die()
                    return
                sink.sendall(block)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def bucket() -> Iterator[int]:
    """A server with an empty bucket; its port."""
    port = free_port()
    process = subprocess.Popen([SERVER, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(httpx.HTTPError):
                httpx.put(f"http://127.0.0.1:{port}/{BUCKET}").raise_for_status()
                break
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


def files(port: int) -> s3fs.S3FileSystem:
    """The bucket as its owner sees it now."""
    return s3fs.S3FileSystem(
        key="testing", secret="testing", endpoint_url=f"http://127.0.0.1:{port}", skip_instance_cache=True
    )


def keys(port: int) -> list[str]:
    return files(port).find(BUCKET)


def use_remote(port: int) -> None:
    dvc("remote", "add", "--default", "--force", "cloud", f"s3://{BUCKET}/mini")
    dvc("remote", "modify", "cloud", "endpointurl", f"http://127.0.0.1:{port}")
    dvc("remote", "modify", "cloud", "verify", "true")


@pytest.fixture
def unpublished(finished, monkeypatch):
    """A finished run in a repository whose remote is still to be chosen."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    dvc("init", "--no-scm", "--quiet")
    return finished


def forget() -> None:
    """Leave what git would carry."""
    for name in ("packs", "data", "backbones", "features", "checkpoints", "results", "work", ".dvc/cache"):
        shutil.rmtree(name, ignore_errors=True)


def test_push_pull_and_a_corrupted_object(unpublished):
    with bucket() as port:
        use_remote(port)
        publish(unpublished)
        forget()
        jobs = jobs_here("start_from=checkpoints")
        pull(jobs, CHECKPOINT)
        assert Path(CHECKPOINT, "content.txt").is_file()
        forget()
        for key in keys(port):
            if not key.endswith(".dir"):
                files(port).pipe(key, b"corrupted")
        with pytest.raises(UserError):
            pull(jobs, CHECKPOINT)
        assert not Path(CHECKPOINT).exists()


def test_server_that_dies_during_a_push_leaves_the_project_consistent(unpublished):
    with bucket() as target:
        port = free_port()
        use_remote(port)
        server = MortalServer(port, target, budget=60_000)
        with pytest.raises(UserError, match="dvc push"):
            publish(unpublished)
        pushed = len(keys(target))
        assert pushed > 0, "the server died before anything was pushed"
        assert list(Path().glob("[!.]*.dvc")) == [] and not Path("artefacts.json").exists()
        server = MortalServer(port, target, budget=float("inf"))
        publish(unpublished)
        assert len(keys(target)) > pushed
        forget()
        pull(jobs_here("start_from=checkpoints"), CHECKPOINT)
        server.die()
