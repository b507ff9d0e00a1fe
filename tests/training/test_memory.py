"""The memory estimate, against figures that are known."""

from dataclasses import replace

import pytest

from dynfocus.errors import UserError
from dynfocus.training.memory import GB, Division, Load, ModelSize, Transformer, check, estimate, nearest_fit, usable

VICUNA = ModelSize(6_738_000_000, 6_738_000_000, Transformer(32, 4096), Transformer(12, 768), 32_001)
LOAD = Load(tokens=1400, frames=60, frame_tokens=64)
PAPER = Division(world=8, micro_batch=4, zero_stage=0)


def test_seven_billion_parameters_cost_sixteen_bytes_each_without_sharding():
    need = estimate(VICUNA, PAPER, LOAD)
    assert (need.weights + need.gradients + need.optimizer) / VICUNA.parameters == 16


def test_the_papers_stage_two_does_not_fit_and_the_nearest_plan_is_offered():
    with pytest.raises(UserError, match=r"zero_stage 0 .* nearest plan that fits: zero_stage 1, micro_batch 4"):
        check(VICUNA, PAPER, LOAD, global_batch=32, capacity=80e9)


def test_the_offer_fits():
    offer = nearest_fit(VICUNA, PAPER, LOAD, 32, 80e9)
    assert estimate(VICUNA, offer, LOAD).total <= usable(80e9)
    assert check(VICUNA, offer, LOAD, 32, 80e9).total <= usable(80e9)


def test_alignment_with_a_frozen_llm_needs_little_more_than_its_weights():
    frozen = replace(VICUNA, trainable=45_000_000)
    need = estimate(frozen, Division(8, 32, 1), LOAD)
    assert need.gradients + need.optimizer < 0.2 * GB < need.weights


@pytest.mark.parametrize("stage, bytes_per_parameter", [(0, 16), (1, 5.5), (2, 3.75)])
def test_zero_stages_divide_states_as_in_the_zero_paper(stage, bytes_per_parameter):
    need = estimate(VICUNA, replace(PAPER, zero_stage=stage), LOAD)
    assert (need.total - need.activations) / VICUNA.parameters == pytest.approx(bytes_per_parameter)


def test_checkpointing_and_smaller_micro_batches_save_activations():
    base = estimate(VICUNA, PAPER, LOAD).activations
    assert estimate(VICUNA, replace(PAPER, gradient_checkpointing=False), LOAD).activations > 4 * base
    assert estimate(VICUNA, replace(PAPER, micro_batch=1), LOAD).activations == pytest.approx(base / 4)


def test_when_nothing_fits_it_says_so():
    assert nearest_fit(VICUNA, PAPER, LOAD, 32, 8e9) is None
    with pytest.raises(UserError, match="no ZeRO stage and micro batch fits"):
        check(VICUNA, PAPER, LOAD, 32, 8e9)
