"""The model in its ecosystem: saving, generation, padding, trainability, checkpointing, several questions."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import IMAGE, PATCHES, WIDTH, toy_batch, toy_model, toy_samples
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig

from dynfocus.errors import UserError
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration

RELOAD = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import dynfocus.network
from toy import toy_batch, toy_samples
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(sys.argv[2]).eval()
torch.save(model(**toy_batch(model, toy_samples())).logits, sys.argv[3])
"""


def test_a_saved_model_gives_bitwise_equal_logits_in_a_new_process(tmp_path):
    model = toy_model()
    with torch.no_grad():
        logits = model(**toy_batch(model, toy_samples())).logits
    model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").is_file()
    paths = [str(Path(__file__).parent), str(tmp_path / "model"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", RELOAD, *paths], check=True, timeout=120)
    assert torch.equal(torch.load(tmp_path / "logits.pt"), logits)
    assert AutoConfig.from_pretrained(tmp_path / "model").num_visual_tokens(9) == model.num_visual_tokens(9)


def test_loaded_weights_start_where_torch_would_put_them(tmp_path):
    """The order in which MKL adds up depends on it, on some processors."""
    toy_model().save_pretrained(tmp_path)
    again, _ = DynFocusForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not [name for name, weight in again.named_parameters() if weight.data_ptr() % 64]


@pytest.mark.parametrize(
    "llm",
    [
        LlamaConfig(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=1,
            num_attention_heads=4,
            vocab_size=100,
            tie_word_embeddings=True,
        ),
        GPT2Config(
            n_embd=64, n_layer=1, n_head=4, vocab_size=100, n_positions=600, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
        ),
    ],
    ids=["tied llama", "gpt2"],
)
def test_any_causal_lm_is_saved_loaded_and_indifferent_to_the_padding_side(llm, tmp_path):
    model = toy_model(llm=llm)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    samples = toy_samples()
    with torch.no_grad():
        left, right = toy_batch(model, samples, "left"), toy_batch(model, samples, "right")
        made = model(**left).logits[left["attention_mask"].bool()]
        assert torch.equal(again(**left).logits[left["attention_mask"].bool()], made)
        torch.testing.assert_close(again(**right).logits[right["attention_mask"].bool()], made, rtol=1e-4, atol=1e-5)
    output = again.get_output_embeddings().weight
    assert (output.data_ptr() == again.get_input_embeddings().weight.data_ptr()) == llm.tie_word_embeddings


def test_batch_composition_and_padding_do_not_change_an_answer():
    model, samples = toy_model(), toy_samples()
    together = model.generate(**toy_batch(model, samples), max_new_tokens=6, do_sample=False)
    for i, sample in enumerate(samples):
        alone = model.generate(**toy_batch(model, [sample]), max_new_tokens=6, do_sample=False)
        assert together[i, -6:].tolist() == alone[0, -6:].tolist()


def test_generation_equals_argmax_of_full_passes_and_encodes_the_video_once(monkeypatch):
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    calls = []
    encode = model.connector.forward
    monkeypatch.setattr(model.connector, "forward", lambda *args: calls.append(1) or encode(*args))
    made = model.generate(**batch, max_new_tokens=4, do_sample=False)
    assert len(calls) == 1
    beams = model.generate(**batch, max_new_tokens=4, do_sample=False, num_beams=2)
    assert beams.shape == made.shape
    for _ in range(4):
        token = model(**batch).logits[:, -1].argmax(1, keepdim=True)
        batch["input_ids"] = torch.cat([batch["input_ids"], token], dim=1)
        batch["attention_mask"] = torch.cat([batch["attention_mask"], torch.ones_like(token)], dim=1)
    assert torch.equal(made, batch["input_ids"])


def test_questions_on_one_video_equal_separate_videos():
    """Two rounds on one video: the tokens of each slot are those of that question alone."""
    model = toy_model()
    (features, prompts, _), _, _ = toy_samples()
    shared = [(features, prompts, [2, 3])]
    batch = toy_batch(model, shared)
    names = ("video_features", "video_mask", "prompt_input_ids", "prompt_attention_mask", "prompt_video")
    visual = {name: batch[name] for name in names}
    together = model.visual_tokens(pixel_values_videos=None, **visual)
    for i, part in enumerate(together.chunk(2)):
        own = {"prompt_input_ids": visual["prompt_input_ids"][i : i + 1]}
        own["prompt_attention_mask"] = visual["prompt_attention_mask"][i : i + 1]
        own |= {"video_features": features[None], "video_mask": None, "prompt_video": torch.zeros(1, dtype=torch.long)}
        torch.testing.assert_close(model.visual_tokens(pixel_values_videos=None, **own), part, rtol=1e-4, atol=1e-5)
    first, second = together.chunk(2)
    assert not torch.allclose(first, second)


STAGES = [{"projectors"}, {"projectors", "dpe_cce"}, {"projectors", "dpe_cce", "llm"}, {"projectors", "llm"}]


@pytest.mark.parametrize("parts", STAGES, ids=lambda parts: "+".join(sorted(parts)))
@pytest.mark.parametrize("encoder", ["dynfocus", "two_token", "llama_vid", "flash_vstream", "chat_univi"])
def test_exactly_the_trainable_parts_receive_a_gradient(parts, encoder):
    model = toy_model(encoder=encoder).train()
    model.set_trainable(parts)
    batch = toy_batch(model, toy_samples())
    model(**batch, labels=batch["input_ids"]).loss.backward()
    learning = {name for part in parts for name in model.parts()[part]}
    for name, parameter in model.named_parameters():
        if name in learning:
            assert parameter.grad is not None, name
        else:
            assert parameter.grad is None, name
    for part in parts & {"projectors", "dpe_cce"}:
        moved = [name for name in model.parts()[part] if dict(model.named_parameters())[name].grad.abs().sum() > 0]
        unused_rows = [name for name in model.parts()[part] if name not in moved]
        assert not unused_rows or all("key.bias" in name for name in unused_rows), unused_rows


def test_parts_are_disjoint_and_leave_out_only_what_nothing_depends_on():
    model = toy_model()
    parts = model.parts()
    names = [name for part in parts.values() for name in part]
    assert len(names) == len(set(names))
    rest = {name for name, _ in model.named_parameters()} - set(names)
    last = "connector.text_encoder.qformer.encoder.layer.1."
    assert all(name.startswith((last + "intermediate.", last + "output.")) for name in rest)
    with pytest.raises(UserError, match="unknown part 'head'"):
        model.set_trainable({"head"})


def test_a_text_only_batch_works_and_keeps_the_connector_in_the_graph():
    model = toy_model().train()
    ids = torch.randint(2, 90, (2, 5))
    empty = {"prompt_input_ids": torch.zeros(0, 0, dtype=torch.long), "prompt_video": torch.zeros(0, dtype=torch.long)}
    loss = model(input_ids=ids, labels=ids, **empty).loss
    loss.backward()
    for part in ("projectors", "dpe_cce"):
        for name in model.parts()[part]:
            gradient = dict(model.named_parameters())[name].grad
            assert gradient is not None and gradient.abs().sum() == 0, name
    model.eval()
    torch.testing.assert_close(model(input_ids=ids).logits, model.language_model(input_ids=ids).logits)


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        model = toy_model(topk_gradient="full").train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            assert model.connector.text_encoder.gradient_checkpointing
        batch = toy_batch(model, toy_samples())
        torch.manual_seed(2)
        model(**batch, labels=batch["input_ids"]).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_loss_ignores_image_tokens():
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    hidden = labels.masked_fill(labels == IMAGE, -100)
    with torch.no_grad():
        assert torch.equal(model(**batch, labels=labels).loss, model(**batch, labels=hidden).loss)


def test_a_wrong_number_of_image_tokens_is_refused():
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    batch["input_ids"][0, -2] = IMAGE if batch["input_ids"][0, -2] != IMAGE else 5
    with pytest.raises(UserError, match="expand every <image>"):
        model(**batch)


def test_features_of_another_encoder_are_refused():
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    batch["video_features"] = batch["video_features"][..., :-1]
    with pytest.raises(UserError, match="the model expects"):
        model(**batch)


def test_explain_tells_every_choice_of_the_forward_pass():
    model = toy_model()
    video, prompt = torch.randn(20, PATCHES, WIDTH), torch.randint(1, 50, (5,))
    story = model.explain(video, prompt)
    assert story.tokens_per_frame.sum() == model.num_visual_tokens(20)
    assert torch.equal(story.cones.nonzero()[:, 0], story.prototype_frames[story.chosen])
    assert story.prototype_of_frame[story.prototype_frames].tolist() == list(range(6))
    best = story.scores.topk(5).indices.sort().values
    assert torch.equal(best, story.chosen)
    assert story.fine_map.shape == story.coarse_map.shape == (20, 8, 8)
    assert story.fine_map.unique().tolist() == list(range(16))
    torch.testing.assert_close(story.attention.sum(1), torch.ones(20))
    with pytest.raises(UserError, match="selects no frames"):
        toy_model(encoder="two_token").explain(video, prompt)


def test_padding_before_a_frame_is_refused():
    model = toy_model()
    mask = torch.tensor([[True, True, True], [False, True, True]])
    with pytest.raises(UserError, match="video 1 of the batch has padding before a frame"):
        model.visual_tokens(
            torch.randn(2, 3, PATCHES, WIDTH),
            None,
            mask,
            torch.ones(2, 3, dtype=torch.long),
            None,
            torch.tensor([0, 1]),
        )


def test_a_grid_that_the_star_memory_cannot_pool_is_refused():
    with pytest.raises(UserError, match="no multiple of 8"):
        DynFocusConfig(grid=14, pooled_grid=7, encoder="flash_vstream")


def test_an_image_is_a_video_of_one_frame():
    model = toy_model()
    assert model.num_visual_tokens(1) == 40
    story = model.explain(torch.randn(1, PATCHES, WIDTH), torch.randint(1, 50, (5,)))
    assert story.tokens_per_frame.tolist() == [40]


def test_half_precision_weights_work():
    model = toy_model().to(torch.bfloat16)
    batch = toy_batch(model, toy_samples())
    assert model(**batch).logits.isfinite().all()
    model.train()
    model(**batch, labels=batch["input_ids"]).loss.backward()


def test_the_auto_class_makes_the_model_from_its_configuration():
    model = toy_model()
    made = AutoModelForCausalLM.from_config(model.config)
    assert isinstance(made, DynFocusForConditionalGeneration)
