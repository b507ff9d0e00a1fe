"""Backbones in, model and processor out; the processor's batches; the vision tower."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from toy import PATCHES, WIDTH, toy_config
from transformers import AutoModelForCausalLM, AutoProcessor, PreTrainedTokenizerFast

from dynfocus.config.schema import Config, Network, Stage
from dynfocus.errors import UserError
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, DynFocusProcessor, build_model
from dynfocus.network.text_encoder import TextEncoder
from dynfocus.network.vision import load_vision_tower

WORDS = ["what", "is", "the", "red", "thing", "doing", "in", "a", "film", "?", "it", "rolls"]
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 4, "width": WIDTH, "layers": 3, "head_width": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


def tokenizer():
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def backbones(tmp_path):
    config = toy_config()
    llm = AutoModelForCausalLM.from_config(config.text_config)
    llm.save_pretrained(tmp_path / "llm")
    tokenizer().save_pretrained(tmp_path / "llm")
    folder = tmp_path / "qformer"
    config.qformer_config.save_pretrained(folder)
    encoder = TextEncoder(config.qformer_config, 4, WIDTH)
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, folder / "model.safetensors")
    tokenizer().save_pretrained(folder)
    return tmp_path, llm, encoder


def config_of(**network):
    sizes = {"global_batch": 1, "micro_batch": 1, "learning_rate": 1e-3, "zero_stage": 0}
    stage = Stage(datasets=["webvid_cap"], trainable=["projectors"], **sizes)
    fields = {"grid": 8, "event_prototypes": 6, "projector_width": 64, **network}
    return Config(profile="test", root="test", alignment=stage, instruction=stage, network=Network(**fields))


def test_the_built_model_has_the_backbones_weights(backbones):
    folder, llm, encoder = backbones
    model, processor = build_model(config_of(), folder)
    for name, value in llm.state_dict().items():
        assert torch.equal(model.language_model.state_dict()[name][: len(value)], value), name
    for name, value in encoder.state_dict().items():
        assert torch.equal(model.connector.text_encoder.state_dict()[name], value), name
    assert processor.image_token_id == model.config.image_token_id < model.get_input_embeddings().num_embeddings
    assert not [name for name, weight in model.named_parameters() if weight.data_ptr() % 64]


GENERATION_FILES = {
    "vicuna-7b-v1.5": {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_length": 4096,
        "pad_token_id": 0,
        "temperature": 0.9,
        "top_p": 0.6,
        "transformers_version": "4.31.0",
    },
    "Qwen2.5-0.5B-Instruct": {
        "bos_token_id": 151643,
        "pad_token_id": 151643,
        "do_sample": True,
        "eos_token_id": [151645, 151643],
        "repetition_penalty": 1.1,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "transformers_version": "4.37.0",
    },
    "Qwen3-0.6B": {
        "bos_token_id": 151643,
        "do_sample": True,
        "eos_token_id": [151645, 151643],
        "pad_token_id": 151643,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "transformers_version": "4.51.0",
    },
    "SmolLM2-135M-Instruct": {
        "_from_model_config": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "transformers_version": "4.42.3",
    },
    "Llama-3.2-1B-Instruct": {
        "bos_token_id": 128000,
        "do_sample": True,
        "eos_token_id": [128001, 128008, 128009],
        "temperature": 0.6,
        "top_p": 0.9,
        "transformers_version": "4.45.0.dev0",
    },
}
"""generation_config.json as the families publish it."""


@pytest.mark.parametrize("family", GENERATION_FILES)
def test_a_model_around_any_familys_generation_settings_can_be_saved_and_decodes_greedily(backbones, tmp_path, family):
    folder = backbones[0]
    published = GENERATION_FILES[family]
    (folder / "llm/generation_config.json").write_text(json.dumps(published))
    model, _ = build_model(config_of(encoder="blind"), folder)
    model.save_pretrained(tmp_path / "saved")
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").generation_config
    assert kept.eos_token_id == published["eos_token_id"] and kept.suppress_tokens == [model.config.image_token_id]
    sampling = ("do_sample", "temperature", "top_p", "top_k", "repetition_penalty", "max_length")
    assert not any(getattr(kept, name) for name in sampling)


def test_the_llm_is_loaded_in_the_type_of_the_training(backbones, monkeypatch):
    folder, llm, _ = backbones
    asked = []
    load = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM,
        "from_pretrained",
        lambda *args, **options: asked.append(options["dtype"]) or load(*args, **options),
    )
    model, _ = build_model(config_of(), folder, torch.bfloat16)
    assert asked == [torch.bfloat16] and {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    name, value = next(iter(llm.state_dict().items()))
    assert torch.equal(model.language_model.state_dict()[name][: len(value)], value.bfloat16())


def test_a_processed_batch_generates_and_survives_saving(backbones, tmp_path):
    model, processor = build_model(config_of(), backbones[0])
    model.eval()
    inputs = {
        "text": ["<image> what is the red thing doing", "<image> it rolls <image> in a film", "what"],
        "prompts": [["what is it doing"], ["it rolls", "the red thing in a film"], []],
        "video_features": [torch.randn(8, PATCHES, WIDTH), torch.randn(1, PATCHES, WIDTH)],
    }
    batch = processor(**inputs)
    assert batch["prompt_video"].tolist() == [0, 1, 1]
    tokens = (batch["input_ids"] == model.config.image_token_id).sum(1).tolist()
    assert tokens == [model.num_visual_tokens(8), 2 * model.num_visual_tokens(1), 0]
    answer = model.generate(**batch, max_new_tokens=3, do_sample=False)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    again = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert isinstance(again, DynFocusProcessor)
    second = again(**inputs)
    assert all(torch.equal(second[name], batch[name]) for name in batch)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    assert torch.equal(loaded.generate(**second, max_new_tokens=3, do_sample=False), answer)


def test_a_long_prompt_loses_its_left_end(backbones):
    _, processor = build_model(config_of(), backbones[0])
    processor.config.max_prompt_tokens = 3
    kept = processor.encode_prompt("what is the red thing")
    assert processor.qformer_tokenizer.decode(kept).split() == ["the", "red", "thing"]


def test_slots_and_prompts_must_agree(backbones):
    _, processor = build_model(config_of(), backbones[0])
    with pytest.raises(UserError, match="one prompt per slot"):
        processor(text=["<image> what <image>"], prompts=[["what"]], video_features=[torch.randn(1, PATCHES, WIDTH)])


def test_missing_or_foreign_backbones_are_named(backbones):
    folder, _, _ = backbones
    with pytest.raises(UserError, match=r"no config\.json"):
        build_model(config_of(), folder / "nowhere")
    file = folder / "qformer" / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match="does not match the text encoder"):
        build_model(config_of(), folder)


def test_a_wrong_network_field_is_refused():
    with pytest.raises(UserError, match="fusion"):
        DynFocusConfig(fusion="sum")
    with pytest.raises(UserError, match="pooled_grid"):
        DynFocusConfig(grid=8, pooled_grid=3)


@pytest.mark.parametrize("layer", [-1, -2, -3])
def test_the_tower_reads_the_named_block_of_a_vision_transformer(layer):
    visual = open_clip.model.CLIP(**CLIP).visual.eval()
    pixels = torch.randn(2, 3, 32, 32)
    seen = []
    block = visual.transformer.resblocks[3 + layer]
    hook = block.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        visual(pixels)
    hook.remove()
    features = load_vision_tower(visual, layer)(pixels)
    assert features.shape == (2, PATCHES, WIDTH)
    torch.testing.assert_close(features, seen[0][:, 1:])


def test_the_tower_reads_a_timm_eva_trunk():
    import timm

    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = timm.models.eva.Eva(img_size=32, patch_size=4, embed_dim=WIDTH, depth=3, num_heads=3)

    features = load_vision_tower(Wrapper().eval(), -2)(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, PATCHES, WIDTH)


def test_a_model_with_its_tower_reads_pixels_and_never_trains_it(tmp_path):
    config = toy_config()
    config.vision_config = {"model": CLIP, "layer": -2}
    model = DynFocusForConditionalGeneration(config).eval()
    assert not any("vision_tower" in name for part in model.parts().values() for name in part)
    pixels = torch.randn(1, 4, 3, 32, 32)
    prompt = torch.randint(1, 50, (1, 5))
    zero = torch.zeros(1, dtype=torch.long)
    seen = model.visual_tokens(None, pixels, None, prompt, None, zero)
    features = model.vision_tower.videos(pixels)
    torch.testing.assert_close(seen, model.visual_tokens(features, None, None, prompt, None, zero))
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again.visual_tokens(None, pixels, None, prompt, None, zero), seen)


def test_other_visual_encoders_are_refused():
    with pytest.raises(UserError, match="neither"):
        load_vision_tower(torch.nn.Linear(2, 2), -2)
    with pytest.raises(UserError, match="outside a visual encoder of 3 blocks"):
        load_vision_tower(open_clip.model.CLIP(**CLIP).visual, -4)


def test_positions_are_stretched_linearly_and_stay_so_when_saved(backbones, tmp_path):
    folder, llm, _ = backbones
    model, _ = build_model(config_of(rope_factor=2.0), folder)
    model.save_pretrained(tmp_path / "saved")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    for made in (model, loaded):
        text = made.config.text_config
        assert text.max_position_embeddings == 2 * llm.config.max_position_embeddings
        assert (text.rope_parameters["rope_type"], text.rope_parameters["factor"]) == ("linear", 2.0)
    own, stretched = llm.model.rotary_emb.inv_freq, loaded.language_model.model.rotary_emb.inv_freq
    assert torch.allclose(stretched, own / 2)


def test_positions_that_are_scaled_already_are_refused(backbones):
    folder = backbones[0]
    settings = json.loads((folder / "llm/config.json").read_text())
    settings["rope_parameters"] = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    (folder / "llm/config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"network\.rope_factor: 2\.0 cannot stretch the positions of llama"):
        build_model(config_of(rope_factor=2.0), folder)
