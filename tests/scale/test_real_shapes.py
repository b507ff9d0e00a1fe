"""Real widths on decoded frames: EVA-CLIP-g, the Q-Former, the connector to 4096 and a Vicuna-shaped LLM, on a CPU.

Widths are those of the paper and only depth is cut: EVA_BLOCKS of 40 blocks of the visual encoder (the features leave
one before the last) and LLM_LAYERS of 32 layers of the LLM. The step is plain SGD, since AdamW's moments of 0.9 G
parameters would take another 7 GB. `-s` shows times and memory.
"""

import resource
import time

import pytest
import torch
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.features.extract import read_medium
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, clip
from dynfocus.network.vision import VisionTower
from dynfocus.prompts import IGNORE
from dynfocus.training.trainer import answers_alone, mean_answer_loss
from dynfocus.world.films import make_film
from dynfocus.world.render import film_frames, write_mp4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

EVA_BLOCKS, LLM_LAYERS, FRAMES = 4, 2, 4
IMAGE, ANSWER = 31_999, 24


def clock(what, started):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what}: {time.perf_counter() - started:.1f} s, peak memory {peak:.1f} GiB")


@pytest.fixture(scope="module")
def features(paper_config, tmp_path_factory):
    """Features (T, 256, 1408) of the first frames of an mp4 film, at the paper's sampling and size."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_mp4(path, film_frames(make_film(0), 224, 2), 2)
    pixels, _ = read_medium(path.parent, path.name, paper_config.video)
    started = time.perf_counter()
    seen = shallow_tower(paper_config)(clip.normalize(pixels[:FRAMES]))
    clock(f"EVA-CLIP-g, {EVA_BLOCKS} of 40 blocks, {FRAMES} frames", started)
    return seen


def shallow_tower(config):
    """EVA-CLIP-g at full width with its first blocks alone, random weights."""
    from open_clip.model import CLIP

    settings = clip.model_config(config.backbones.clip.model)
    text = {"context_length": 4, "vocab_size": 4, "width": 64, "heads": 1, "layers": 1}
    with torch.device("meta"):
        visual = CLIP(settings["embed_dim"], settings["vision_cfg"], text).visual
    visual.trunk.blocks = visual.trunk.blocks[:EVA_BLOCKS]
    visual.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, parameter in visual.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    for buffer in visual.buffers():
        buffer.zero_()
    return VisionTower(visual, config.backbones.clip.layer).eval()


@pytest.fixture(scope="module")
def model(paper_config):
    torch.manual_seed(0)
    config = DynFocusConfig.from_sections(
        paper_config.network,
        LlamaConfig(num_hidden_layers=LLM_LAYERS),
        InstructBlipQFormerConfig(),
        vision_width=1408,
        image_token_id=IMAGE,
    )
    return DynFocusForConditionalGeneration(config)


@pytest.fixture(scope="module")
def batch(model, features):
    words = torch.randint(3, IMAGE, (2, ANSWER), generator=torch.Generator().manual_seed(0))
    slot = torch.full((model.num_visual_tokens(len(features)),), IMAGE)
    question, answer = words
    ids = torch.cat([question, slot, answer])[None]
    labels = torch.cat([torch.full_like(torch.cat([question, slot]), IGNORE), answer])[None]
    prompt = torch.randint(1000, 30_000, (1, 16), generator=torch.Generator().manual_seed(1))
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "video_features": features[None],
        "prompt_input_ids": prompt,
        "prompt_attention_mask": torch.ones_like(prompt),
        "prompt_video": torch.zeros(1, dtype=torch.long),
        "labels": labels,
    }


def loss_of(model, batch):
    inputs = answers_alone(batch)
    labels = inputs.pop("labels")
    return mean_answer_loss(model(**inputs), labels)


def test_features_are_the_papers(features):
    assert features.shape == (FRAMES, 256, 1408) and features.isfinite().all()
    assert not torch.allclose(features[0], features[-1])


def test_one_training_step_of_all_parts_lowers_the_loss(model, batch):
    assert (batch["input_ids"] == IMAGE).sum() == FRAMES * 40
    # Dropout of the Q-Former off, Top-K as in training: every frame is a cone here, so the losses are comparable.
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout) or hasattr(part, "attention_dropout"):
            part.eval()
    started = time.perf_counter()
    before = loss_of(model, batch)
    before.backward()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learning)
    for part, names in model.parts().items():
        norm = torch.stack([model.get_parameter(name).grad.norm() for name in names]).norm().item()
        print(f"{part}: gradient norm {norm:.3g}")
        assert norm > 0
    torch.nn.utils.clip_grad_norm_(learning, 1.0)
    torch.optim.SGD(learning, lr=0.05, foreach=False).step()
    model.zero_grad(set_to_none=True)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    clock(f"training step, {batch['input_ids'].shape[1]} tokens, {size:.0f} M parameters", started)
    with torch.no_grad():
        after = loss_of(model, batch)
    print(f"loss {before.item():.3f} before, {after.item():.3f} after")
    assert after < before


def test_an_answer_is_written(model, batch):
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    inputs["input_ids"] = inputs["input_ids"][:, :-ANSWER]
    inputs["attention_mask"] = inputs["attention_mask"][:, :-ANSWER]
    started = time.perf_counter()
    words = {"suppress_tokens": [IMAGE], "do_sample": False, "pad_token_id": 0}
    written = model.eval().generate(**inputs, **words, max_new_tokens=8, min_new_tokens=8)
    clock("answer of 8 tokens", started)
    assert written.shape == (1, inputs["input_ids"].shape[1] + 8)
