"""Consumers refuse what does not fit, and finished work is recognized whatever its file times are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from finished_run import REPORT, jobs_here, make

from dynfocus.artefacts.why import explain
from dynfocus.errors import UserError
from dynfocus.steps.manifests import KEYS, manifest_path, read_manifest, size_of
from dynfocus.steps.perform import check, is_ready, perform
from dynfocus.steps.step import Step
from dynfocus.steps.table import (
    AnswerQuestions,
    ExtractFeatures,
    MeasureItem,
    PrepareData,
    TrainAlignment,
    TrainInstruction,
    needed,
)
from dynfocus.steps.times import recorded_seconds, time_file

TUNED = TrainInstruction("dynfocus", 0)
ANSWERED = AnswerQuestions("dynfocus", 0, 0, 1)


def line_of(jobs, text: str) -> str:
    (line,) = explain(jobs, text)
    return line.split(": ", 1)[1]


def test_what_fits_is_accepted(finished):
    check(finished, needed(finished, [REPORT]))


def test_edited_learning_rate_is_refused_with_both_values(finished):
    with pytest.raises(UserError) as caught:
        check(jobs_here("instruction.learning_rate=5e-3"), [TUNED])
    assert "instruction.learning_rate = 0.001" in str(caught.value) and "0.005" in str(caught.value)


def test_answers_of_the_old_weights_are_refused(finished):
    old = read_manifest(TUNED.path(finished))["content"]
    make(finished, TUNED, "trained again")
    new = read_manifest(TUNED.path(finished))["content"]
    with pytest.raises(UserError) as caught:
        check(finished, [ANSWERED])
    assert old[:12] in str(caught.value) and new[:12] in str(caught.value)


def test_other_seed_is_refused(finished):
    manifest = manifest_path(TUNED.path(finished))
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(UserError, match="seed = 1, wanted with 0"):
        check(finished, [TUNED])


def test_file_times_and_a_lost_manifest_start_no_training(finished):
    for before in TUNED.inputs(finished):
        os.utime(manifest_path(before.path(finished)))
    manifest_path(TUNED.path(finished)).unlink()
    assert not is_ready(finished, TUNED)
    check(finished, [TUNED])


def test_other_settings_inputs_or_bytes_are_not_kept(finished):
    edited, aligned = jobs_here("instruction.epochs=9"), TrainAlignment(finished.alignment_key("dynfocus", 0))
    assert is_ready(edited, TUNED)
    (TUNED.path(finished) / "content.txt").write_text("damaged")
    assert is_ready(finished, TUNED)
    make(finished, TUNED)
    assert not is_ready(finished, TUNED)
    make(finished, aligned, "trained again")
    assert is_ready(finished, TUNED)


def test_a_step_that_fails_leaves_no_manifest_and_does_not_run_on_damaged_inputs(finished):
    with pytest.raises(RuntimeError):
        perform(jobs_here("instruction.epochs=9"), TUNED, lambda out: (_ for _ in ()).throw(RuntimeError()))
    assert not manifest_path(TUNED.path(finished)).exists()
    (PrepareData("videochatgpt").path(finished) / "content.txt").unlink()
    with pytest.raises(UserError, match="damaged or edited"):
        perform(finished, TUNED, lambda out: pytest.fail("it must not start"))


def files_of(jobs, step: Step):
    path = step.path(jobs)
    return [path if path.is_file() else path / "content.txt", *step.also(jobs)]


def read_by_others(jobs) -> list[Step]:
    """Every step of a run whose result another one reads."""
    return list(dict.fromkeys(before for step in needed(jobs, [REPORT]) for before in step.inputs(jobs)))


def exchange(jobs, step: Step, other: Step) -> None:
    """Swap two results, with what belongs to each."""
    for one, two in zip(parts_of(jobs, step), parts_of(jobs, other), strict=True):
        kept = one.with_name("kept")
        one.rename(kept)
        two.rename(one)
        kept.rename(two)


def parts_of(jobs, step: Step) -> list[Path]:
    path = step.path(jobs)
    return [path] if path.is_dir() else [path, manifest_path(path), *step.also(jobs)]


def first_of_each_kind(jobs) -> list[Step]:
    return list({type(step): step for step in reversed(read_by_others(jobs))}.values())


def refused(jobs, step: Step, said: str, what: str) -> None:
    """Whoever reads a result must refuse it in one line that says so."""
    with pytest.raises(UserError, match=said) as caught:
        check(jobs, [step])
        pytest.fail(f"not noticed: {what}")
    assert "\n" not in str(caught.value)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "flip": flip,
    "truncate": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "other bytes of the same size": lambda file: file.write_bytes(bytes(reversed(file.read_bytes()))),
    "another type": lambda file: file.write_bytes(b'{"a": 1}'),
}


def test_corruption_of_every_kind_is_noticed_by_whoever_reads(finished):
    for step in first_of_each_kind(finished):
        for file in files_of(finished, step):
            for name, damage in DAMAGES.items():
                whole = file.read_bytes()
                damage(file)
                refused(finished, step, "damaged or edited", f"{file.name}: {name}")
                file.write_bytes(whole)
    check(finished, read_by_others(finished))


def test_shards_of_another_number_are_not_read_along(finished):
    shard = next(step for step in needed(finished, [REPORT]) if isinstance(step, ExtractFeatures))
    check(finished, [shard])
    other = finished.layout.feature_shard(shard.set, 0, shard.shards + 3)
    other.write_bytes(b"of an older encoder")
    with pytest.raises(UserError, match=f"holds {other.name} beside shards of {shard.shards}"):
        check(finished, [shard])


def test_a_job_that_finds_its_work_done_keeps_the_time_of_the_work(finished):
    file, manifest = time_file(finished, TUNED), manifest_path(TUNED.path(finished))
    made = json.loads(manifest.read_text()) | {"wall_seconds": 600.0}
    manifest.write_text(json.dumps(made))
    assert recorded_seconds(finished, TUNED) is None
    file.parent.mkdir(parents=True)
    for seconds, known in (("4.2", 600.0), ("605.5", 605.5)):
        file.write_text(f"s\n{seconds}\n")
        assert recorded_seconds(finished, TUNED) == known
    manifest.write_text("cut off")
    assert recorded_seconds(finished, TUNED) == 605.5


def test_two_of_the_same_kind_do_not_pass_for_each_other(finished):
    """Swapped with their manifests, so that each fits its own."""
    swapped = set()
    for step in first_of_each_kind(finished):
        for other in (other for other in read_by_others(finished) if type(other) is type(step) and other != step):
            exchange(finished, step, other)
            refused(finished, step, "moved here|made with", f"{step} for {other}")
            exchange(finished, step, other)
            swapped.add(step.rule())
    check(finished, read_by_others(finished))
    assert {"prepare_data", "extract_features", "answer_questions", "judge_answers", "score_answers"} <= swapped


def test_a_damaged_manifest_is_one_line(finished):
    for step in first_of_each_kind(finished):
        manifest = manifest_path(step.path(finished))
        whole = manifest.read_text()
        for content in ("", "[]", "7", '{"settings": 3}', whole[:-20]):
            manifest.write_text(content)
            refused(finished, step, "manifest", f"{step}: {content[:20]}")
        for key in KEYS:
            manifest.write_text(json.dumps(json.loads(whole) | {key: 0.5}))
            refused(finished, step, f"a manifest without {key}", f"{step}: {key}")
        manifest.write_text(whole)
    check(finished, read_by_others(finished))


def test_a_large_artefact_is_checked_by_size_and_samples(finished, monkeypatch):
    step = ExtractFeatures("msvd_qa", 0, 1)
    monkeypatch.setattr("dynfocus.steps.manifests.SMALL", 0)
    monkeypatch.setattr("dynfocus.steps.manifests.content_hash", lambda *_: pytest.fail("it must not be read whole"))
    check(finished, [step])
    file = step.path(finished)
    file.write_bytes(bytes(reversed(file.read_bytes())))
    assert size_of(file) == read_manifest(file)["bytes"]
    with pytest.raises(UserError, match="damaged or edited"):
        check(finished, [step])


def test_measuring_on_a_gpu_profile_holds_a_gpu_and_records_it(finished, tmp_path, monkeypatch):
    jobs, step, seen = jobs_here("hardware={device: cuda, gpus: 1, processes: 1}"), MeasureItem("table_4"), []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setattr("dynfocus.machine.gpus.folder", lambda: tmp_path / "locks")
    monkeypatch.setattr("dynfocus.steps.perform.is_ready", lambda jobs, step: True)

    def measure(out):
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("{}")

    assert step.gpus(jobs) == 1 and step.gpus(finished) == 0
    perform(jobs, step, measure)
    assert seen == ["5"] and read_manifest(step.path(jobs))["device"] == "cuda"


def test_why_names_the_first_cause_and_what_waits_for_it(finished):
    assert all(line.endswith(": finished") for line in explain(finished))
    shutil.rmtree(finished.layout.data / "webvid_cap")
    assert line_of(finished, "data/webvid_cap") == "missing: will be made"
    assert "made again only if that changes" in line_of(finished, "features/webvid_cap")
    edited = jobs_here("instruction.learning_rate=5e-3")
    assert "made with instruction.learning_rate = 0.001, wanted with 0.005" in line_of(edited, "instruction/dynfocus/")
