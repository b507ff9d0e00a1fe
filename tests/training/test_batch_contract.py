"""The training contract: global batch = processes × micro × accumulation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.config.schema import Stage
from dynfocus.errors import UserError
from dynfocus.training.contract import accumulation, deepspeed_config, make_plan


def stage(**changes):
    values = {"datasets": ["nextqa"], "trainable": ["llm"], "global_batch": 32, "micro_batch": 4, "learning_rate": 1e-3}
    return Stage(**(values | {"zero_stage": 1} | changes))


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_accumulation_completes_the_product(world, micro, passes):
    assert accumulation(world * micro * passes, world, micro) == passes


def test_the_papers_stages_on_eight_gpus():
    assert accumulation(256, 8, 32) == 1
    assert accumulation(32, 8, 4) == 1


@pytest.mark.parametrize(
    "values, offer",
    [
        ((32, 3, 4), "nearest valid: global_batch 24 or 36, or 2 processes"),
        ((32, 8, 3), "nearest valid: global_batch 24 or 48, or micro_batch 2"),
        ((6, 4, 4), "nearest valid: global_batch 16"),
    ],
)
def test_the_message_names_the_nearest_valid_values(values, offer):
    with pytest.raises(UserError) as error:
        accumulation(*values)
    assert str(error.value).endswith(offer)


def test_every_offer_is_valid():
    assert accumulation(24, 3, 4) and accumulation(36, 3, 4) and accumulation(32, 2, 4)
    assert accumulation(24, 8, 3) and accumulation(48, 8, 3) and accumulation(32, 8, 2) and accumulation(16, 4, 4)


def test_steps_and_warmup_follow_the_epoch():
    plan = make_plan(stage(), samples=1000, world=8)
    assert (plan.steps_per_epoch, plan.max_steps, plan.warmup_steps, plan.accumulation) == (31, 31, 1, 1)
    assert make_plan(stage(epochs=0.5), 1000, 8).max_steps == 16


def test_too_little_data_is_refused():
    with pytest.raises(UserError, match="31 samples, fewer than one global_batch of 32"):
        make_plan(stage(), 31, 8)


@pytest.mark.parametrize("zero", [1, 2])
def test_deepspeed_is_told_the_same_numbers(zero):
    settings = stage(zero_stage=zero, precision="bf16")
    config = deepspeed_config(settings, make_plan(settings, 100, 2), "cuda")
    assert config["zero_optimization"]["stage"] == zero
    assert (
        config["train_batch_size"]
        == 32
        == 2 * config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"]
    )
    assert config["bf16"]["enabled"] and "optimizer" not in config
