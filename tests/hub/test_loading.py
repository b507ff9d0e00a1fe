"""Fewer bits, other types and other places: what decides on frames stays whole, or the load is refused in one line."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

import dynfocus.hub  # noqa: F401
from dynfocus.errors import UserError
from dynfocus.network.loading import UNQUANTISED, language_model_alone, refuse_uneven_blocks


@pytest.fixture(scope="module")
def plain(exported):
    return AutoModelForImageTextToText.from_pretrained(exported).eval()


@pytest.fixture(scope="module")
def batch(exported, media):
    return AutoProcessor.from_pretrained(exported)(text="<video> what", videos=media[0])


def bytes_of(module):
    return sum(weight.nbytes for weight in module.parameters())


def test_layers_of_the_language_model_may_lie_on_the_disk(exported, plain, batch, tmp_path):
    memory = {"cpu": bytes_of(plain) - bytes_of(plain.language_model.model.layers[0])}
    model = AutoModelForImageTextToText.from_pretrained(
        exported, device_map="auto", max_memory=memory, offload_folder=tmp_path
    )
    assert any(weight.is_meta for weight in model.language_model.parameters())
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, plain(**batch).logits)
        answers = [one.generate(**batch, max_new_tokens=3, do_sample=False) for one in (model, plain)]
    assert torch.equal(*answers)


def test_a_connector_on_the_disk_is_refused(exported, tmp_path):
    with pytest.raises(UserError, match="connector is offloaded, and only layers of the language model") as refused:
        AutoModelForImageTextToText.from_pretrained(
            exported,
            device_map={"vision_tower": "cpu", "connector": "disk", "language_model": "cpu"},
            offload_folder=tmp_path,
        )
    assert "\n" not in str(refused.value)


def test_short_types_take_pixels_in_fp32(exported, batch):
    """As the processor makes them; the score network stays exact in fp16 too."""
    for dtype in (torch.bfloat16, torch.float16):
        model = AutoModelForImageTextToText.from_pretrained(exported, dtype=dtype).eval()
        assert model.vision_tower.visual.class_embedding.dtype == dtype
        with torch.no_grad():
            assert model(**batch).logits.isfinite().all()
    assert {weight.dtype for weight in model.connector.selection.parameters()} == {torch.float32}


def test_what_decides_on_frames_is_not_quantised():
    left = list(UNQUANTISED)
    settings = BitsAndBytesConfig(load_in_8bit=True)
    assert language_model_alone(settings).llm_int8_skip_modules == left
    assert settings.llm_int8_skip_modules is None, "the caller's own is left as it is"
    own = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["lm_head"])
    assert language_model_alone(own) is own
    assert language_model_alone({"quant_method": "torchao"})["modules_to_not_convert"] == left
    assert language_model_alone({"load_in_8bit": True})["llm_int8_skip_modules"] == left


def test_uneven_rows_in_4_bits_are_refused_before_the_first_pass():
    """A stand-in for a layer of bitsandbytes on a CPU that packs by rows."""
    layer = nn.Linear(160, 8)
    layer.support_avx512bf16_for_cpu = True
    layer.weight.quant_state = type("State", (), {"blocksize": 64})()
    model = nn.ModuleDict({"down_proj": layer})
    with pytest.raises(UserError, match="down_proj reads 160 values, no multiple of 64; add 'down_proj' to"):
        refuse_uneven_blocks(model)
    layer.in_features = 128
    refuse_uneven_blocks(model)


def test_a_model_in_8_bits_answers(exported, plain, batch):
    pytest.importorskip("bitsandbytes")
    settings = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForImageTextToText.from_pretrained(exported, quantization_config=settings)
    kinds = {type(layer).__name__ for layer in model.language_model.model.layers.modules()}
    assert "Linear8bitLt" in kinds and "Linear" not in kinds
    for one, other in zip(model.connector.parameters(), plain.connector.parameters(), strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        made = model(**batch).logits.float()
        assert nn.functional.cosine_similarity(made.flatten(), plain(**batch).logits.flatten(), 0) > 0.95
