"""Adapters of the LLM: they alone learn of it, any division of the batch trains alike, and the end is a plain model."""

import pytest
import torch
from real_network import NETWORK, interrupted_at
from safetensors.torch import load_file
from toy_network import toy_config

from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.training import lora
from dynfocus.training.stage import Job, load_model, train_stage

PARTS = ["projectors", "dpe_cce", "lora"]


def config_of(root, **changes):
    config = toy_config(root, network=NETWORK, epochs=1, **changes)
    stage = config.instruction.model_copy(update={"trainable": PARTS, "lora_rank": 4, "lora_alpha": 8.0})
    return config.model_copy(update={"instruction": stage})


def train(root, name, **changes):
    config = config_of(root, **changes)
    paths = (root / "data", root / "features", root / "backbones", root / name, root / "work" / name)
    train_stage(config, "dynfocus", "instruction", 0, *paths)
    return root / name


def losses(folder):
    lines = (folder / "log.csv").read_text().splitlines()
    return [float(line.split(",")[1]) for line in lines[1:]]


def test_of_the_llm_only_adapters_learn_and_a_merge_changes_no_output(root, tmp_path):
    torch.manual_seed(0)
    job = Job(config_of(root), "dynfocus", "instruction", 0, root, root, root / "backbones", tmp_path, tmp_path)
    model, _ = load_model(job)
    learning = [name for name, weight in model.language_model.named_parameters() if weight.requires_grad]
    assert learning and all("lora_" in name for name in learning)
    assert len(learning) == 2 * 7 * model.config.text_config.num_hidden_layers
    for name in learning:
        torch.nn.init.normal_(model.language_model.get_parameter(name), std=0.1)
    words = torch.arange(3, 9)[None]
    model.eval()
    with torch.no_grad():
        before = model(input_ids=words).logits
        lora.merge_adapters(model)
        after = model(input_ids=words).logits
    assert torch.allclose(before, after, atol=1e-5)
    assert not [name for name, _ in model.named_parameters() if "lora" in name or "base_layer" in name]


def test_the_loss_falls_and_the_checkpoint_is_a_plain_model(root):
    made = train(root, "plain", learning_rate=0.05)
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


def test_an_interrupted_training_goes_on_to_the_same_losses(root):
    whole = losses(train(root, "uncut"))
    with interrupted_at(4):
        train(root, "cut")
    assert losses(train(root, "cut")) == whole
