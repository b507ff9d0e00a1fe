"""Whole combinations of backbones, each from folders in its published layout to an answer.

`paper.yaml` (Vicuna, InstructBLIP, EVA-CLIP) and the recipe `qwen3_siglip2.yaml`, with tiny random weights: prepared,
trained in both stages on films encoded on the fly, cut, resumed, saved, asked. Real are the names and contents of all
configuration and generation files but for sizes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from open_clip.model import CustomTextCLIP
from real_network import interrupted_at
from safetensors.torch import save_file
from test_families import publish
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from toy_network import FRAMES, WORDS, write_world
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    LlamaConfig,
)

from dynfocus.backbones import clip as clip_backbone
from dynfocus.backbones import llm as llm_backbone
from dynfocus.backbones import qformer as qformer_backbone
from dynfocus.config.load import load_config
from dynfocus.config.schema import Evaluation
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.own import OwnModel
from dynfocus.features.extract import encode, read_medium
from dynfocus.network import clip
from dynfocus.network.vision import CLIP_MEAN, load_vision_tower
from dynfocus.training.stage import train_stage

sys.path.insert(0, str(Path(__file__).parent.parent / "media"))
from films import pictures, write_film

SIDE, GRID, WIDTH, FILMS = 32, 4, 16, 12
CPU = torch.device("cpu")
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = ["hardware={device: cpu, gpus: 0, processes: 1, threads: 1}", "feature_precision=fp32"]
STAGE = "epochs: 1, global_batch: 4, micro_batch: 4, zero_stage: 1, precision: fp32, save_steps: 2, learning_rate: 0.01"


@timm.models.register_model
def toy_eva_giant_patch8(pretrained=False, **options):
    """EVA's architecture as in eva_giant_patch14_224: a class token, absolute positions, biases on q and v."""
    kept = {name: options[name] for name in ("num_classes", "global_pool") if options.get(name) is not None}
    return Eva(img_size=SIDE, patch_size=8, embed_dim=WIDTH, depth=3, num_heads=2, mlp_ratio=2, **kept)


@timm.models.register_model
def toy_siglip2_patch8(pretrained=False, **options):
    """SigLIP 2's architecture as in vit_base_patch16_siglip: no class token, pooled by attention."""
    kept = {name: options[name] for name in ("num_classes",) if options.get(name) is not None}
    return VisionTransformer(
        img_size=SIDE, patch_size=8, embed_dim=WIDTH, depth=3, num_heads=2, class_token=False, global_pool="map", **kept
    )


def publish_clip(folder: Path, trunk: str, config: dict, pixels: dict) -> None:
    """A folder as open_clip's models have it on the hub."""
    vision = {"image_size": SIDE, "timm_model_name": trunk, "timm_model_pretrained": False}
    settings = {"embed_dim": WIDTH, "vision_cfg": vision | config.pop("vision"), "text_cfg": TEXT, **config}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": pixels}))
    model = CustomTextCLIP(**{name: value for name, value in settings.items() if name != "custom_text"})
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")


def publish_eva(folder: Path) -> None:
    """laion's EVA01-g-14: pooled by the class token, CLIP's pixels."""
    pixels = {"mean": list(CLIP_MEAN), "std": [0.26862954, 0.26130258, 0.27577711]}
    vision = {"timm_pool": "token", "timm_proj": None}
    publish_clip(folder, "toy_eva_giant_patch8", {"vision": vision, "custom_text": True}, pixels)


def publish_siglip2(folder: Path) -> None:
    """timm's ViT-B-16-SigLIP2-256: a bias of the logits, images squashed, pixels from -1 to 1."""
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    vision = {"timm_pool": "map", "timm_proj": "none"}
    publish_clip(folder, "toy_siglip2_patch8", {"vision": vision, "init_logit_bias": -10, "custom_text": True}, pixels)


def words() -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]


def publish_bert(folder: Path) -> None:
    """bert-base-uncased: weights and a vocabulary."""
    BertModel(BertConfig(vocab_size=len(words()), **TINY)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words()) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def publish_instructblip(folder: Path) -> None:
    """Salesforce's instructblip-vicuna-7b: the Q-Former among vision model and LLM, its tokenizer in a subfolder."""
    tokens = folder / "qformer_tokenizer"
    tokens.mkdir(parents=True)
    (tokens / "vocab.txt").write_text("\n".join(words()) + "\n")
    tokenizer = BertTokenizer(str(tokens / "vocab.txt"), truncation_side="left")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.save_pretrained(tokens)
    config = InstructBlipConfig(
        vision_config={**TINY, "hidden_size": WIDTH, "image_size": SIDE, "patch_size": 8},
        qformer_config={**TINY, "vocab_size": len(tokenizer), "encoder_hidden_size": WIDTH},
        text_config=LlamaConfig(**TINY, vocab_size=64).to_dict(),
        num_query_tokens=4,
    )
    InstructBlipForConditionalGeneration(config).save_pretrained(folder)


