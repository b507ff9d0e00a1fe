"""Publishing and pulling: all or nothing, again without effect, and every byte checked on the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from finished_run import dvc, jobs_here, make

from dynfocus.artefacts import store
from dynfocus.artefacts.index import read_index
from dynfocus.artefacts.ladder import require_fitting
from dynfocus.artefacts.publish import is_chosen, publish
from dynfocus.artefacts.pull import pull
from dynfocus.errors import UserError
from dynfocus.steps import catalogue
from dynfocus.steps.manifests import read_manifest

CHECKPOINT = "checkpoints/instruction/dynfocus/seed-0"


def state() -> dict[str, bytes]:
    """What git would carry of the published state."""
    files = [*Path().glob("[!.]*.dvc"), Path("artefacts.json"), *Path("dvcstore").rglob("*")]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def retrain(jobs) -> None:
    """A checkpoint with other content, and everything after it."""
    for artefact in catalogue.demanded(jobs):
        if artefact.kind in ("checkpoints", "answers", "verdicts", "scores"):
            make(artefact, [Path(name) for name in read_manifest(artefact.path)["inputs"]], "of the second run")


def test_one_dvc_file_for_each_thing_a_person_pulls_alone(published):
    assert sorted(file.stem for file in Path().glob("[!.]*.dvc")) == sorted(catalogue.GROUPS)
    packs = {file.relative_to("packs").as_posix() for file in Path("packs").rglob("*.tar.xz")}
    assert {"data/msvd_qa.tar.xz", "checkpoints/dynfocus-seed-0.tar.xz", "predictions/blind-seed-0.tar.xz"} <= packs
    assert {"results/dynfocus-seed-0.tar.xz", "results/report.tar.xz"} <= packs


def test_publishing_again_changes_nothing(published):
    before = state()
    assert publish(jobs_here()).changed == ()
    assert state() == before


def test_new_content_replaces_the_old_in_the_store(published):
    size = store.store_size(Path("dvcstore"))
    retrain(jobs_here())
    assert {file.name for file in publish(jobs_here()).changed} == {
        "checkpoints.dvc", "predictions.dvc", "results.dvc", "artefacts.json",
    }  # fmt: skip
    assert store.store_size(Path("dvcstore")) < 1.1 * size
    shutil.rmtree("packs")
    dvc("pull")


def test_unfinished_run_is_not_published(published):
    before = state()
    shutil.rmtree(CHECKPOINT)
    with pytest.raises(UserError, match=CHECKPOINT):
        publish(jobs_here())
    assert state() == before


def test_stale_scores_are_not_published(published):
    jobs = jobs_here()
    trained = catalogue.checkpoint(jobs, "dynfocus", 0)
    make(trained, [Path(name) for name in read_manifest(trained.path)["inputs"]], "trained again")
    with pytest.raises(UserError, match=f"made from {CHECKPOINT}"):
        publish(jobs)


def test_failed_push_leaves_the_published_state(published):
    retrain(jobs_here())
    before = state()
    Path("blocked").touch()
    dvc("remote", "modify", "--local", "repository", "url", str(Path("blocked", "store").resolve()))
    with pytest.raises(UserError, match="dvc push"):
        publish(jobs_here())
    assert state() == before
    Path(".dvc", "config.local").unlink()
    assert publish(jobs_here()).changed


def test_store_in_the_repository_stays_small(published, monkeypatch):
    retrain(jobs_here())
    before = state()
    monkeypatch.setattr(store, "LIMIT", 1000)
    with pytest.raises(UserError, match="publish elsewhere"):
        publish(jobs_here())
    assert state() == before


def test_clone_pulls_what_was_published(cloned):
    jobs = jobs_here("start_from=scores")
    published = read_index(Path()).manifests
    for name in (CHECKPOINT, "data/msvd_qa", "results/scores/blind/seed-0.json"):
        assert read_manifest(pull(jobs, name))["content"] == published[name]["content"]
    assert Path("results/scores/blind/seed-0.samples.jsonl").is_file()
    assert not Path("results/verdicts").exists()


def test_corrupted_object_is_detected(cloned):
    packs = [file for file in Path("dvcstore").rglob("*") if file.is_file() and file.read_bytes()[:5] == b"\xfd7zXZ"]
    assert packs
    for file in packs:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
    with pytest.raises(UserError):
        pull(jobs_here("start_from=checkpoints"), CHECKPOINT)
    assert not Path(CHECKPOINT, "manifest.json").exists()


def test_packs_of_another_commit_are_refused(cloned):
    index = Path("artefacts.json")
    content = read_index(Path()).manifests[CHECKPOINT]["content"]
    index.write_text(index.read_text().replace(content, "0" * 64))
    with pytest.raises(UserError, match="back to one commit"):
        pull(jobs_here("start_from=checkpoints"), CHECKPOINT)
    assert not Path(CHECKPOINT, "manifest.json").exists()


def test_unknown_artefact_names_the_nearest(cloned):
    with pytest.raises(UserError, match=CHECKPOINT):
        pull(jobs_here(), "checkpoints/instruction/dynfocs/seed-0")


def test_store_of_this_repository_is_whole_and_small(repository, monkeypatch):
    monkeypatch.chdir(repository)
    folder = repository / "dvcstore"
    files = list(store.dvc_files())
    assert sum(store.tracked_bytes(file) for file in files) <= store.LIMIT
    if files:
        assert store.store_size(folder) <= store.LIMIT
        assert [name for name in store.objects_of(files, folder) if not (folder / name).is_file()] == []


def test_what_is_left_out_is_refused_only_where_it_is_needed(cloned, published_folder):
    for name in ("data", "backbones", "features", "checkpoints", "results"):
        shutil.copytree(published_folder / name, name)
    publish(jobs_here("published=[data/*, backbones/*, predictions/*, results/*, checkpoints/blind-*]"))
    assert not Path("packs/checkpoints/dynfocus-seed-0.tar.xz").exists()
    require_fitting(jobs_here("start_from=predictions"))
    with pytest.raises(UserError, match=f"{CHECKPOINT}: known but not stored"):
        require_fitting(jobs_here("start_from=checkpoints", "runs=[dynfocus]"))


def test_stage_1_is_chosen_by_the_runs_that_start_from_it(published):
    jobs = jobs_here("published=[stage1/dynfocus, data/*]")
    assert is_chosen(jobs, f"stage1/{jobs.alignment_key('dynfocus', 0)}") and is_chosen(jobs, "data/msvd_qa")
    assert not is_chosen(jobs, "checkpoints/dynfocus-seed-0")
