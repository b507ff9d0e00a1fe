"""Consumers refuse what does not fit, and finished work is recognized whatever its file times are."""

from __future__ import annotations

import os
import shutil

import pytest
from finished_run import jobs_here, make

from dynfocus.artefacts.why import explain
from dynfocus.errors import UserError
from dynfocus.steps import catalogue
from dynfocus.steps.bindings import check, is_kept
from dynfocus.steps.manifests import manifest_path, read_manifest


def inputs_of(artefact):
    return [type(artefact.path)(name) for name in read_manifest(artefact.path)["inputs"]]


def test_what_fits_is_accepted(finished):
    check(finished, catalogue.demanded(finished))


def test_edited_learning_rate_is_refused_with_both_values(finished):
    edited = jobs_here("instruction.learning_rate=5e-3")
    with pytest.raises(UserError) as caught:
        check(edited, [catalogue.checkpoint(edited, "dynfocus", 0)])
    assert "instruction.learning_rate = 0.001" in str(caught.value) and "0.005" in str(caught.value)


def test_answers_of_the_old_weights_are_refused(finished):
    trained = catalogue.checkpoint(finished, "dynfocus", 0)
    old = read_manifest(trained.path)["content"]
    make(trained, inputs_of(trained), "trained again")
    new = read_manifest(trained.path)["content"]
    with pytest.raises(UserError) as caught:
        check(finished, catalogue.all_answers(finished, "dynfocus", 0))
    assert old[:12] in str(caught.value) and new[:12] in str(caught.value)


def test_damaged_weights_are_refused(finished):
    trained = catalogue.checkpoint(finished, "dynfocus", 0)
    (trained.path / "content.txt").write_text("one bit more")
    with pytest.raises(UserError, match="damaged or edited"):
        check(finished, [trained])


def test_other_seed_is_refused(finished):
    with pytest.raises(UserError, match="seed = 0, wanted with 1"):
        trained = catalogue.checkpoint(finished, "dynfocus", 0)
        check(finished, [catalogue.Artefact(trained.kind, trained.path, trained.settings, seed=1)])


def test_file_times_and_a_lost_manifest_start_no_training(finished):
    trained = catalogue.checkpoint(finished, "dynfocus", 0)
    inputs = inputs_of(trained)
    for path in inputs:
        os.utime(manifest_path(path))
    manifest_path(trained.path).unlink()
    assert is_kept(trained, inputs)
    check(finished, [trained])


def test_other_settings_inputs_or_bytes_are_not_kept(finished):
    trained, aligned = catalogue.checkpoint(finished, "dynfocus", 0), catalogue.alignment(finished, "dynfocus", 0)
    inputs = inputs_of(trained)
    edited = catalogue.checkpoint(jobs_here("instruction.epochs=9"), "dynfocus", 0)
    assert not is_kept(edited, inputs)
    assert not is_kept(trained, inputs[1:])
    (trained.path / "content.txt").write_text("damaged")
    assert not is_kept(trained, inputs)
    make(trained, inputs)
    assert is_kept(trained, inputs)
    make(aligned, inputs_of(aligned), "trained again")
    assert not is_kept(trained, inputs)


def test_why_names_the_first_cause_and_what_waits_for_it(finished):
    assert all(": finished" in line for line in explain(finished))
    shutil.rmtree(finished.layout.data / "webvid_cap")
    lines = dict(line.split(": ", 1) for line in explain(finished))
    assert lines["data/webvid_cap"] == "missing: will be made"
    assert "made again only if that changes" in lines["features/webvid_cap/shard-0-of-1.safetensors"]
    edited = jobs_here("instruction.learning_rate=5e-3")
    (line,) = explain(edited, "instruction/dynfocus")
    assert "made with instruction.learning_rate = 0.001, wanted with 0.005" in line


def test_changed_code_is_told_but_starts_nothing(finished):
    trained = catalogue.checkpoint(finished, "dynfocus", 0)
    manifest = manifest_path(trained.path)
    text = manifest.read_text()
    before = read_manifest(trained.path)["code"]["dynfocus.errors"]
    manifest.write_text(text.replace(before, "0" * 64))
    (line,) = explain(finished, "instruction/dynfocus")
    assert "the code of dynfocus.errors is another one now, which starts no job" in line
    assert is_kept(trained, inputs_of(trained))
