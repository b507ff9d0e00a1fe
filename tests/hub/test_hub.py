"""From a file to an answer with transformers: the exported folder, its processor, its talk, its pixels."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

import dynfocus.hub
from dynfocus.chat.model import conversation_prompt
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.own import OwnModel
from dynfocus.features.extract import read_medium
from dynfocus.hub.export import export_model
from dynfocus.hub.processor import slot_prompts

PAGE = Path(__file__).parents[2] / "docs/transformers.md"
SCRIPT = re.search(r"```python file=answer.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
"""What the page shows."""


@pytest.fixture(scope="module")
def loaded(exported):
    model = AutoModelForImageTextToText.from_pretrained(exported).eval()
    return model, AutoProcessor.from_pretrained(exported)


def user(text, *content):
    return {"role": "user", "content": [*content, {"type": "text", "text": text}]}


def asked(processor, film):
    """The batch of one question on a film."""
    talk = [user("What moves?", {"type": "video", "path": str(film)})]
    return processor.apply_chat_template(talk, add_generation_prompt=True, tokenize=True, return_dict=True)


@pytest.mark.timeout(1500)
def test_a_film_is_answered_with_transformers_alone(exported, loaded, media, tmp_path):
    """The page's script of 15 lines in a fresh process, elsewhere; the folder's custom code imports this package."""
    assert len(SCRIPT.splitlines()) <= 15 and "dynfocus" not in SCRIPT
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(exported), str(media[0]), "What moves?"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ran.returncode == 0, ran.stderr
    model, processor = loaded
    batch = asked(processor, media[0])
    answer = model.generate(**batch, max_new_tokens=16, do_sample=False)[:, batch["input_ids"].shape[1] :]
    assert ran.stdout.strip() == processor.batch_decode(answer, skip_special_tokens=True)[0].strip()


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_the_pipelines_take_a_film(exported, loaded, media, task):
    """There is no video-text-to-text in this transformers; these two take the same talk."""
    model, processor = loaded
    batch = asked(processor, media[0])
    answer = model.generate(**batch, max_new_tokens=8, do_sample=False)[:, batch["input_ids"].shape[1] :]
    talk = [user("What moves?", {"type": "video", "path": str(media[0])})]
    made = pipeline(task, model=str(exported))(text=talk, max_new_tokens=8, return_full_text=False)
    assert made[0]["generated_text"].strip() == processor.batch_decode(answer, skip_special_tokens=True)[0].strip()


def test_the_answer_is_that_of_the_workflow(loaded, parts, media, hub_config):
    """Same frames, same pixels, same features, same prompt: the same tokens."""
    model, processor = loaded
    pixels, _ = read_medium(media[0].parent, media[0].name, hub_config.video)
    features = model.vision_tower.videos(model.vision_tower.normalise(pixels)[None])[0]
    own = OwnModel(parts[0], torch.device("cpu"), torch.float32, hub_config.network)
    evaluation = hub_config.evaluation.model_copy(update={"max_new_tokens": 8})
    (expected,) = own.reply(["What moves?"], ["What moves?"], [features], [0], evaluation)
    batch = asked(processor, media[0])
    answer = model.generate(**batch, max_new_tokens=8, do_sample=False)
    made = processor.batch_decode(answer[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert made[0].strip() == expected.text


def test_pixels_have_the_encoders_own_mean_and_deviation(loaded, media):
    model, processor = loaded
    assert model.vision_tower.mean == (0.5, 0.5, 0.5)
    white = np.full((2, 16, 16, 3), 255, dtype=np.uint8)
    seen = processor.video_processor([white])["pixel_values_videos"]
    torch.testing.assert_close(seen[0, 0, :, 0, 0], torch.tensor([1.0, 0.5 / 0.4, 0.5 / 0.3]))
    torch.testing.assert_close(seen[0], model.vision_tower.normalise(white))


def test_every_form_of_a_medium_is_read(loaded, media):
    _, processor = loaded
    film, picture = media
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    forms = [film, str(film), picture, Image.open(picture), frames, torch.from_numpy(frames), list(frames), frames[0]]
    seen = processor.video_processor(forms)
    assert seen["video_mask"].sum(1).tolist() == [12, 12, 1, 1, 3, 3, 3, 1]
    values = seen["pixel_values_videos"]
    assert torch.equal(values[0], values[1]) and torch.equal(values[2], values[3])
    assert torch.equal(values[4], values[5]) and torch.equal(values[4], values[6])
    fewer = processor.video_processor([film], fps=0.5)
    assert fewer["video_mask"].sum().item() == 6


def test_the_ith_slot_reads_the_ith_medium(loaded, media):
    """A picture and a film in one turn, a film in the other text, and a later turn on the last medium."""
    model, processor = loaded
    film, picture = media
    talks = [
        [
            user("Compare?", {"type": "image", "path": str(picture)}, {"type": "video", "path": str(film)}),
            {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
            user("Where?"),
        ],
        [user("What?", {"type": "video", "path": str(film)})],
    ]
    batch = processor.apply_chat_template(
        talks, add_generation_prompt=True, tokenize=True, return_dict=True, processor_kwargs={"padding": True}
    )
    assert batch["prompt_video"].tolist() == [0, 1, 1, 2]
    assert batch["video_mask"].sum(1).tolist() == [1, 12, 12]
    slots = (batch["input_ids"] == model.config.image_token_id).sum(1).tolist()
    one, twelve = model.num_visual_tokens(1), model.num_visual_tokens(12)
    assert slots == [one + 2 * twelve, twelve]
    assert model(**batch).logits.isfinite().all()


def test_the_chat_template_is_the_talk_of_stage_2(loaded):
    _, processor = loaded
    talk = [
        user("What?", {"type": "video"}),
        {"role": "assistant", "content": "a ball"},
        user("Where?"),
    ]
    made = processor.apply_chat_template(talk, add_generation_prompt=True)
    end = processor.tokenizer.eos_token
    assert made.replace("<video>", "<image>") == conversation_prompt([("What?", "a ball")], "Where?", end)
    assert list(slot_prompts(made)) == ["What?", "Where?"]


def test_text_alone_and_media_by_keyword(loaded, media):
    model, processor = loaded
    batch = processor(text="USER: hello ASSISTANT:")
    assert "pixel_values_videos" not in batch
    assert model.generate(**batch, max_new_tokens=2).shape[0] == 1
    batch = processor(text=["<video> what", "<image> where"], videos=media[0], images=[media[1]])
    assert batch["prompt_video"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "<video> what"}, "no medium for it"),
        ({"text": "what", "videos": [np.zeros((1, 16, 16, 3), np.uint8)]}, "fewer <video> slots than media"),
        ({"text": "<video>", "videos": "nowhere.mp4"}, "no such file"),
        ({"text": "<video>", "videos": np.zeros((2, 3, 4, 4), np.float32)}, r"give frames \(T, H, W, 3\) uint8"),
        ({}, "none given"),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(loaded, arguments, message):
    with pytest.raises(UserError, match=message) as refused:
        loaded[1](**arguments)
    assert "\n" not in str(refused.value)


def test_the_card_has_scores_with_intervals_and_the_limits(exported):
    card = (exported / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| msvd_qa | accuracy | 45.5 [40.0, 50.5] | 200 of 200 | 0 | rule |" in card
    assert "score | None" not in card
    assert "generated films" in card


def test_an_export_never_overwrites(exported, parts, hub_config):
    with pytest.raises(UserError, match="not empty"):
        export_model(hub_config, "dynfocus", *parts, exported)


def test_adapters_on_the_vision_tower_are_refused(exported, media):
    peft = pytest.importorskip("peft")
    model = AutoModelForImageTextToText.from_pretrained(exported)
    batch = AutoProcessor.from_pretrained(exported)(text="<video> what", videos=media[0])
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear"))
    with pytest.raises(UserError, match="frozen and takes no adapters"):
        adapted(**batch)
    model = AutoModelForImageTextToText.from_pretrained(exported)
    without = peft.LoraConfig(r=2, target_modules="all-linear", exclude_modules=r".*vision_tower.*")
    assert peft.get_peft_model(model, without)(**batch).logits.isfinite().all()


def test_the_package_names_what_the_custom_code_needs():
    assert set(dynfocus.hub.__all__) >= {"DynFocusConfig", "DynFocusMediaProcessor"}
