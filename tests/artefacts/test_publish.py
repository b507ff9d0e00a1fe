"""Publishing and pulling: all or nothing, again without effect, and every byte checked on the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from finished_run import REPORT, dvc, jobs_here, make

from dynfocus.artefacts import store
from dynfocus.artefacts.cache import decide
from dynfocus.artefacts.places import GROUPS, is_chosen, labels
from dynfocus.artefacts.publish import publish
from dynfocus.artefacts.pull import published_step, pull
from dynfocus.errors import UserError
from dynfocus.steps.index import NAME as INDEX
from dynfocus.steps.index import read_index
from dynfocus.steps.manifests import read_manifest
from dynfocus.steps.table import PrepareData, ScoreAnswers, TrainAlignment, TrainInstruction, name_of, needed

TUNED = TrainInstruction("dynfocus", 0)
CHECKPOINT = "checkpoints/instruction/dynfocus/seed-0"


def state() -> dict[str, bytes]:
    """What git would carry of the published state."""
    files = [*Path().glob("[!.]*.dvc"), Path(INDEX), *Path("dvcstore").rglob("*")]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def retrain(jobs) -> None:
    """A checkpoint with other content, and everything after it."""
    for step in needed(jobs, [REPORT]):
        if step == TUNED or TUNED in needed(jobs, [step]):
            make(jobs, step, "of the second run")


def test_one_dvc_file_for_each_thing_a_person_pulls_alone(published):
    assert sorted(file.stem for file in Path().glob("[!.]*.dvc")) == sorted(GROUPS)


def test_a_plain_dvc_pull_leaves_what_a_person_opens_at_its_real_path(cloned):
    dvc("pull")
    for name in (
        "data/msvd_qa/content.txt",
        f"{CHECKPOINT}/content.txt",
        "results/report.html",
        "results/tables/table_7.csv",
    ):
        assert Path(name).is_file(), name
    assert not list(Path("checkpoints").rglob("manifest.json"))
    assert {file.name for file in Path("packs").iterdir()} == {"predictions.tar.xz", "scores.tar.xz"}


def test_the_report_alone_is_one_dvc_file(cloned):
    dvc("pull", "results.dvc")
    assert Path("results/report.html").is_file() and not Path("checkpoints").exists()


def test_publishing_again_changes_nothing(published):
    before = state()
    assert publish(jobs_here()).changed == ()
    assert state() == before


def test_new_content_replaces_the_old_in_the_store(published):
    size = store.store_size(Path("dvcstore"))
    retrain(jobs_here())
    assert {file.name for file in publish(jobs_here()).changed} == {
        "checkpoints.dvc", "predictions.dvc", "results.dvc", INDEX,
    }  # fmt: skip
    assert store.store_size(Path("dvcstore")) < 1.1 * size
    dvc("pull", "--force")


def test_unfinished_run_is_not_published(published):
    before = state()
    shutil.rmtree(CHECKPOINT)
    with pytest.raises(UserError, match=CHECKPOINT):
        publish(jobs_here())
    assert state() == before


def test_stale_scores_are_not_published(published):
    jobs = jobs_here()
    make(jobs, TUNED, "trained again")
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


def test_clone_pulls_what_was_published_and_knows_it_again(cloned):
    jobs = jobs_here("start_from=scores")
    manifests = read_index(Path()).manifests
    steps = [TUNED, PrepareData("msvd_qa"), ScoreAnswers("blind", 0)]
    assert len(pull(jobs, steps)) == 3
    for step in steps:
        assert read_manifest(step.path(jobs)) == manifests[name_of(jobs, step)]
    assert Path("results/scores/blind/seed-0.samples.jsonl").is_file()
    assert not Path("results/verdicts").exists()
    assert pull(jobs, steps) == []


def test_what_dvc_left_by_hand_is_taken_over(cloned):
    dvc("pull", "checkpoints.dvc")
    jobs = jobs_here("start_from=checkpoints")
    assert pull(jobs, [TUNED]) == []
    assert Path(CHECKPOINT, "manifest.json").is_file()


def test_corrupted_object_is_detected(cloned):
    jobs, needle = jobs_here("start_from=checkpoints"), b"train-instruction dynfocus"
    objects = [file for file in Path("dvcstore").rglob("*") if file.is_file() and needle in file.read_bytes()]
    assert objects
    for file in objects:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
    with pytest.raises(UserError):
        pull(jobs, [TUNED])
    assert not Path(CHECKPOINT, "manifest.json").exists()


def test_artefacts_of_another_commit_are_refused(cloned):
    index = Path(INDEX)
    content = read_index(Path()).manifests[CHECKPOINT]["content"]
    index.write_text(index.read_text().replace(content, "0" * 64))
    with pytest.raises(UserError, match="to one commit"):
        pull(jobs_here("start_from=checkpoints"), [TUNED])
    assert not Path(CHECKPOINT, "manifest.json").exists()


def test_a_mistaken_name_brings_the_three_nearest(cloned):
    with pytest.raises(UserError, match=CHECKPOINT) as caught:
        published_step(jobs_here(), "checkpoints/instruction/dynfocs/seed-0")
    assert str(caught.value).count(",") == 2 and "\n" not in str(caught.value)


def test_what_is_not_published_says_how_to_make_it(cloned):
    with pytest.raises(UserError, match="not published; make it with: snakemake checkpoints/instruction/llama_vid"):
        published_step(jobs_here("runs=[llama_vid]"), "checkpoints/instruction/llama_vid/seed-0")


def test_store_of_this_repository_is_whole_and_small(repository, monkeypatch):
    monkeypatch.chdir(repository)
    folder = repository / "dvcstore"
    files = list(store.dvc_files())
    assert sum(store.tracked_bytes(file) for file in files) <= store.LIMIT
    if files:
        assert store.store_size(folder) <= store.LIMIT
        assert [name for name in store.objects_of(files, folder) if not (folder / name).is_file()] == []


def test_what_is_left_out_is_made(cloned, published_folder):
    for name in ("data", "backbones", "features", "checkpoints", "results"):
        shutil.copytree(published_folder / name, name)
    publish(jobs_here("published=[data/*, backbones/*, predictions/*, results/*, checkpoints/blind-*]"))
    decision = decide(jobs_here("start_from=checkpoints"))
    assert TrainInstruction("blind", 0) in decision.pulled
    assert decision.reasons[TUNED] == "known but not stored, the publisher left it out"


def test_stage_1_is_chosen_by_the_runs_that_start_from_it(published):
    jobs = jobs_here("published=[stage1/dynfocus, data/*]")
    aligned = TrainAlignment(jobs.alignment_key("dynfocus", 0))
    assert is_chosen(jobs, labels(jobs, aligned)) and is_chosen(jobs, labels(jobs, PrepareData("msvd_qa")))
    assert not is_chosen(jobs, labels(jobs, TUNED))
