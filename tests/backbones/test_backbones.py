"""The mini backbones are ordinary checkpoints, equal for a seed; published ones keep their weights."""

from __future__ import annotations

import itertools
import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dynfocus.backbones import clip, llm, qformer
from dynfocus.backbones.loop import learning_rate, optimize, optimizers
from dynfocus.config.schema import ClipBackbone, LlmBackbone, QformerBackbone
from dynfocus.errors import UserError
from dynfocus.network import clip as clip_folder
from dynfocus.network.build import build_model
from dynfocus.network.processing import add_image_token
from dynfocus.network.vision import load_vision_tower
from dynfocus.world.films import ACTIONS, CARD, COLORS, NUMBERS, PLACES, SHAPES, SIDES, TURNS, make_film
from dynfocus.world.questions import ask
from dynfocus.world.text import reading_lesson

SIDE = 64
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": SIDE, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2, "pool_type": "avg"},
    "text_cfg": {"context_length": 77, "width": 16, "heads": 1, "layers": 1},
}
LLM = {
    "vocab_size": 600,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "attention_bias": True,
    "tie_word_embeddings": True,
}
QFORMER = {
    "num_query_tokens": 4,
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "cross_attention_frequency": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
QUESTION = "what color is the small star in the cave?"


@pytest.fixture(scope="module")
def config(mini_config, tmp_path_factory):
    """The default profile with toy backbones of two training steps."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, shape in (("clip", CLIP), ("llm", LLM), ("qformer", QFORMER)):
        (folder / f"{name}.json").write_text(json.dumps(shape))
    toy = {"steps": 2, "batch_size": 4}
    parts = mini_config.backbones
    backbones = parts.model_copy(
        update={
            "clip": parts.clip.model_copy(update={**toy, "model": str(folder / "clip.json")}),
            "llm": parts.llm.model_copy(update={**toy, "name": str(folder / "llm.json")}),
            "qformer": parts.qformer.model_copy(update={**toy, "name": str(folder / "qformer.json")}),
        }
    )
    video = mini_config.video.model_copy(update={"image_size": SIDE})
    return mini_config.model_copy(update={"backbones": backbones, "video": video})


def prepare_all(config, folder: Path) -> Path:
    """Train the three backbones into `folder`, with little text and few stills."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm, "LESSONS", 24)
        patch.setattr(llm, "EXAMS", 12)
        patch.setattr(qformer, "STILLS", 12)
        clip.prepare(config, folder / "clip")
        llm.prepare(config, folder / "llm")
        qformer.prepare(config, folder / "qformer", folder / "clip")
    return folder


def with_seed(config, seed: int):
    return config.model_copy(update={"world": config.world.model_copy(update={"seed": seed})})


@pytest.fixture(scope="module")
def backbones(config, tmp_path_factory):
    return prepare_all(config, tmp_path_factory.mktemp("backbones"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the safetensors file of a folder."""
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_the_same_seed_gives_equal_weights_and_another_seed_does_not(config, backbones, tmp_path):
    again = prepare_all(config, tmp_path / "again")
    other = prepare_all(with_seed(config, 1), tmp_path / "other")
    for part in ("clip", "llm", "qformer"):
        assert_equal_weights(weights(backbones / part), weights(again / part))
        theirs = weights(other / part)
        assert any(
            value.shape != theirs[name].shape or not torch.equal(value, theirs[name])
            for name, value in weights(backbones / part).items()
        ), part
    for file in ("llm/tokenizer.json", "qformer/tokenizer.json"):
        assert (backbones / file).read_bytes() == (again / file).read_bytes()


def test_training_moves_the_weights(config, backbones, tmp_path):
    torch.manual_seed(config.world.seed)
    untrained = clip_folder.build(CLIP).state_dict()
    trained = weights(backbones / "clip")
    moved = [name for name, value in trained.items() if not torch.equal(value, untrained[name])]
    assert "visual.conv1.weight" in moved and "token_embedding.weight" in moved


def test_clip_loads_here_and_in_open_clip(backbones, tmp_path):
    model = clip_folder.load(backbones / "clip")
    assert not model.training
    assert_equal_weights(model.state_dict(), weights(backbones / "clip"))
    settings = json.loads((backbones / "clip" / clip_folder.CONFIG_FILE).read_text())
    (tmp_path / "mini-test.json").write_text(json.dumps(settings))
    open_clip.add_model_config(tmp_path)
    theirs = open_clip.create_model("mini-test", pretrained=str(backbones / "clip" / clip_folder.WEIGHTS_FILE)).eval()
    pixels = clip_folder.normalize(np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8))
    assert torch.equal(theirs.encode_image(pixels), model.encode_image(pixels))


def test_decorrelation_is_zero_for_white_features_of_any_scale_and_grows_with_the_condition():
    torch.manual_seed(0)
    drawn = torch.randn(400, 8)
    white, _ = torch.linalg.qr(drawn - drawn.mean(0))
    spread = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0.1])
    for scale, shift in ((1.0, 0.0), (30.0, 5.0)):
        assert clip.decorrelation(scale * white + shift).item() == pytest.approx(0, abs=2e-3)
        variances = spread.square() / spread.square().mean()
        expected = -variances.log().mean().item() / 2  # of independent normals
        assert clip.decorrelation(scale * white * spread + shift).item() == pytest.approx(expected, abs=5e-3)
    assert torch.isfinite(clip.decorrelation(torch.randn(4, 8))), "fewer features than directions"


def test_the_vocabulary_of_clip_is_what_it_met_and_texts_keep_their_embeddings():
    torch.manual_seed(0)
    model = clip_folder.build(CLIP).eval()
    whole = open_clip.SimpleTokenizer(context_length=model.context_length)
    met, strange = ["a red triangle", QUESTION, "two blue rings, café"], "zebras in Łódź"
    before = model.encode_text(whole(met))
    merges = clip.keep_met_words(model, whole)
    cut = open_clip.SimpleTokenizer(BytesIO(merges), context_length=model.context_length)
    assert [cut.decode(tokens) for tokens in map(cut.encode, met)] == [whole.decode(whole.encode(text)) for text in met]
    assert [len(cut.encode(text)) for text in met] == [len(whole.encode(text)) for text in met]
    assert torch.equal(model.encode_text(cut(met)), before)
    assert model.vocab_size == cut.vocab_size < 800 and len(cut.encode(strange)) > len(whole.encode(strange))
    assert cut.decode(cut.encode(strange)).strip() == strange.lower()


def test_a_clip_reads_texts_with_its_own_vocabulary(backbones):
    folder = backbones / "clip"
    tokenizer = clip_folder.load_tokenizer(folder, 77)
    assert tokenizer.vocab_size == len(weights(folder)["token_embedding.weight"]) < 2000
    assert len(tokenizer.encode(QUESTION)) == len(open_clip.SimpleTokenizer().encode(QUESTION))


def test_the_tower_gives_one_token_a_patch(config, backbones):
    tower = load_vision_tower(clip_folder.load(backbones / "clip").visual, config.backbones.clip.layer)
    assert tower(torch.zeros(2, 3, SIDE, SIDE)).shape == (2, (SIDE // 8) ** 2, 32)


def test_normalised_pixels_have_clips_mean_and_deviation():
    black, white = (
        clip_folder.normalize(np.zeros((1, 2, 2, 3), np.uint8)),
        clip_folder.normalize(np.full((1, 2, 2, 3), 255, np.uint8)),
    )
    assert black.shape == (1, 3, 2, 2)
    mean, deviation = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    for channel in range(3):
        assert black[0, channel, 0, 0].item() == pytest.approx(-mean[channel] / deviation[channel], rel=1e-5)
        assert white[0, channel, 0, 0].item() == pytest.approx((1 - mean[channel]) / deviation[channel], rel=1e-5)


def test_an_image_size_that_does_not_fit_the_clip_is_an_error(config, tmp_path):
    with pytest.raises(UserError, match=r"video\.image_size is 128, but .* has 64; set them equal"):
        clip.train(config.backbones.clip, 128, tmp_path, 0)


@pytest.mark.parametrize("model", ["no-such-model", "no/such/file.json"])
def test_an_unknown_clip_is_named(model):
    with pytest.raises(UserError, match=rf"backbones\.clip\.model: .*{model}"):
        clip.model_config(model)


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(UserError, match=r"missing; run `dynfocus prepare-clip` first"):
        clip_folder.load(tmp_path)


def test_the_fetched_clip_keeps_its_weights(backbones, tmp_path):
    settings = ClipBackbone(
        source="open_clip", model="ViT-test", weights=str(backbones / "clip" / clip_folder.WEIGHTS_FILE)
    )
    shape = (backbones / "clip" / clip_folder.CONFIG_FILE).read_text()
    (tmp_path / "ViT-test.json").write_text(shape)
    open_clip.add_model_config(tmp_path / "ViT-test.json")
    clip.fetch(settings, tmp_path / "out")
    assert_equal_weights(weights(tmp_path / "out"), weights(backbones / "clip"))
    assert clip_folder.load(tmp_path / "out").visual.image_size == (SIDE, SIDE)


def test_the_llm_loads_in_transformers_and_generates(backbones):
    model = AutoModelForCausalLM.from_pretrained(backbones / "llm")
    tokenizer = AutoTokenizer.from_pretrained(backbones / "llm")
    assert isinstance(model, LlamaForCausalLM)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert (model.config.bos_token_id, model.config.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    words = tokenizer("USER: what happens? ASSISTANT:", return_tensors="pt")
    assert words["input_ids"][0, 0] == tokenizer.bos_token_id
    reply = model.generate(**words, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert reply.shape[1] <= words["input_ids"].shape[1] + 3


def test_a_head_of_a_new_llm_looks_two_tokens_back_and_others_at_what_is_alike():
    shape = LlamaConfig(**LLM, head_dim=32, attn_implementation="eager")
    model = LlamaForCausalLM(shape).eval()
    llm.start_with_habits(model)
    for block in model.model.layers[:1]:
        assert torch.equal(block.self_attn.q_proj.weight[32:], block.self_attn.k_proj.weight[32:])
    words = torch.randint(0, LLM["vocab_size"], (4, 30))
    (seen, *_) = model.model(input_ids=words, output_attentions=True).attentions
    assert (seen[:, 0, 10:].argmax(-1) == torch.arange(8, 28)).float().mean() > 0.9


def test_the_llm_is_marked_on_each_kind_and_style(backbones):
    marks = json.loads((backbones / "llm" / llm.TRUTH_FILE).read_text())
    assert {style for _, style in (kind.split("/") for kind in marks)} == {"open", "choice", "yes_no"}
    assert all(0 <= mark["right"] <= mark["asked"] > 0 for mark in marks.values())


def test_a_model_that_writes_the_right_words_is_marked_right(backbones):
    tokenizer = AutoTokenizer.from_pretrained(backbones / "llm")
    add_image_token(tokenizer)
    lessons = [lesson for lesson in map(reading_lesson, range(6)) if lesson.kinds]
    wanted = [torch.tensor(llm.encode_lesson(tokenizer, lesson)[1]) for lesson in lessons]

    class Parrot:
        """Knows the labels of all lessons but the last by heart."""

        def __init__(self):
            self.turn = iter([*wanted[:-1], torch.zeros_like(wanted[-1])])

        def get_input_embeddings(self):
            return torch.nn.Embedding(len(tokenizer), 2)

        def model(self, inputs_embeds):
            hidden = torch.nn.functional.one_hot(next(self.turn).clamp(min=0).roll(-1), len(tokenizer))
            return SimpleNamespace(last_hidden_state=hidden[None])

        def lm_head(self, hidden):
            return hidden

    marks = llm.told_the_truth(Parrot(), tokenizer, lessons)
    assert sum(mark["asked"] for mark in marks.values()) == sum(len(lesson.kinds) for lesson in lessons)
    assert sum(mark["right"] for mark in marks.values()) == sum(len(lesson.kinds) for lesson in lessons[:-1])


@pytest.mark.parametrize(
    "text",
    [QUESTION, "USER: who is small and red?\nA. ring ASSISTANT: ring</s>", "Grüße, 東京 → 42", "two  spaces\n\nlines"],
)
def test_the_llm_tokenizer_gives_any_text_back(text, backbones):
    tokenizer = AutoTokenizer.from_pretrained(backbones / "llm")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_each_word_of_the_world_is_one_token(backbones):
    tokenizer = AutoTokenizer.from_pretrained(backbones / "llm")
    for word in (*COLORS, *SHAPES, *PLACES, *ACTIONS, *NUMBERS, *SIDES, *TURNS, CARD, "big", "small", "yes", "no"):
        assert tokenizer.convert_tokens_to_ids(f"▁{word}") != tokenizer.unk_token_id, word
        assert (
            len(tokenizer(f"it is {word}", add_special_tokens=False)["input_ids"])
            == len(tokenizer("it is", add_special_tokens=False)["input_ids"]) + 1
        ), word


def test_the_network_is_built_from_the_three(config, backbones):
    model, processor = build_model(config, backbones)
    encoder = model.connector.text_encoder.state_dict()
    for name, value in weights(backbones / "qformer").items():
        assert torch.equal(encoder[name], value), name
    stored = weights(backbones / "llm")["model.layers.0.mlp.up_proj.weight"]
    assert any(
        torch.equal(value, stored) for name, value in model.state_dict().items() if name.endswith("up_proj.weight")
    )
    features = torch.randn(5, 64, 32)
    batch = processor(text=[f"USER: <image>\n{QUESTION} ASSISTANT:"], prompts=[[QUESTION]], video_features=[features])
    with torch.no_grad():
        assert model.eval()(**batch).logits.isfinite().all()


def test_the_text_encoder_loads_in_transformers(backbones):
    folder = backbones / "qformer"
    shape = InstructBlipQFormerConfig.from_pretrained(folder)
    theirs = InstructBlipQFormerModel(shape)
    held = weights(folder)
    part = {name.removeprefix("qformer."): value for name, value in held.items() if name.startswith("qformer.")}
    theirs.load_state_dict(part, strict=True)
    assert shape.encoder_hidden_size == 32
    assert held["query_tokens"].shape == (1, 4, 32)
    assert {"ln_vision.weight", "ln_vision.bias"} <= held.keys()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(QUESTION.upper())["input_ids"]
    assert ids == tokenizer(QUESTION)["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.truncation_side == "left"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fetched_llm_keeps_weights_type_and_tokenizer(dtype, tmp_path):
    tokenizer = llm.make_tokenizer([reading_lesson(number) for number in range(20)], 300)
    shape = {**LLM, "vocab_size": len(tokenizer), "tie_word_embeddings": False}
    LlamaForCausalLM(LlamaConfig(**shape)).to(dtype).save_pretrained(tmp_path / "published")
    tokenizer.save_pretrained(tmp_path / "published")
    llm.fetch(LlmBackbone(source="hub", name=str(tmp_path / "published")), tmp_path / "out")
    ours = weights(tmp_path / "out")
    assert_equal_weights(ours, weights(tmp_path / "published"))
    assert {value.dtype for value in ours.values()} == {dtype}
    read = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert read(QUESTION)["input_ids"] == tokenizer(QUESTION)["input_ids"]


def test_an_llm_that_is_not_there_is_one_line(tmp_path):
    for source in ("hub", "gguf"):
        with pytest.raises(UserError, match=r"backbones\.llm\.name: .*") as error:
            llm.fetch(LlmBackbone(source=source, name=str(tmp_path)), tmp_path / "out")
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_fetched_text_encoder_keeps_the_weights_of_instructblip(tmp_path):
    tokenizer = qformer.make_tokenizer([qa for seed in range(20) for qa in ask(make_film(seed))], 256)
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = {name: value for name, value in QFORMER.items() if name != "num_query_tokens"}
    model = InstructBlipForConditionalGeneration(
        InstructBlipConfig(
            vision_config={**vision, "image_size": 32, "patch_size": 16},
            qformer_config={**shape, "vocab_size": len(tokenizer), "encoder_hidden_size": 24},
            text_config={"model_type": "llama", **LLM, "vocab_size": 64},
            num_query_tokens=6,
        )
    )
    state = model.state_dict()
    for name, value in state.items():
        if "query_tokens" in name or "post_layernorm" in name:
            value.normal_()
    folder = tmp_path / "published"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder / "qformer_tokenizer")
    qformer.fetch(QformerBackbone(source="hub", name=str(folder)), tmp_path / "out")
    held = weights(tmp_path / "out")

    def published(ending: str) -> torch.Tensor:
        (found,) = [value for name, value in state.items() if name.endswith(ending)]
        return found

    assert torch.equal(held["query_tokens"], published("query_tokens"))
    for kind in ("weight", "bias"):
        assert torch.equal(held[f"ln_vision.{kind}"], published(f"vision_model.post_layernorm.{kind}"))
    layers = {name: value for name, value in held.items() if name.startswith("qformer.")}
    assert len(layers) == sum("qformer." in name for name in state)
    for name, value in layers.items():
        assert torch.equal(value, published(name)), name
    assert InstructBlipQFormerConfig.from_pretrained(tmp_path / "out").encoder_hidden_size == 24
    read = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert read(QUESTION)["input_ids"] == tokenizer(QUESTION)["input_ids"]


def test_a_text_encoder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"backbones\.qformer\.name: cannot load") as error:
        qformer.fetch(QformerBackbone(source="hub", name=str(tmp_path)), tmp_path / "out")
    assert "\n" not in str(error.value)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_twentieth():
    rates = [learning_rate(step, 100, 2.0) for step in range(100)]
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[5] == pytest.approx(2.0)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0.1, abs=2e-3)


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_all_else():
    model = torch.nn.ModuleDict(
        {
            "words": torch.nn.Embedding(5, 4),
            "attention": torch.nn.MultiheadAttention(4, 2),
            "patches": torch.nn.Conv2d(3, 4, 2),
            "norm": torch.nn.LayerNorm(4),
            "head": torch.nn.Linear(4, 5),
        }
    )
    model["head"].weight = model["words"].weight
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    muon, adamw = (
        {names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]}
        for optimizer in optimizers(model, 1e-3)
    )
    assert muon == {"attention.in_proj_weight", "attention.out_proj.weight"}
    assert adamw == set(names.values()) - muon


def test_the_loop_lowers_a_loss_and_leaves_what_is_frozen():
    model = torch.nn.Linear(4, 1)
    model.bias.requires_grad_(False)
    bias, inputs = model.bias.clone(), torch.randn(32, 4)
    target = inputs.sum(1, keepdim=True) + bias

    def losses():
        while True:
            yield (model(inputs) - target).square().mean()

    first = next(losses()).item()
    optimize(model, losses(), 100, 0.3, "a line")
    assert next(losses()).item() < 0.1 * first
    assert torch.equal(model.bias, bias) and not model.training
