"""Paper size, counted without weights: B.2's parameters, Table 3's work, 40 and 2 tokens."""

import pytest
import torch

from dynfocus.network.complexity import costs, markdown, paper_model


def test_the_paper_sized_model_has_the_papers_parameters_and_work():
    found = {cost.module.strip(): cost for cost in costs(1000)}
    select = found["Dyn. Select. (1,000 prototypes)"]
    assert select.parameters == pytest.approx(12.897, abs=1e-3)
    assert select.gmacs == pytest.approx(12.89, abs=0.02)
    d, h, text = 1408, 4096, 768
    assert found["context attention, f_q and f_k"].parameters == pytest.approx(
        (2 * d * d + d + text * d + d) / 1e6, abs=1e-3
    )
    assert found["F_fine"].parameters == pytest.approx((d * h + h + h * h + h) / 1e6, abs=1e-3)
    assert found["LLM"].parameters == pytest.approx(6738, abs=1)
    assert found["text encoder"].parameters == pytest.approx(185.7, abs=0.5)
    assert found["text encoder"].gmacs == pytest.approx(7750, rel=0.15)


def test_a_paper_sized_model_is_made_on_the_meta_device():
    model = paper_model()
    assert {parameter.device for parameter in model.parameters()} == {torch.device("meta")}
    assert model.num_visual_tokens(1000) == 20 * 40 + 2 * 980
    assert "40 per cone, 2 per rod, 2760 per video" in markdown(1000)
