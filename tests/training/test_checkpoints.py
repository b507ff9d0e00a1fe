"""Rolling checkpoints: only whole ones count, and they belong to one training."""

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


@pytest.mark.parametrize("damage", ["cut", "gone", "marker"])
def test_a_damaged_checkpoint_is_passed_over_and_removed(tmp_path, damage):
    older, newer = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    if damage == "cut":
        (newer / "global_step/optimizer.pt").write_bytes(b"mom")
    else:
        (newer / ("model.safetensors" if damage == "gone" else "complete.json")).unlink()
    assert newest_complete(tmp_path) == older
    assert remove_incomplete(tmp_path) == [newer]
    assert not newer.exists() and older.exists()


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


def test_publication_replaces_the_old_folder(tmp_path):
    new, out = tmp_path / "work/new", tmp_path / "deep/out"
    new.mkdir(parents=True), out.mkdir(parents=True)
    (new / "new.txt").touch(), (out / "old.txt").touch()
    publish(new, out)
    assert [file.name for file in out.iterdir()] == ["new.txt"] and not new.exists()
