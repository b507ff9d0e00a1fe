"""Manifests: complete, last, and refused where they do not fit."""

from __future__ import annotations

import json

import pytest

from dynfocus.errors import UserError
from dynfocus.steps.manifests import content_hash, content_of, manifest_path, read_manifest, record, verify

SETTINGS = {"instruction": {"learning_rate": 2e-5, "datasets": ["videochatgpt"]}, "world": {"seed": 0}}


@pytest.fixture
def checkpoint(tmp_path):
    """A finished folder with a manifest."""
    folder = tmp_path / "checkpoint"
    source = tmp_path / "source.txt"
    source.write_text("films")
    with record(
        folder,
        command="train",
        settings=SETTINGS,
        inputs=[source],
        code={"dynfocus.errors": "0123456789ab"},
        seed=3,
        device="cpu",
    ):
        folder.mkdir()
        (folder / "weights").write_bytes(b"weights")
    return folder


def test_manifest_says_how_the_artefact_was_made(checkpoint, tmp_path):
    manifest = read_manifest(checkpoint)
    assert manifest["settings"] == SETTINGS
    assert (manifest["command"], manifest["seed"], manifest["device"]) == ("train", 3, "cpu")
    assert list(manifest["inputs"].values()) == [content_hash(tmp_path / "source.txt")]
    assert manifest["code"] == {"dynfocus.errors": "0123456789ab"}
    assert manifest["machine"]["cores"] >= 1 and manifest["bytes"] == len(b"weights")
    assert manifest["wall_seconds"] >= 0
    assert "dynfocus" in manifest["versions"]


def test_failure_leaves_no_manifest_and_removes_the_old_one(checkpoint):
    with pytest.raises(RuntimeError), record(checkpoint, command="train", settings=SETTINGS):
        raise RuntimeError
    assert not manifest_path(checkpoint).exists()
    with pytest.raises(UserError, match="no finished artefact"):
        read_manifest(checkpoint)


def test_an_input_that_changes_during_the_work_is_refused(checkpoint, tmp_path):
    source = tmp_path / "source.txt"
    changed = pytest.raises(UserError, match=r"source\.txt was changed while it was read")
    with changed, record(checkpoint, command="train", settings=SETTINGS, inputs=[source]):
        source.write_text("other films")
    assert not manifest_path(checkpoint).exists()


def test_file_has_its_manifest_beside_it(tmp_path):
    answers = tmp_path / "shard-0-of-1.jsonl"
    with record(answers, command="answer", settings={}):
        answers.write_text("{}\n")
    assert json.loads((tmp_path / "shard-0-of-1.jsonl.manifest.json").read_text())["artefact"] == answers.name


def test_equal_settings_are_accepted(checkpoint):
    assert verify(checkpoint, dict(reversed(SETTINGS.items())))["seed"] == 3


def test_other_settings_are_refused_with_both_values(checkpoint):
    other = {**SETTINGS, "instruction": {**SETTINGS["instruction"], "learning_rate": 3e-5}}
    with pytest.raises(UserError) as caught:
        verify(checkpoint, other)
    message = str(caught.value)
    assert "instruction.learning_rate = 2e-05" in message and "3e-05" in message and "\n" not in message


def test_damaged_manifest_is_one_line(checkpoint):
    manifest_path(checkpoint).write_text('{"settings":')
    with pytest.raises(UserError, match="not valid JSON"):
        verify(checkpoint, SETTINGS)


def test_content_follows_names_and_bytes_but_not_the_manifest(checkpoint):
    before = content_of(checkpoint)
    assert before == content_hash(checkpoint)
    (checkpoint / "weights").rename(checkpoint / "other")
    renamed = content_hash(checkpoint)
    (checkpoint / "other").write_bytes(b"weightz")
    assert len({before, renamed, content_hash(checkpoint)}) == 3
