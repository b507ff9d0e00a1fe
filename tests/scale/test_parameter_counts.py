"""The full-size model on the meta device has the known numbers of parameters, in millions."""

import pytest
import torch

from dynfocus.config import Config
from dynfocus.network import clip
from dynfocus.network.complexity import paper_model
from dynfocus.network.vision import build_vision_tower


def millions(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.fixture(scope="module")
def model():
    return paper_model()


@pytest.fixture(scope="module")
def tower(paper_config: Config):
    settings = paper_config.backbones.clip
    with torch.device("meta"):
        return build_vision_tower({"model": clip.model_config(settings.model), "layer": settings.layer})


def test_eva_clip_g(tower):
    """40 blocks of width 1408 and the head; features leave it before the last block, as in BLIP-2's 39."""
    assert millions(tower) == pytest.approx(1012.6, abs=0.05)
    blocks = tower.visual.trunk.blocks
    assert (len(blocks), tower.block, blocks[0].norm1.weight.shape[0]) == (40, 38, 1408)
    unread = millions(blocks[39]) + millions(tower.visual.trunk.norm) + millions(tower.visual.trunk.head)
    assert millions(tower) - unread == pytest.approx(985.89, abs=0.05)


def test_text_encoder_and_llm(model):
    assert millions(model.connector.text_encoder.qformer) == pytest.approx(185.7, abs=0.05)
    assert millions(model.language_model) == pytest.approx(6738.4, abs=0.05)
    assert model.connector.text_encoder.query_tokens.shape == (1, 32, 768)


def test_every_parameter_belongs_to_a_part_but_the_unread_text_half(model):
    parts = model.parts()
    counts = {part: sum(model.get_parameter(name).numel() for name in names) / 1e6 for part, names in parts.items()}
    idle = millions(model) - sum(counts.values())
    assert counts["llm"] == pytest.approx(6738.4, abs=0.05)
    assert idle == pytest.approx((2 * 768 * 3072 + 3072 + 768 + 2 * 768) / 1e6, abs=1e-3)
