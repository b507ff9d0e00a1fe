"""Checkpoints in LAVIS's key layout load whole, at real size by name and shape and at toy size by value."""

from __future__ import annotations

import json
import os

import open_clip
import pytest
import timm
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file
from timm.models.eva import Eva
from transformers import BertConfig, BertTokenizerFast, InstructBlipQFormerConfig

from dynfocus.backbones import clip, lavis, qformer
from dynfocus.backbones.weights import read_checkpoint, read_parts, split_revision
from dynfocus.config.schema import ClipBackbone, QformerBackbone
from dynfocus.errors import UserError
from dynfocus.network import clip as clip_folder
from dynfocus.network.text_encoder import TextEncoder
from dynfocus.network.vision import load_vision_tower

BLOCK = (
    *(
        f"{norm}.{kind}"
        for norm in ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    ),
    *("attn.q_bias", "attn.v_bias", "attn.qkv.weight"),
)
DENSE = ("dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")
WIDTH, WORDS = 32, 24


def eva_names(blocks: int) -> set[str]:
    """Names in `eva_vit_g.pth`, written from its published layout."""
    start = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    return start | {f"blocks.{number}.{part}" for number in range(blocks) for part in BLOCK}


def bert_names(layers: int) -> set[str]:
    """Names of the Q-Former in an InstructBLIP checkpoint of LAVIS, written from its published layout."""
    kinds = ("weight", "bias")
    found = {f"bert.embeddings.{name}.weight" for name in ("word_embeddings", "position_embeddings")}
    found |= {"bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias", "bert.embeddings.position_ids"}
    for number in range(layers):
        layer = f"bert.encoder.layer.{number}."
        for block in ("attention", "crossattention") if number % 2 == 0 else ("attention",):
            found |= {f"{layer}{block}.self.{part}.{kind}" for part in ("query", "key", "value") for kind in kinds}
            found |= {f"{layer}{block}.output.{name}" for name in DENSE}
        for half in ("", "_query"):
            found |= {f"{layer}intermediate{half}.dense.{kind}" for kind in kinds}
            found |= {f"{layer}output{half}.{name}" for name in DENSE}
    return {f"Qformer.{name}" for name in found}


def test_every_name_of_the_full_visual_encoder_is_mapped():
    settings = clip.model_config("EVA01-g-14")
    with torch.device("meta"):
        visual = CLIP(settings["embed_dim"], settings["vision_cfg"], clip_folder.UNUSED_TEXT).visual
    clip_folder.drop_unread(visual.trunk)
    theirs = {f"visual.{name}": value.shape for name, value in visual.state_dict().items()}
    ours = lavis.open_clip_names({name: torch.empty(0) for name in eva_names(40)}, "file")
    assert ours.keys() == theirs.keys() and len(ours) == 524
    assert theirs["visual.trunk.pos_embed"] == (1, 257, 1408)
    assert theirs["visual.trunk.blocks.39.mlp.fc1.weight"] == (6144, 1408)
    assert sum(value.numel() for value in visual.parameters()) == 1_011_143_296


def test_every_name_of_the_full_text_encoder_is_mapped():
    with torch.device("meta"):
        encoder = TextEncoder(InstructBlipQFormerConfig(vocab_size=30523, encoder_hidden_size=1408), 32, 1408)
    theirs = {name: value.shape for name, value in encoder.state_dict().items()}
    names = bert_names(12) | {"query_tokens", "ln_vision.weight", "ln_vision.bias", "llm_proj.weight", "llm_proj.bias"}
    ours = lavis.text_encoder_names({name: torch.empty(0) for name in names}, "file")
    assert ours.keys() == theirs.keys()
    assert sum(value.numel() for value in encoder.parameters()) == 185_687_552
    shape = lavis.qformer_config({name: torch.empty(value, device="meta") for name, value in theirs.items()})
    for key in (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    ):
        assert getattr(shape, key) == getattr(InstructBlipQFormerConfig(), key), key
    assert (shape.vocab_size, shape.cross_attention_frequency, shape.encoder_hidden_size) == (30523, 2, 1408)


@timm.models.register_model
def eva_toy_lavis(
    pretrained: bool = False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **kwargs
) -> Eva:
    """An EVA of three narrow blocks."""
    shape = {"img_size": 28, "patch_size": 14, "embed_dim": WIDTH, "depth": 3, "num_heads": 2, "mlp_ratio": 2.0}
    model = Eva(**shape, qkv_fused=True, use_abs_pos_emb=True, **kwargs)
    model.default_cfg = {"input_size": (3, 28, 28)}
    return model


@pytest.fixture
def eva(tmp_path) -> tuple[ClipBackbone, Eva]:
    """A toy EVA's weights in LAVIS's layout, and the EVA."""
    torch.manual_seed(0)
    settings = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 28, "timm_model_name": "eva_toy_lavis", "timm_pool": "token", "timm_proj": None},
        "text_cfg": {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 1, "layers": 1},
    }
    trunk = eva_toy_lavis(num_classes=16, global_pool="token").eval()
    for value in trunk.parameters():
        value.data.normal_(std=0.2)
    state = {name: value for name, value in trunk.state_dict().items() if not name.startswith(lavis.UNREAD)}
    assert set(state) == eva_names(3)
    torch.save(state, tmp_path / "eva_vit_g.pth")
    (tmp_path / "toy.json").write_text(json.dumps(settings))
    return ClipBackbone(
        source="lavis", model=str(tmp_path / "toy.json"), weights=str(tmp_path / "eva_vit_g.pth")
    ), trunk


