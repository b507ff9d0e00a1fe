"""The model among the library's own: adapters, resizing, sampling, logits where they are asked for, one graph."""

import pytest
import torch
from count_launches import VARIANTS, WAITS, Launches, launches, small_config
from torch._subclasses.fake_tensor import FakeTensorMode
from toy import IMAGE, PATCHES, WIDTH, toy_batch, toy_model, toy_samples
from transformers import AutoModelForImageTextToText

from dynfocus.errors import UserError
from dynfocus.network import DynFocusForConditionalGeneration
from dynfocus.network.batch import Prompts, Videos, on_the_host
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


def small_batch():
    """Two videos and three questions."""
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    videos = Videos(torch.randn(11, PATCHES, WIDTH), mask, (7, 4))
    return videos, Prompts(torch.randint(1, 50, (3, 5)), None, (1, 0, 0))


def test_under_autocast_everything_that_chooses_is_that_of_fp32():
    connector, batch = toy_model().connector, small_batch()
    with torch.no_grad():
        exact = connector.encode(*batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = connector.encode(*batch)
    for name in ("tokens", "group", "fine_labels", "coarse_labels"):
        assert torch.equal(getattr(made.objects, name), getattr(exact.objects, name)), name
    for name in ("prototypes", "frames", "labels"):
        assert torch.equal(getattr(made.events, name), getattr(exact.events, name)), name
    assert made.selection.scores.dtype == torch.float32
    assert torch.equal(made.selection.scores, exact.selection.scores)
    assert torch.equal(made.selection.chosen, exact.selection.chosen)
    assert not torch.equal(made.tokens.float(), exact.tokens), "the learned maps do run in bf16"


def test_the_perturbed_topk_is_fp32_under_autocast():
    connector, batch = toy_model().connector.train(), small_batch()
    made = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            made.append(connector.encode(*batch).selection.indicator)
    assert made[1].dtype == torch.float32
    assert torch.equal(*made)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("variant", ["dynfocus", "dynfocus, cross-attention", "dynfocus, K-means", "llama_vid"])
def test_a_forward_pass_never_waits_for_the_device(variant, training):
    """On fake CUDA tensors whatever looks at a value raises: `.item()`, `.nonzero()`, a boolean index.

    A copy from the host that is not marked as non-blocking would wait too, for all work queued before it.
    """
    counted = launches(small_config(**VARIANTS[variant]), (7, 4), training)
    assert counted.copies > 0 and counted.blocking == 0
    assert sum(counted.operations.values()) > 50
    assert not counted.operations.keys() & {"_local_scalar_dense", "nonzero", "equal", "is_nonzero"}


def test_the_counter_sees_a_wait():
    with pytest.raises(WAITS), FakeTensorMode():
        torch.ones(3, device="cuda").sum().item()


def test_lengths_and_owners_come_to_the_host_in_one_copy():
    mask, owners = torch.tensor([[True, False]]), torch.tensor([3, 1])
    assert all(one is other for one, other in zip(on_the_host(mask, owners), (mask, owners), strict=True))
    with FakeTensorMode():
        away = [torch.ones(1, 2, dtype=torch.bool, device="cuda"), torch.ones(2, dtype=torch.long, device="cuda")]
        with Launches() as counted:
            here = on_the_host(away[0], torch.ones(1), away[1])
    assert [(one.device.type, one.dtype, one.shape) for one in here[::2]] == [
        ("cpu", one.dtype, one.shape) for one in away
    ]
    assert counted.from_device == 1


@pytest.mark.parametrize("training", [False, True])
def test_the_connector_is_one_graph(training):
    """At most two breaks for torch.compile, counted by dynamo; there are none."""
    import torch._dynamo

    model = toy_model().connector.train(training)
    torch._dynamo.reset()
    with torch.set_grad_enabled(training):
        found = torch._dynamo.explain(model)(*small_batch())
    assert found.graph_break_count <= 2, [reason.reason for reason in found.break_reasons]
    assert found.graph_break_count == 0 or training


def test_wrong_media_slots_are_refused():
    model = toy_model()
    batch = toy_batch(model, toy_samples())
    batch["input_ids"][0, -2] = IMAGE if batch["input_ids"][0, -2] != IMAGE else 5
    with pytest.raises(UserError, match="expand every <image>"):
        model.generate(**batch, max_new_tokens=1)
