"""The estimate of a profile: its jobs are Snakemake's, its sums add up, its calibration is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoConfig

from dynfocus.config.load import load_config
from dynfocus.errors import UserError
from dynfocus.planning import models, rates
from dynfocus.planning.plan import disk_needed, make_plan
from dynfocus.planning.show import show
from dynfocus.planning.sizes import frames_of, set_size
from dynfocus.planning.work import training_work
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import PrepareData, RenderReport, TrainAlignment, TrainInstruction, needed

PAPER_HOURS = {"alignment": 7.75, "instruction": 25.35}
REPORT = [RenderReport()]


@pytest.fixture
def load(repository, monkeypatch, tmp_path):
    """The jobs of a profile of the repository, with a root that holds nothing."""
    monkeypatch.chdir(repository)
    return lambda name, *changes: Jobs.load(load_config([Path(f"config/{name}.yaml")], [f"root={tmp_path}", *changes]))


@pytest.fixture
def plan(load):
    return lambda name, *changes: make_plan(load(name, *changes), rates.gpu("a100"), 8, cores=2)


def test_steps_come_after_what_they_wait_for(load):
    jobs = load("paper")
    steps = needed(jobs, REPORT)
    place = {step: number for number, step in enumerate(steps)}
    assert all(place[before] < place[step] for step in steps for before in step.inputs(jobs))


@pytest.mark.parametrize("profile", ["mini", "smoke", "paper", "small"])
def test_every_profile_can_be_planned_and_shown(plan, profile):
    made = plan(profile)
    assert made.total.jobs > 0 and made.total.wall_hours > 0
    assert sum(made.sources.values()) == made.total.jobs
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    show(made, console)
    assert "estimate" in console.export_text()


def test_items_share_jobs_and_rules_do_not(plan):
    made = plan("paper")
    assert sum(cost.jobs for cost in made.rules.values()) == made.total.jobs
    assert sum(cost.gpu_hours for cost in made.rules.values()) == pytest.approx(made.total.gpu_hours)
    assert max(cost.gpu_hours for cost in made.items.values()) <= made.total.gpu_hours
    assert sum(cost.gpu_hours for cost in made.items.values()) > made.total.gpu_hours


def test_table_2_hours_come_back_for_the_full_mixture(load):
    jobs = load("paper", "on_the_fly=[]")  # the paper's hours are those of its trainings alone
    for stage, hours in PAPER_HOURS.items():
        key = jobs.alignment_key("dynfocus_full", 0)
        step = TrainInstruction("dynfocus_full", 0) if stage == "instruction" else TrainAlignment(key)
        work = training_work(jobs.run("dynfocus_full"), stage)
        found = rates.duration(jobs, step, work, rates.gpu("a100"))
        assert found.seconds / 3600 == pytest.approx(hours, rel=0.02), stage


def test_twice_the_gpus_halve_the_time_but_not_the_work(load):
    jobs = load("paper")
    eight, sixteen = (make_plan(jobs, rates.gpu("a100"), gpus, cores=2) for gpus in (8, 16))
    assert sixteen.total.gpu_hours == eight.total.gpu_hours
    assert sixteen.total.wall_hours < 0.7 * eight.total.wall_hours


def test_features_of_the_paper_take_terabytes_and_tokens_a_seventh(plan):
    features = plan("paper", "on_the_fly=[]").features
    assert features.tokens_per_frame == 38
    assert features.patches > 5000
    assert features.tokens == pytest.approx(features.patches * 38 / 256)
    assert plan("paper").features.patches < features.patches / 2, "what is read once is not stored"


def test_finished_jobs_are_not_counted_as_left(load):
    jobs = load("smoke")
    before = disk_needed(jobs)
    (manifest,) = PrepareData("msvd_qa").outputs(jobs)
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    made = make_plan(jobs, rates.gpu("a100"), 1, cores=2)
    assert made.total.finished == 1
    assert made.remaining.jobs == made.total.jobs - 1
    assert disk_needed(jobs) <= before


def test_own_benchmark_of_a_job_comes_first(load):
    jobs = load("smoke")
    file = Path(jobs.config.root, "logs/times/train_instruction/dynfocus/seed-0.tsv")
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\n12345.0\t3:25:45\n")
    made = make_plan(jobs, rates.gpu("a100"), 1, cores=2)
    assert made.sources["recorded in this folder"] == 1
    assert made.total.wall_hours > 12345 / 3600


def test_judge_of_the_paper_costs_calls_and_a_rule_does_not(load, plan):
    jobs = load("paper")
    paper = plan("paper", "evaluation.judge.price_in=3", "evaluation.judge.price_out=4")
    judged = [name for run in jobs.item_runs("table_6") for name in jobs.benchmarks(run)]
    assert paper.items["table_6"].judge_calls == sum(set_size(jobs.config, name).judged for name in judged) > 60_000
    assert paper.total.price == pytest.approx(paper.total.judge_calls * (320 * 3 + 20 * 4) / 1e6)
    assert plan("paper").total.price is None
    assert plan("mini").total.judge_calls == 0


def test_paper_setting_of_zero_does_not_fit_and_another_is_offered(plan):
    made = plan("paper", "instruction.zero_stage=0")
    stage = next(fit for fit in made.memory if fit.stage == "instruction")
    assert not stage.fits and stage.gigabytes > 100
    assert "nearest plan that fits: zero_stage 1" in stage.advice
    assert all(fit.fits for fit in plan("paper").memory)


def test_thinning_of_long_films(paper_config):
    assert frames_of(10, paper_config.video) == 10
    assert frames_of(4101, paper_config.video) == 200
    assert frames_of(0.2, paper_config.video) == 1


def test_unknown_gpu_names_the_known_ones():
    with pytest.raises(UserError, match="a100, h100"):
        rates.gpu("b17")


def test_unrecorded_backbone_says_where_to_add_it(plan, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it is looked for there, five times
    with pytest.raises(UserError, match=r"the size of my/llm is not recorded"):
        plan("paper", "backbones.llm.name=my/llm")


def test_a_new_family_needs_no_row_but_its_configuration(plan, tmp_path):
    """SmolLM3's architecture at the size of its 3 B model, and the recipe's visual encoder: no row tells of them."""
    shape = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16}
    config = AutoConfig.for_model("smollm3", **shape, num_key_value_heads=4, vocab_size=128256)
    config.save_pretrained(tmp_path / "hub")
    clip = ["backbones.clip.model=ViT-SO400M-16-SigLIP2-256", "video.image_size=256"]
    made = plan("paper", f"backbones.llm.name={tmp_path}/hub", *clip, "items=[headline]")
    assert made.total.gpu_hours > 0 and all(one.gigabytes > 0 for one in made.memory)
    llm = models._language_model(f"{tmp_path}/hub", tmp_path)
    assert llm.parameters == pytest.approx(3.08e9, rel=0.01) and (llm.shape.layers, llm.vocabulary) == (36, 128256)
    tower = models._visual_encoder("ViT-SO400M-16-SigLIP2-256", -2)
    assert tower.parameters == pytest.approx(428e6, rel=0.02) and tower.shape.hidden == 1152
    assert tower.gflops == pytest.approx(2 * tower.parameters * 256 / 1e9)