def test_the_visual_encoder_gives_the_penultimate_features(eva, tmp_path):
    settings, trunk = eva
    clip.convert(settings, tmp_path / "out")
    model = clip_folder.load(tmp_path / "out")
    pixels = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        tokens = trunk.forward_intermediates(pixels, indices=[1], intermediates_only=True, output_fmt="NLC")[0]
    ours = load_vision_tower(model.visual, settings.layer)(pixels)
    assert ours.shape == (2, 4, WIDTH)
    torch.testing.assert_close(ours, tokens)
    with pytest.raises(UserError, match="without a text encoder"):
        _ = model.context_length


def test_a_visual_encoder_with_a_block_missing_is_refused(eva, tmp_path):
    settings, trunk = eva
    state = {
        name: value for name, value in trunk.state_dict().items() if not name.startswith((*lavis.UNREAD, "blocks.2."))
    }
    torch.save(state, settings.weights)
    with pytest.raises(UserError, match=r"eva_vit_g\.pth does not fit .*Missing key.*blocks\.2\.") as error:
        clip.convert(settings, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_another_file_is_refused(eva, tmp_path):
    settings, _ = eva
    torch.save({"visual.conv1.weight": torch.zeros(1)}, settings.weights)
    with pytest.raises(UserError, match=r"visual\.conv1\.weight is no tensor of an EVA"):
        clip.convert(settings, tmp_path / "out")
    with pytest.raises(UserError, match="is no EVA"):
        clip.convert(settings.model_copy(update={"model": "ViT-B-32"}), tmp_path / "out")


def tokenizer_beside(folder) -> int:
    """A toy tokenizer of BERT's kind in `folder`; returns its words, `[DEC]` included."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqr"]
    (folder / lavis.TOKENIZER).mkdir()
    vocabulary = {word: index for index, word in enumerate(words)}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder / lavis.TOKENIZER)
    BertConfig(vocab_size=len(words)).save_pretrained(folder / lavis.TOKENIZER)
    return len(words) + 1


def instructblip(folder, words: int) -> tuple[dict[str, torch.Tensor], TextEncoder]:
    """A toy text encoder and its state in LAVIS's layout."""
    torch.manual_seed(1)
    shape = InstructBlipQFormerConfig(
        vocab_size=words,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=16,
        encoder_hidden_size=WIDTH,
    )
    encoder = TextEncoder(shape, 6, WIDTH)
    for value in encoder.parameters():
        value.data.normal_()
    published = {}
    for name, value in encoder.state_dict().items():
        name = name.replace("qformer.", "Qformer.bert.").replace("embeddings.layernorm.", "embeddings.LayerNorm.")
        published[name.replace("attention.attention.", "attention.self.")] = value
    published["Qformer.bert.embeddings.position_ids"] = torch.arange(16)[None]
    published["llm_proj.weight"] = torch.zeros(3, 3)
    assert {name for name in published if name.startswith("Qformer")} == bert_names(4)
    return published, encoder


def test_the_text_encoder_keeps_every_weight(tmp_path):
    published, encoder = instructblip(tmp_path, tokenizer_beside(tmp_path))
    file = tmp_path / "instruct_blip_vicuna7b_trimmed.pth"
    torch.save({"model": published}, file)
    qformer.convert(QformerBackbone(source="lavis", name=str(file)), tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    assert held.keys() == encoder.state_dict().keys()
    for name, value in encoder.state_dict().items():
        assert torch.equal(held[name], value), name
    shape = InstructBlipQFormerConfig.from_pretrained(tmp_path)
    assert (shape.num_hidden_layers, shape.num_attention_heads, shape.encoder_hidden_size) == (4, 1, WIDTH)


def test_a_blip_2_checkpoint_is_refused(tmp_path):
    published, _ = instructblip(tmp_path, 24)
    text = ("Qformer.bert.encoder.layer.0.intermediate.", "Qformer.bert.encoder.layer.0.output.")
    state = {name: value for name, value in published.items() if not name.startswith(text)}
    with pytest.raises(UserError, match="a BLIP-2 checkpoint; give InstructBLIP's"):
        lavis.text_encoder_names(state, "file")
    with pytest.raises(UserError, match="no query_tokens"):
        lavis.text_encoder_names({name: value for name, value in published.items() if name != "query_tokens"}, "file")


class Bomb:
    """What a malicious checkpoint may hold."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"query_tokens": Bomb()}}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match="holds Python objects besides tensors and is not opened") as error:
        read_checkpoint(tmp_path / "bad.pth", "backbones.qformer.name")
    assert "\n" not in str(error.value) and not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is not there"), (b"<html>", "is not a checkpoint|holds Python objects|no readable safetensors file")],
)
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path, content, message):
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"weights{suffix}"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            read_checkpoint(file, "backbones.clip.weights")
        assert "\n" not in str(error.value)


def test_of_a_sharded_model_only_the_files_with_wanted_tensors_are_read(tmp_path):
    from safetensors.torch import save_file

    save_file({"qformer.a": torch.ones(1)}, tmp_path / "one.safetensors")
    weight_map = {"qformer.a": "one.safetensors", "language_model.b": "not-fetched.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    asked = []

    def locate(name):
        asked.append(name)
        return tmp_path / name

    assert read_parts(locate, lambda key: key.startswith("qformer."))["qformer.a"].item() == 1
    assert asked == ["model.safetensors.index.json", "one.safetensors"]


def test_a_hub_id_may_name_its_commit():
    assert split_revision("owner/model@abc") == ("owner/model", "abc")
    assert split_revision("owner/model") == ("owner/model", None)


def test_open_clip_knows_the_model_of_the_default_profile(paper_config):
    settings = paper_config.backbones.clip
    assert settings.weights in open_clip.list_pretrained_tags_by_model(settings.model)
