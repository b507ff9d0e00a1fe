"""Each finding has a state and a remedy; keys are never shown."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from rich.console import Console

from dynfocus.config.load import load_config
from dynfocus.planning import doctor
from dynfocus.planning.doctor import State
from dynfocus.steps.jobs import Jobs

SECRET = "hf_do-not-show"


@pytest.fixture
def load(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    return lambda name, *changes: Jobs.load(load_config([Path(f"config/{name}.yaml")], [f"root={tmp_path}", *changes]))


@pytest.fixture
def hub():
    """A server that opens `open/set` to the secret token alone."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("Authorization") == f"Bearer {SECRET}" and "open/set" in self.path
            self.send_response(200 if known else 403)
            self.end_headers()
            self.wfile.write(json.dumps({}).encode())

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def states(checks):
    return {check.name: check.state for check in checks}


def test_mini_profile_runs_here(load):
    checks = doctor.examine(load("mini"), {}, offline=True)
    assert not doctor.blocked(checks), [check for check in checks if check.state is State.BLOCKING]


def test_paper_profile_without_gpus_and_keys_is_blocked_with_a_remedy_each(load, monkeypatch):
    monkeypatch.setattr(doctor, "list_gpus", list)
    checks = doctor.examine(load("paper", "evaluation.judge.api_key_env=OPENAI_API_KEY"), {}, offline=True)
    found = states(checks)
    assert found["GPUs"] is found["judge"] is found["set webvid_cap"] is State.BLOCKING
    assert all(check.remedy for check in checks if check.state is not State.OK)


def test_fewer_gpus_block_and_the_remedy_names_the_setting(load, monkeypatch):
    card = {"name": "A100", "memory": "80 GB", "driver": "999.1"}
    monkeypatch.setattr(doctor, "list_gpus", lambda: [card, card])
    first = next(iter(doctor.check_gpus(load("paper").config)))
    assert first.state is State.BLOCKING
    assert "gpus: 2, processes: 2" in first.remedy


@pytest.mark.parametrize(
    "driver, torch, state",
    [("550.54", "2.14.1+cu130", State.BLOCKING), ("580.1", "2.14.1+cu130", State.OK), ("550.54", "2.14.1", State.OK)],
)
def test_old_driver_for_the_cuda_of_torch_blocks(driver, torch, state):
    assert doctor.check_driver(driver, torch).state is state


def test_full_disk_blocks(load, monkeypatch):
    jobs = load("paper", "evaluation.judge.kind=rule")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**9})())
    check = doctor.check_disk(jobs)
    assert check.state is State.BLOCKING and "1 GB free" in check.found


def test_key_is_found_but_never_shown(load, hub):
    jobs = load("paper", f"evaluation.judge.base_url={hub}", "evaluation.judge.api_key_env=OPENAI_API_KEY")
    environment = {"OPENAI_API_KEY": SECRET, "HF_TOKEN": SECRET, "HF_ENDPOINT": hub}
    checks = doctor.examine(jobs, environment)
    assert states(checks)["judge"] is State.OK
    assert states(checks)["network: hub"] is states(checks)["network: judge"] is State.OK
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(doctor.table(checks, "paper"))
    assert SECRET not in console.export_text() and SECRET not in repr(checks)


def test_gated_set_opens_only_to_an_accepted_token(hub, monkeypatch):
    environment = {"HF_TOKEN": SECRET, "HF_ENDPOINT": hub}
    assert doctor.hub_access("open/set", "dataset", environment, offline=False)[0] is State.OK
    state, found, remedy = doctor.hub_access("shut/set", "dataset", environment, offline=False)
    assert state is State.BLOCKING and "403" in found and f"{hub}/datasets/shut/set" in remedy
    for known, wanted in ((None, State.BLOCKING), (SECRET, State.OK)):
        monkeypatch.setattr(huggingface_hub, "get_token", lambda known=known: known)  # that of `hf auth login`
        assert doctor.hub_access("open/set", "dataset", {"HF_ENDPOINT": hub}, offline=False)[0] is wanted


def test_unreachable_server_is_a_warning():
    assert doctor.check_server("hub", "http://127.0.0.1:9").state is State.WARNING
