"""The model among the library's own: adapters, resizing, sampling, logits where they are asked for, one graph."""

import pytest
import torch
from toy import IMAGE, PATCHES, WIDTH, toy_batch, toy_model, toy_samples
from transformers import AutoModelForImageTextToText

from dynfocus.errors import UserError
from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.network.batch import Prompts, Videos
from dynfocus.network.dpe import ScoreNetwork


def test_logits_are_made_where_they_are_asked_for():
    model, batch = toy_model(), toy_batch(toy_model(), toy_samples())
    with torch.no_grad():
        whole = model(**batch).logits
        torch.testing.assert_close(model(**batch, logits_to_keep=1).logits, whole[:, -1:], rtol=1e-5, atol=1e-6)
    assert model._supports_logits_to_keep()


def test_generation_asks_for_the_logits_of_one_position(monkeypatch):
    model, batch = toy_model(), toy_batch(toy_model(), toy_samples())
    seen = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert seen == [1, 1, 1]


def test_several_answers_to_each_question():
    model, batch = toy_model(), toy_batch(toy_model(), toy_samples())
    one = model.generate(**batch, max_new_tokens=4, do_sample=False)
    best = model.generate(**batch, max_new_tokens=4, do_sample=False, num_beams=3, num_return_sequences=2)
    assert best.shape == (6, one.shape[1])
    torch.manual_seed(0)
    drawn = model.generate(**batch, max_new_tokens=4, do_sample=True, num_return_sequences=3, suppress_tokens=[IMAGE])
    assert drawn.shape[0] == 9
    assert torch.equal(drawn[:, : batch["input_ids"].shape[1]], batch["input_ids"].repeat_interleave(3, 0))


def test_a_larger_vocabulary_leaves_the_logits_of_the_old_words():
    model, batch = toy_model(), toy_batch(toy_model(), toy_samples())
    with torch.no_grad():
        before = model(**batch).logits
        model.resize_token_embeddings(120, mean_resizing=False)
        after = model(**batch).logits
    assert after.shape[2] == 120 == model.config.get_text_config().vocab_size
    torch.testing.assert_close(after[:, :, :100], before)


def test_the_output_layer_can_be_replaced():
    model, batch = toy_model(), toy_batch(toy_model(), toy_samples())
    layer = torch.nn.Linear(64, 7, bias=False)
    model.set_output_embeddings(layer)
    assert model.get_output_embeddings() is layer
    assert model(**batch).logits.shape[2] == 7


def test_the_class_of_image_and_video_models_finds_it(tmp_path):
    toy_model().save_pretrained(tmp_path)
    assert isinstance(AutoModelForImageTextToText.from_pretrained(tmp_path), DynFocusForConditionalGeneration)


@pytest.mark.parametrize("network", [{}, {"fusion": "cross_attention"}, {"encoder": "flash_vstream"}], ids=str)
def test_adapters_on_every_linear_layer_learn_and_merge(network):
    """LoRA on all linear layers, the folded maps of the context attention among them: each changes the output, learns,
    and is in the merged weights."""
    peft = pytest.importorskip("peft")
    model, batch = toy_model(**network), toy_batch(toy_model(), toy_samples())
    batch = toy_batch(model, toy_samples())
    with torch.no_grad():
        bare = model(**batch).logits
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear", lora_alpha=16))
    with torch.no_grad():
        torch.testing.assert_close(adapted(**batch).logits, bare, rtol=1e-4, atol=1e-5)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    adapted.train()
    torch.manual_seed(0)
    adapted(**batch, labels=batch["input_ids"]).loss.backward()
    last = "text_encoder.qformer.encoder.layer.1."
    unread = (last + "intermediate.dense", last + "output.dense")  # the text half of the last layer
    for name, weight in adapted.named_parameters():
        if "lora_B" in name and not any(part in name for part in unread):
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    adapted.eval()
    with torch.no_grad():
        made = adapted(**batch).logits
        assert not torch.allclose(made, bare, atol=1e-3)
        merged = adapted.merge_and_unload()(**batch).logits
    torch.testing.assert_close(merged, made, rtol=1e-3, atol=1e-4)


def test_an_adapter_on_one_folded_map_changes_the_output():
    peft = pytest.importorskip("peft")
    for target in ("text_projection", "query", "key"):
        model = toy_model()
        batch = toy_batch(model, toy_samples())
        with torch.no_grad():
            bare = model(**batch).logits
        place = rf"connector\.context_attention\.{target}"
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=place, init_lora_weights=False))
        with torch.no_grad():
            made = adapted.eval()(**batch).logits
        assert not torch.equal(made, bare), target


def test_the_score_network_computes_in_fp32_whatever_its_weights():
    """In bf16 scores tie, and ties choose early frames."""
    torch.manual_seed(0)
    unit = ScoreNetwork(48).to(torch.bfloat16)
    prototypes, exists = torch.randn(1, 80, 16, 48), torch.ones(1, 80, dtype=torch.bool)
    exact = ScoreNetwork(48)
    exact.load_state_dict({name: weight.float() for name, weight in unit.state_dict().items()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = unit(prototypes, exists)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, exact(prototypes, exists))
    assert len(scores.unique()) == 80
    scores.sum().backward()
    assert unit.mix.weight.grad.dtype == torch.bfloat16 and unit.mix.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("training", [False, True])
def test_the_connector_is_one_graph(training):
    """At most two breaks for torch.compile, counted by dynamo; there are none."""
    import torch._dynamo

    model = toy_model().connector.train(training)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    videos = Videos(torch.randn(11, PATCHES, WIDTH), mask, (7, 4))
    prompts = Prompts(torch.randint(1, 50, (3, 5)), None, (1, 0, 0))
    torch._dynamo.reset()
    with torch.set_grad_enabled(training):
        found = torch._dynamo.explain(model)(videos, prompts)
    assert found.graph_break_count <= 2, [reason.reason for reason in found.break_reasons]
    assert found.graph_break_count == 0 or training


def test_wrong_media_slots_are_refused():
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    batch["input_ids"][0, -2] = IMAGE if batch["input_ids"][0, -2] != IMAGE else 5
    with pytest.raises(UserError, match="expand every <image>"):
        model.generate(**batch, max_new_tokens=1)
