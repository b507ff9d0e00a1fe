"""Both bounds of the hours, prices, and the memory of every run's own mixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.planning import rates
from dynfocus.planning.fits import fit, fits
from dynfocus.planning.models import backbones
from dynfocus.planning.plan import make_plan
from dynfocus.planning.work import training_work
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import RenderReport, TrainInstruction, needed

OPEN = "substitutes={webvid_cap: [llava_video_cap], webvid_qa: []}"


@pytest.fixture
def load(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    return lambda name, *changes: Jobs.load(load_config([Path(f"config/{name}.yaml")], [f"root={tmp_path}", *changes]))


def test_the_lower_bound_is_the_work_at_40_percent_of_the_peak(load):
    jobs = load("paper")
    step = TrainInstruction("dynfocus_full", 0)
    work = training_work(jobs.run("dynfocus_full"), "instruction")
    found = rates.duration(jobs, step, work, rates.gpu("a100"))
    assert found.least == pytest.approx(60 + (work.gflops + work.live_gflops) / (0.4 * 312e3 * 8))
    assert found.least < found.seconds


def test_hours_lie_between_their_bounds_and_are_priced(load):
    made = make_plan(load("paper"), rates.gpu("a100"), 8, cores=2)
    for cost in (made.total, *made.items.values(), *made.paths.values(), *made.rules.values()):
        assert cost.gpu_hours_least <= cost.gpu_hours
        assert cost.gpu_price == pytest.approx(1.30 * cost.gpu_hours)
    assert made.total.gpu_hours_least < 0.5 * made.total.gpu_hours
    assert make_plan(load("paper"), rates.gpu("rtx4090"), 8, cores=2).total.gpu_price is None


def test_the_cheapest_paths_are_cheaper_than_the_whole(load):
    made = make_plan(load("paper"), rates.gpu("a100"), 8, cores=2)
    assert set(made.paths) == {"headline alone", "one table (2)", "three runs"}
    assert max(cost.gpu_hours for cost in made.paths.values()) < 0.2 * made.total.gpu_hours
    assert made.paths["three runs"].judge_calls < made.items["table_7"].judge_calls
    assert make_plan(load("mini"), rates.gpu("a100"), 1, cores=2).paths == {}


def test_every_training_of_the_paper_fits_80_gb_with_its_own_longest_sample(load):
    jobs = load("paper")
    found = fits(jobs, needed(jobs, [RenderReport()]), rates.gpu("a100"))
    assert {run for one in found if one.stage == "instruction" for run in one.runs} >= {"tokens_2_256", "dynfocus_full"}
    assert all(one.fits for one in found), [one.advice for one in found if not one.fits]


def test_a_long_talk_is_judged_as_training_cuts_it(load):
    """NExT-QA's twelve rounds on 180 frames would be 14,000 tokens; Vicuna takes 4,096."""
    jobs = load("paper")
    config = jobs.run("dynfocus_full")
    from dynfocus.planning.fits import heaviest_load

    load_, too_long = heaviest_load(config, config.instruction)
    assert load_.tokens <= backbones(config).llm.positions == 4096 and not too_long


def test_a_round_beyond_the_positions_is_told(load):
    jobs = load("paper")
    config = jobs.run("tokens_2_256")
    narrow = config.model_copy(update={"network": config.network.model_copy(update={"rope_factor": 1.0})})
    found = fit(narrow, "tokens_2_256", "instruction", rates.gpu("a100"))
    assert not found.fits and "the LLM has 4,096 positions; raise network.rope_factor" in found.advice
    assert fit(config, "tokens_2_256", "instruction", rates.gpu("a100")).fits


def test_substitutes_leave_nothing_that_cannot_be_had(load):
    assert make_plan(load("paper"), rates.gpu("a100"), 8, cores=2).no_download == ["webvid_cap", "webvid_qa"]
    assert make_plan(load("paper", OPEN), rates.gpu("a100"), 8, cores=2).no_download == []


def test_stage_1_checkpoints_leave_out_the_frozen_llm(load):
    config = load("paper").run("dynfocus")
    assert training_work(config, "alignment").keeps < 4 < 13 < training_work(config, "instruction").keeps
