"""Which sets are encoded on the fly: by reads, what a report item measures stays cached, and what it saves."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.planning import rates
from dynfocus.planning.encoding import HOURS_PER_TERABYTE
from dynfocus.planning.fits import fit
from dynfocus.planning.plan import make_plan
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import ExtractFeatures, PrepareClip, TrainAlignment, VerifyData

A100 = rates.gpu("a100")


@pytest.fixture
def load(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    return lambda name, *changes: Jobs.load(load_config([Path(f"config/{name}.yaml")], [f"root={tmp_path}", *changes]))


@pytest.mark.parametrize("profile", ["paper", "paper_open", "small"])
def test_the_profiles_encode_on_the_fly_what_the_plan_says(load, profile):
    made = make_plan(load(profile), A100, 8, cores=2)
    assert made.encodings
    assert {one.set: one.live for one in made.encodings} == {
        one.set: one.set in made.on_the_fly for one in made.encodings
    }


def test_what_is_read_once_takes_no_disk_and_few_hours(load):
    """The paper's profile: features of 7.5 TB come to 2.3 TB, for a few GPU hours more in a hundred."""
    cached, live = (make_plan(load("paper", *changes), A100, 8, cores=2) for changes in (["on_the_fly=[]"], []))
    saved = (cached.features.patches - live.features.patches) / 1000
    assert saved > 5 and live.features.patches < 2500
    added = live.total.gpu_hours - cached.total.gpu_hours
    assert 0 < added < min(0.04 * cached.total.gpu_hours, HOURS_PER_TERABYTE * saved)


def test_films_read_by_many_talks_stay_cached_and_one_run_alone_needs_no_cache(load):
    everything = {one.set: one for one in make_plan(load("paper"), A100, 8, cores=2).encodings}
    assert everything["videochatgpt"].reads > 100 and not everything["videochatgpt"].live
    alone = {one.set: one for one in make_plan(load("paper", "items=[headline]"), A100, 8, cores=2).encodings}
    assert alone["videochatgpt"].trainings == 1 and alone["videochatgpt"].live


def test_a_training_on_the_fly_waits_for_the_films_and_the_encoder_in_place_of_features(load):
    jobs = load("paper")
    inputs = list(TrainAlignment(jobs.alignment_key("dynfocus", 0)).inputs(jobs))
    assert VerifyData("webvid_cap") in inputs and PrepareClip() in inputs
    assert not [step for step in inputs if isinstance(step, ExtractFeatures)]
    beside = load("paper", "on_the_fly=[]")
    assert fit(jobs.run("dynfocus"), "dynfocus", "alignment", A100).usable < (
        fit(beside.run("dynfocus"), "dynfocus", "alignment", A100).usable
    ), "the encoder takes its room on the card"
