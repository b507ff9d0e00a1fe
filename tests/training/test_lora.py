"""Adapters of the LLM: they alone learn of it, any division of the batch trains alike, and the end is a plain model."""

import sys
from dataclasses import replace

import pytest
import torch
from real_network import NETWORK, interrupted_at
from safetensors.torch import load_file
from toy_network import toy_config

from dynfocus.config.schema import Stage
from dynfocus.errors import UserError
from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.training import lora, memory
from dynfocus.training.stage import Job, load_model, train_stage
from dynfocus.training.trainer import flops_per_token

PARTS = ["projectors", "dpe_cce", "lora"]


def config_of(root, frozen_llm="full", **changes):
    config = toy_config(root, network=NETWORK, epochs=1, **changes)
    adapters = {"trainable": PARTS, "lora_rank": 4, "lora_alpha": 8.0, "frozen_llm": frozen_llm}
    stage = config.instruction.model_copy(update=adapters)
    return config.model_copy(update={"instruction": stage})


def train(root, name, **changes):
    config = config_of(root, **changes)
    paths = (root / "data", root / "features", root / "backbones", root / name, root / "work" / name)
    train_stage(config, "dynfocus", "instruction", 0, *paths)
    return root / name


def losses(folder):
    lines = (folder / "log.csv").read_text().splitlines()
    return [float(line.split(",")[1]) for line in lines[1:]]


@pytest.fixture(params=["full", "nf4"])
def base(request):
    if request.param == "nf4":
        pytest.importorskip("bitsandbytes", reason="pip install '.[qlora]'")
    return request.param


def test_of_the_llm_only_adapters_learn_and_a_merge_changes_no_output(root, tmp_path, base):
    torch.manual_seed(0)
    job = Job(config_of(root, base), "dynfocus", "instruction", 0, root, root, root / "backbones", tmp_path, tmp_path)
    model, _ = load_model(job)
    learning = [name for name, weight in model.language_model.named_parameters() if weight.requires_grad]
    assert learning and all("lora_" in name for name in learning)
    assert len(learning) == 2 * 7 * model.config.text_config.num_hidden_layers
    for name in learning:
        torch.nn.init.normal_(model.language_model.get_parameter(name), std=0.1)
    words = torch.arange(3, 9)[None]
    with torch.no_grad():
        before = model(input_ids=words).logits
        lora.merge_adapters(model)
        after = model(input_ids=words).logits
    assert torch.allclose(before, after, atol=1e-5)
    assert not [name for name, _ in model.named_parameters() if "lora" in name or "base_layer" in name]
    assert not [name for name, part in model.named_modules() if "4bit" in type(part).__name__]


def test_the_loss_falls_and_the_checkpoint_is_a_plain_model(root, base):
    made = train(root, f"plain-{base}", frozen_llm=base, learning_rate=0.05)
    assert losses(made)[-1] < losses(made)[0]
    kept = load_file(made / "model.safetensors")
    start = load_file(root / "backbones/llm/model.safetensors")
    assert not [name for name in kept if "lora" in name or "base_layer" in name]
    changed = [
        name for name, value in start.items() if not torch.equal(kept[f"language_model.{name}"][: len(value)], value)
    ]
    assert changed and all("proj" in name for name in changed)
    DynFocusForConditionalGeneration.from_pretrained(made)


def test_a_divided_batch_and_every_zero_stage_train_alike(root):
    whole = losses(train(root, "whole", zero_stage=0))
    for name, changes in {"parts": {"micro_batch": 1, "zero_stage": 0}, "zero": {"zero_stage": 2}}.items():
        assert losses(train(root, name, **changes)) == pytest.approx(whole, abs=1e-4), name


def test_an_interrupted_training_goes_on_to_the_same_losses(root, base):
    whole = losses(train(root, f"uncut-{base}", frozen_llm=base))
    with interrupted_at(4):
        train(root, f"cut-{base}", frozen_llm=base)
    assert losses(train(root, f"cut-{base}", frozen_llm=base)) == whole


def test_a_first_stage_beside_four_bits_leaves_the_llm_as_it_was(root, base):
    config = config_of(root, base)
    first = config.alignment.model_copy(update={"trainable": ["projectors"], "frozen_llm": base, "learning_rate": 0.05})
    paths = (root / "data", root / "features", root / "backbones", root / f"first-{base}", root / f"first-work-{base}")
    train_stage(config.model_copy(update={"alignment": first}), "dynfocus", "alignment", 0, *paths)
    assert losses(paths[3])[-1] < losses(paths[3])[0]
    kept = load_file(paths[3] / "trained.safetensors")
    assert kept and not [name for name in kept if ".layers." in name and name.startswith("language_model")]
    job = Job(config, "dynfocus", "instruction", 0, root, root, paths[3], root, root)
    load_model(job)  # goes on from the LLM of the backbones


def test_four_bits_without_the_llm_to_go_back_to_are_refused(root, tmp_path):
    config = config_of(root)
    first = config.alignment.model_copy(update={"trainable": ["projectors"], "frozen_llm": "nf4"})
    config = config.model_copy(update={"alignment": first, "root": str(tmp_path)})
    paths = (root / "data", root / "features", root / "backbones", tmp_path / "made", tmp_path / "work")
    with pytest.raises(UserError, match="which is not there; `dynfocus prepare-llm` makes it"):
        train_stage(config, "dynfocus", "alignment", 0, *paths)
    assert not (tmp_path / "made").exists()


def test_four_bits_count_as_the_weights_that_they_are(root, base):
    job = Job(config_of(root, base), "dynfocus", "instruction", 0, root, root, root / "backbones", root, root)
    model, whole = (load_model(one)[0] for one in (job, replace(job, config=config_of(root))))
    inside = sum(layer.in_features * layer.out_features for _, layer in lora.maps(whole.language_model))
    adapters = sum(weight.numel() for name, weight in whole.named_parameters() if "lora_" in name)
    assert memory.size_of(model).packed == (inside - adapters if base == "nf4" else 0)
    assert memory.size_of(model).parameters == memory.size_of(whole).parameters
    assert flops_per_token(model) == flops_per_token(whole)


def test_without_the_library_one_line_says_what_to_do(root, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    job = Job(config_of(root, "nf4"), "dynfocus", "instruction", 0, root, root, root / "backbones", tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"frozen_llm nf4 needs bitsandbytes .* pip install '\.\[qlora\]'"):
        load_model(job)


def test_four_bits_are_for_an_llm_that_does_not_learn(root):
    stage = config_of(root).instruction.model_dump() | {"zero_stage": 0, "frozen_llm": "nf4"}
    assert Stage(**stage).four_bits
    assert not Stage(**stage | {"trainable": ["projectors", "llm"], "zero_stage": 1}).four_bits
    with pytest.raises(ValueError, match="set zero_stage to 0"):
        Stage(**stage | {"zero_stage": 1})