COMBINATIONS = {
    "paper": (publish_eva, "vicuna", publish_instructblip, CLIP_MEAN),
    "qwen3_siglip2": (publish_siglip2, "qwen3", publish_bert, (0.5, 0.5, 0.5)),
}


def profile(repository: Path, name: str, root: Path):
    """The profile's own file, with its parts named by their folders and everything small."""
    hub = root / "hub"
    network = f"grid: {GRID}, pooled_grid: 2, event_prototypes: 3, fine_prototypes: 4, coarse_prototypes: 2"
    changes = [
        f"root={root}",
        f"video={{image_size: {SIDE}}}",
        f"network={{{network}, projector_width: 16}}",
        f"backbones.clip.model=local-dir:{hub}/clip",
        f"backbones.llm.name={hub}/llm",
        f"backbones.qformer.name={hub}/text",
        f"alignment={{datasets: [webvid_cap], {STAGE}}}",
        f"instruction={{datasets: [webvid_qa], {STAGE}}}",
        "on_the_fly=[webvid_cap, webvid_qa]",
    ]
    return load_config([repository / f"config/{name}.yaml"], [*SMALL, *changes])


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_combination_goes_from_published_folders_to_an_answer(name, repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    publish_visual, family, publish_text, mean = COMBINATIONS[name]
    torch.manual_seed(0)
    write_world(tmp_path, FILMS)
    for folder in ("webvid_cap", "webvid_qa"):
        for number in range(FILMS):
            shown = pictures(FRAMES[number % len(FRAMES)], SIDE, SIDE, seed=number)
            write_film(tmp_path / "data" / folder / f"videos/p/{number:03d}.mp4", shown, rate=1)
    hub = tmp_path / "hub"
    hub.mkdir()
    publish_visual(hub / "clip")
    publish(family, hub / "llm")
    publish_text(hub / "text")
    config, made = profile(repository, name, tmp_path), tmp_path / "backbones"
    clip_backbone.prepare(config, made / "clip")
    llm_backbone.prepare(config, made / "llm")
    qformer_backbone.prepare(config, made / "qformer", made / "clip")
    tower = load_vision_tower(clip.load(made / "clip").visual, config.backbones.clip.layer)
    assert tower.mean == pytest.approx(mean) and tower.block == 1
    data, features = tmp_path / "data", tmp_path / "features"
    one, two = tmp_path / "one", tmp_path / "two"
    train_stage(config, name, "alignment", 0, data, features, made, one, tmp_path / "work/one")
    with interrupted_at(2):
        train_stage(config, name, "instruction", 0, data, features, one, two, tmp_path / "work/two")
    train_stage(config, name, "instruction", 0, data, features, one, two, tmp_path / "work/two")
    assert "resuming from checkpoint-" in capsys.readouterr().err
    medium = "videos/p/000.mp4"
    (seen,) = encode(tower, [(medium, *read_medium(data / "webvid_qa", medium, config.video, tower.mean))], CPU)
    assert seen.shape == (FRAMES[0], GRID**2, WIDTH)
    ask = ["what colour is the ball"], ["what colour is the ball"], [seen], [0], Evaluation(max_new_tokens=4)
    model = OwnModel(two, CPU, torch.float32)
    assert model.reply(*ask) == model.reply(*ask)


def test_siglips_pixels_reach_from_minus_one_to_one(tmp_path):
    publish_siglip2(tmp_path / "hub")
    settings = load_config([Path("config/paper.yaml")]).backbones.clip
    settings = settings.model_copy(update={"model": f"local-dir:{tmp_path}/hub"})
    clip_backbone.fetch(settings, tmp_path / "clip")
    tower = load_vision_tower(clip.load(tmp_path / "clip").visual, -2)
    seen = tower.normalise(np.array([0, 255], dtype=np.uint8).repeat(3).reshape(1, 2, 3))
    assert seen.unique().tolist() == [-1.0, 1.0]


def test_a_visual_encoder_without_weights_or_of_another_size_is_refused(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    (tmp_path / "hub").mkdir()
    publish_siglip2(tmp_path / "hub/clip")
    config = profile(repository, "qwen3_siglip2", tmp_path)
    larger = config.model_copy(update={"video": config.video.model_copy(update={"image_size": 64})})
    with pytest.raises(UserError, match=r"video.image_size is 64, but local-dir:.* has 32; set them equal"):
        clip_backbone.prepare(larger, tmp_path / "clip")
    (tmp_path / "hub/clip/open_clip_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"backbones.clip: cannot load local-dir:"):
        clip_backbone.prepare(config, tmp_path / "clip")
    with pytest.raises(UserError, match=r"backbones.clip.model: local-dir:.* cannot be read"):
        clip.model_config(f"local-dir:{tmp_path}/nothing")
