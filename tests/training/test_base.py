"""A stage-1 checkpoint holds what its backbones folder does not; stage 2 goes on as from a whole model."""

import shutil

import pytest
import torch
from real_network import NETWORK
from safetensors.torch import load_file
from toy_network import toy_config

from dynfocus.errors import UserError
from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.training import stage
from dynfocus.training.base import BASE, TRAINED
from dynfocus.training.stage import train_stage


def train(root, name, which, init, **changes):
    config = toy_config(root, network=NETWORK, epochs=1, **changes)
    if which == "alignment":
        frozen = config.alignment.model_copy(update={"trainable": ["projectors"]})
        config = config.model_copy(update={"alignment": frozen})
    train_stage(config, "dynfocus", which, 0, root / "data", root / "features", init, root / name, root / "work" / name)
    return root / name


def test_stage_2_goes_on_from_a_checkpoint_without_its_llm_as_from_a_whole_one(root, monkeypatch):
    apart = train(root, "apart", "alignment", root / "backbones")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "shared_llm", lambda job: None)
        whole = train(root, "whole", "alignment", root / "backbones")
    kept, everything = load_file(apart / TRAINED), load_file(whole / "model.safetensors")
    assert all(torch.equal(value, everything[name]) for name, value in kept.items())
    shared = set(everything) - set(kept)
    assert shared and all(name.startswith("language_model.") for name in shared)
    assert not (apart / "model.safetensors").exists() and (apart / BASE).exists()
    one = train(root, "two-from-apart", "instruction", apart)
    two = train(root, "two-from-whole", "instruction", whole)
    assert (one / "log.csv").read_text().count("\n") > 3
    one, two = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


def test_the_finished_model_of_stage_2_is_whole(root):
    made = train(root, "whole-two", "instruction", train(root, "one", "alignment", root / "backbones"))
    loaded = DynFocusForConditionalGeneration.from_pretrained(made)
    assert loaded.generation_config.suppress_tokens == [loaded.config.image_token_id]


def test_another_llm_is_refused(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    copy = tmp_path / "copy"
    init = train(copy, "first", "alignment", copy / "backbones")
    (copy / "backbones/llm/extra.json").write_text("{}")
    with pytest.raises(UserError, match=r"was trained on the LLM with content .* bring that LLM back"):
        train(copy, "second", "instruction", init)
    shutil.rmtree(copy / "backbones/llm")
    with pytest.raises(UserError, match=r"goes on from the LLM of .* which is not there"):
        train(copy, "second", "instruction", init)
