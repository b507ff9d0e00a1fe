"""What surrounds the steps of a training: sums of gradients, reports, the wait for a lost process, utilisation."""

from __future__ import annotations

import json

import pytest
from real_network import NETWORK
from test_stage import losses, read_log
from toy_network import toy_config

from dynfocus.errors import UserError
from dynfocus.steps.settings import settings_of
from dynfocus.training import held_out
from dynfocus.training.contract import deepspeed_config, make_plan
from dynfocus.training.data import Entry
from dynfocus.training.stage import Job, _arguments, load_model, require_reporters, train_stage
from dynfocus.training.trainer import flops_per_token


def train(root, name, **changes):
    top = {key: changes.pop(key) for key in ("report_to",) if key in changes}
    config = toy_config(root, network=NETWORK, epochs=1, **changes).model_copy(update=top)
    paths = (root / "data", root / "features", root / "backbones", root / name, root / "work" / name)
    train_stage(config, "dynfocus", "instruction", 0, *paths)
    return losses(read_log(root / name))


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_bf16_gradients_of_several_passes_are_summed_in_fp32(root, zero):
    stage = toy_config(root, precision="bf16", micro_batch=1, zero_stage=zero).instruction
    made = deepspeed_config(stage, make_plan(stage, 24, 1), "cpu")
    assert made["data_types"]["grad_accum_dtype"] == "fp32" and made["gradient_accumulation_steps"] == 4
    assert made["zero_optimization"]["stage"] == max(1, zero)
    whole = stage.model_copy(update={"micro_batch": 4})
    assert "data_types" not in deepspeed_config(whole, make_plan(whole, 24, 1), "cpu")


def test_bf16_in_four_passes_trains_as_in_one(root):
    """bf16 holds eight bits: losses of 5 agree to 0.03."""
    whole = train(root, "bf16-whole", precision="bf16")
    for zero in (0, 2):
        parts = train(root, f"bf16-{zero}", precision="bf16", micro_batch=1, zero_stage=zero)
        assert parts == pytest.approx(whole, abs=0.03)


def test_a_training_reports_where_it_is_told_and_names_what_is_not_there(root):
    pytest.importorskip("tensorboard")
    train(root, "reported", report_to=["tensorboard"])
    assert read_log(root / "reported")
    with pytest.raises(UserError, match="report_to: swanlab is not installed"):
        require_reporters(["swanlab"])
    with pytest.raises(UserError, match="report_to: telegraph is not supported, only"):
        require_reporters(["telegraph"])


def test_the_wait_for_a_lost_process_is_the_profiles(root):
    config = toy_config(root)
    config = config.model_copy(update={"hardware": config.hardware.model_copy(update={"rank_timeout": 90})})
    job = Job(config, "toy", "instruction", 0, root, root, root, root, root / "work/wait")
    made = _arguments(job, make_plan(config.instruction, 24, 1))
    assert made.ddp_timeout_delta.total_seconds() == 90


def test_samples_held_out_are_whole_films_whose_loss_is_logged_and_changes_no_step(root):
    plain = train(root, "nothing-held")
    assert len(plain) == 6
    name = "held"
    held = train(root, name, held_out=5, micro_batch=2)
    state = json.loads((root / name / "trainer_state.json").read_text())
    logged = {entry["step"]: entry["held_out_loss"] for entry in state["log_history"] if "held_out_loss" in entry}
    assert len(held) == 4 and sorted(logged) == [2, 4] and all(0 < loss < 10 for loss in logged.values())


def test_what_is_held_out_shares_no_film_with_what_is_learned():
    entries = [Entry("s", {"id": f"{film}-{n}", "video": f"{film}.mp4"}) for film in range(8) for n in range(3)]
    kept, held = held_out.split(entries, 4)
    assert len(held) == 6 and len(kept) == 18
    assert not {entry.record["video"] for entry in kept} & {entry.record["video"] for entry in held}
    assert held_out.split(entries[::-1], 4)[1] == held[::-1]
    with pytest.raises(UserError, match="held_out: 24 of 24 samples leave none to learn from"):
        held_out.split(entries, 24)


def test_holding_samples_out_is_a_setting_of_the_training_and_not_holding_any_is_none(root):
    config = toy_config(root)
    changed = config.model_copy(update={"instruction": config.instruction.model_copy(update={"held_out": 5})})
    before, after = (settings_of(one, "train_instruction")["instruction"] for one in (config, changed))
    assert "held_out" not in before and after["held_out"] == 5


def test_utilisation_counts_the_llms_work_on_a_token(root, tmp_path):
    config = toy_config(root, network=NETWORK)
    job = Job(config, "toy", "instruction", 0, root, root, root / "backbones", tmp_path, tmp_path)
    model, _ = load_model(job)
    width, inner, layers = 16, 32, 2
    inside = layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
    assert flops_per_token(model) == 6 * inside
    model.set_trainable({"projectors"})
    assert flops_per_token(model) == 4 * inside
