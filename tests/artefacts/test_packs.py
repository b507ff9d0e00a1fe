"""Packs: equal bytes for equal content, and unpacked as a whole."""

from __future__ import annotations

import os

import pytest

from dynfocus.artefacts.packs import unpack, write_pack
from dynfocus.errors import UserError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "checkpoints" / "seed-0"
    (made / "tensorboard").mkdir(parents=True)
    (made / "weights").write_bytes(b"weights")
    (made / "manifest.json").write_text("{}")
    (made / ".manifest.json").write_text("{}")
    (made / "tensorboard" / "events").write_bytes(b"of this machine")
    return made


def test_equal_content_gives_equal_bytes(tmp_path, folder):
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    write_pack(first, tmp_path, [folder])
    os.utime(folder / "weights", (1, 1))
    (folder / "weights").chmod(0o600)
    write_pack(second, tmp_path, [folder])
    assert first.read_bytes() == second.read_bytes()


def test_what_belongs_to_one_machine_stays_there(tmp_path, folder):
    pack, root = tmp_path / "pack.tar", tmp_path / "elsewhere"
    write_pack(pack, tmp_path, [folder])
    (target,) = unpack(pack, root, [root / "checkpoints" / "seed-0"])
    assert sorted(file.name for file in target.rglob("*")) == ["manifest.json", "weights"]


def test_a_folder_is_replaced_not_merged(tmp_path, folder):
    pack = tmp_path / "pack.tar"
    write_pack(pack, tmp_path, [folder])
    (folder / "left over").touch()
    unpack(pack, tmp_path, [folder])
    assert not (folder / "left over").exists() and (folder / "weights").exists()


def test_only_what_is_wanted_is_unpacked(tmp_path):
    for name in ("answers.jsonl", "verdicts.jsonl"):
        (tmp_path / name).write_text(name)
    pack, root = tmp_path / "pack.tar", tmp_path / "elsewhere"
    write_pack(pack, tmp_path, [tmp_path / "answers.jsonl", tmp_path / "verdicts.jsonl"])
    root.mkdir()
    unpack(pack, root, [root / "answers.jsonl"])
    assert [file.name for file in root.iterdir() if file.is_file()] == ["answers.jsonl"]


def test_broken_pack_leaves_the_old_artefact(tmp_path, folder):
    pack = tmp_path / "pack.tar"
    write_pack(pack, tmp_path, [folder])
    pack.write_bytes(pack.read_bytes()[:100])
    with pytest.raises(UserError, match="pull again"):
        unpack(pack, tmp_path, [folder])
    assert (folder / "weights").read_bytes() == b"weights"
