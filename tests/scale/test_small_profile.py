"""The middle profile: valid, costs the paper's tokens per frame, fits a consumer GPU, and its jobs can be listed."""

import shutil
import subprocess
import sys

import pytest
import torch
from training_loads import SIZES
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.config import load_config
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, clip
from dynfocus.network.vision import build_vision_tower
from dynfocus.training.memory import Division, Load, estimate, size_of, usable

CAPACITY = 24e9
WIDTH = 768


@pytest.fixture(scope="module")
def config(repository):
    return load_config([repository / "config/small.yaml"])


@pytest.fixture(scope="module")
def model(config):
    sections = DynFocusConfig.from_sections(
        config.network,
        LlamaConfig(**SIZES["small"].llm),
        InstructBlipQFormerConfig(encoder_hidden_size=WIDTH),
        vision_width=WIDTH,
    )
    with torch.device("meta"):
        return DynFocusForConditionalGeneration(sections)


def test_the_visual_encoder_gives_the_profiles_grid_and_width(config):
    settings = clip.model_config(config.backbones.clip.model)
    vision = settings["vision_cfg"]
    assert vision["image_size"] == config.video.image_size
    assert (vision["image_size"] // vision["patch_size"], vision["width"]) == (config.network.grid, WIDTH)
    with torch.device("meta"):
        tower = build_vision_tower({"model": settings, "layer": config.backbones.clip.layer})
    assert (tower.block, sum(parameter.numel() for parameter in tower.parameters())) == (
        10,
        pytest.approx(88e6, rel=0.01),
    )


def test_a_cone_costs_40_tokens_and_a_rod_2(model):
    assert model.num_visual_tokens(1) == 40
    assert model.num_visual_tokens(117) == 20 * 40 + 2 * 97


@pytest.mark.parametrize("stage, load", [("alignment", Load(60, 1, 64)), ("instruction", Load(4 * 1240, 4 * 240, 64))])
def test_both_stages_fit_a_consumer_gpu(config, model, stage, load):
    """Loads: a captioned image, and four rounds on a video of 240 frames, the longest of ActivityNet."""
    settings = getattr(config, stage)
    model.set_trainable(set(settings.trainable))
    division = Division(config.hardware.processes, settings.micro_batch, settings.zero_stage)
    assert estimate(size_of(model), division, load).total < usable(CAPACITY)


def test_the_profile_for_a_cpu_differs_in_what_it_must(config, repository):
    world = load_config([repository / "config/small_world.yaml"])
    assert (world.source, world.backbones.llm.source, world.hardware.device) == ("world", "gguf", "cpu")
    assert world.network.model_dump(exclude={"event_prototypes"}) == config.network.model_dump(
        exclude={"event_prototypes"}
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("profile", ["small", "small_world"])
def test_the_jobs_of_the_profile_can_be_listed(repository, tmp_path, profile):
    for name in ("workflow", "config", "notebooks"):
        shutil.copytree(repository / name, tmp_path / name)
    shutil.copy(repository / "environment.yml", tmp_path)
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--configfile", f"config/{profile}.yaml"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1000)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "train_instruction" in listed.stdout + listed.stderr
