"""Rolling checkpoints: only whole ones count, and they belong to one training."""

import errno
import os
from pathlib import Path

import pytest

from dynfocus.errors import UserError
from dynfocus.training.checkpoints import claim, mark_complete, newest_complete, publish, remove_incomplete

LAYOUT = {"processes": 1, "zero_stage": 1}


def checkpoint(work, step, complete=True):
    folder = work / f"checkpoint-{step}"
    (folder / "global_step").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "global_step/optimizer.pt").write_bytes(b"moments")
    if complete:
        mark_complete(folder)
    return folder


def test_the_newest_whole_checkpoint_is_taken(tmp_path):
    checkpoint(tmp_path, 90), checkpoint(tmp_path, 100), checkpoint(tmp_path, 110, complete=False)
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-100"


DAMAGE = {
    "cut": lambda folder: (folder / "global_step/optimizer.pt").write_bytes(b"mom"),
    "zeros of the same size": lambda folder: (folder / "global_step/optimizer.pt").write_bytes(bytes(7)),
    "gone": lambda folder: (folder / "model.safetensors").unlink(),
    "no marker": lambda folder: (folder / "complete.json").unlink(),
    "empty marker": lambda folder: (folder / "complete.json").write_bytes(b""),
    "marker of another type": lambda folder: (folder / "complete.json").write_text("[1]"),
    "marker of no file": lambda folder: (folder / "complete.json").write_text("{}"),
    "marker of sizes": lambda folder: (folder / "complete.json").write_text('{"model.safetensors": 7}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_removed_and_passed_over(tmp_path, damage):
    older, newer = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    damage(newer)
    assert remove_incomplete(tmp_path) == [newer]
    assert not newer.exists() and newest_complete(tmp_path) == older


def test_a_file_that_came_later_leaves_a_checkpoint_whole(tmp_path):
    (checkpoint(tmp_path, 3) / "note.txt").write_text("mine")
    assert remove_incomplete(tmp_path) == []


def test_every_file_and_folder_is_flushed_before_the_marker(tmp_path, monkeypatch):
    flushed = []
    original = os.fsync

    def fsync(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = checkpoint(tmp_path, 4)
    content = [folder / "model.safetensors", folder / "global_step/optimizer.pt", folder / "global_step", folder]
    marker = next(place for place, name in enumerate(flushed) if "complete.json" in name)
    assert {str(path) for path in content} <= set(flushed[:marker])
    assert flushed[-1] == str(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"identity": 1, "layout": {}}', "\0"])
def test_a_work_folder_that_cannot_be_read_is_one_line(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UserError, match=r"settings\.json.*; remove .* to start again"):
        claim(tmp_path, {}, LAYOUT)


def test_no_checkpoint_means_a_fresh_start(tmp_path):
    assert newest_complete(tmp_path / "nothing") is None


def test_checkpoints_of_other_settings_are_not_resumed(tmp_path):
    work = tmp_path / "work"
    assert claim(work, {"learning_rate": 1}, LAYOUT) is False
    checkpoint(work, 5)
    assert claim(work, {"learning_rate": 1}, LAYOUT) is False and newest_complete(work) is not None
    assert claim(work, {"learning_rate": 2}, LAYOUT) is True and newest_complete(work) is None


def test_another_number_of_processes_is_refused_while_there_is_something_to_resume(tmp_path):
    work = tmp_path / "work"
    claim(work, {}, LAYOUT)
    checkpoint(work, 5)
    with pytest.raises(UserError, match="processes 1, zero_stage 1, now asked for processes 2, zero_stage 1"):
        claim(work, {}, LAYOUT | {"processes": 2})


@pytest.mark.parametrize("disks", ["one", "two"])
def test_publication_replaces_the_old_folder(tmp_path, monkeypatch, disks):
    if disks == "two":
        original = os.replace

        def replace(source, target):
            if Path(source).parent != Path(target).parent:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            original(source, target)

        monkeypatch.setattr(os, "replace", replace)
    new, out = tmp_path / "work/new", tmp_path / "deep/out"
    new.mkdir(parents=True), out.mkdir(parents=True)
    (new / "new.txt").touch(), (out / "old.txt").touch()
    publish(new, out)
    assert [file.name for file in out.iterdir()] == ["new.txt"] and not new.exists()
    assert list(out.parent.iterdir()) == [out]


def test_publication_takes_the_place_of_a_link_and_leaves_what_it_points_to(tmp_path):
    new, out, elsewhere = tmp_path / "new", tmp_path / "out", tmp_path / "elsewhere"
    new.mkdir(), elsewhere.mkdir()
    (elsewhere / "mine.txt").touch()
    out.symlink_to(elsewhere)
    publish(new, out)
    assert out.is_dir() and not out.is_symlink() and (elsewhere / "mine.txt").exists()
