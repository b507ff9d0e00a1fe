"""What depends on no question is made once; and the forward pass waits for no device."""

import pytest
import torch
from toy import PATCHES, WIDTH, toy_batch, toy_config, toy_model, toy_samples

from dynfocus.errors import UserError
from dynfocus.network.batch import Prompts, Videos
from dynfocus.network.cache import QuestionFreeCache, nbytes
from dynfocus.network.encoders import DynFocusEncoder

QUESTION_FREE = [
    {},
    {"cone_tokens": "none"},
    {"coarse_prototypes": 0},
    {"group_gate": True, "merge_weights": "mean"},
    {"encoder": "chat_univi"},
]


@pytest.mark.parametrize("network", QUESTION_FREE, ids=str)
def test_kept_parts_give_the_tokens_that_new_ones_give(network):
    """Videos in another order, with other questions, padded differently: T < L, T = 1 and T > L."""
    model = toy_model(**network)
    samples = toy_samples((9, 1, 4), (2, 1, 1))
    first = toy_batch(model, samples)
    other = toy_batch(model, samples[::-1][:2])
    with torch.no_grad():
        expected = [model(**batch).logits for batch in (first, other)]
        model.remember()
        names = ["a", "b", "c"]
        for _ in range(2):
            made = model(**first, video_names=names).logits
            torch.testing.assert_close(made, expected[0], rtol=1e-4, atol=1e-5)
        again = model(**other, video_names=names[::-1][:2]).logits
    torch.testing.assert_close(again, expected[1], rtol=1e-4, atol=1e-5)
    assert (model.known.hits, model.known.misses) == (5, 3)


def test_what_is_kept_does_not_depend_on_the_batch_where_it_was_met():
    model = toy_model()
    samples = toy_samples()
    logits = []
    for start in (samples, samples[:1]):
        model.remember()
        with torch.no_grad():
            model(**toy_batch(model, start), video_names=["a", "b", "c"][: len(start)])
            logits.append(model(**toy_batch(model, samples), video_names=["a", "b", "c"]).logits)
    assert torch.equal(*logits)


def test_training_with_kept_parts_has_the_same_gradients():
    gradients = []
    for keep in (False, True):
        torch.manual_seed(1)
        model = toy_model().train()
        if keep:
            model.remember()
        batch = toy_batch(model, toy_samples())
        for _ in range(2):
            model.zero_grad()
            torch.manual_seed(2)
            model(**batch, labels=batch["input_ids"], video_names=["a", "b", "c"]).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_encoders_that_make_nothing_without_the_question_keep_nothing():
    model = toy_model(encoder="llama_vid")
    model.remember()
    assert model.known is None
    model(**toy_batch(model, toy_samples()), video_names=["a", "b", "c"])


def test_every_video_needs_a_name():
    model = toy_model()
    model.remember()
    with pytest.raises(UserError, match="2 names for 3 videos"):
        model(**toy_batch(model, toy_samples()), video_names=["a", "b"])


def test_a_cache_holds_no_more_than_its_bytes_and_drops_the_longest_unused():
    cache = QuestionFreeCache(limit=3 * 80)
    parts = {name: torch.full((20,), float(place)) for place, name in enumerate("abcde")}

    def ask(*names):
        return cache.of(names, lambda missing: [parts[names[place]] for place in missing])

    ask("a", "b", "c")
    ask("a")
    ask("d")  # b goes
    assert [part[0].item() for part in ask("a", "c", "d")] == [0, 2, 3]
    assert cache.misses == 4
    ask("b")
    assert cache.misses == 5 and cache.size <= 240
    assert nbytes(parts["a"]) == 80


def on_meta(**network):
    """An encoder and two videos of 7 and 4 frames with three prompts, on a device that holds no values to look at."""
    with torch.device("meta"):
        encoder = DynFocusEncoder(toy_config(**network))
        frames = torch.empty(11, PATCHES, WIDTH)
        mask = torch.empty(2, 7, dtype=torch.bool)
        words = torch.empty(3, 5, dtype=torch.long)
    return encoder, Videos(frames, mask, (7, 4)), Prompts(words, torch.empty_like(words), (1, 0, 0))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "network",
    [{}, {"clustering": "kmeans"}, {"clustering": "weighted_kmeans"}, {"cone_tokens": "patches"}, {"group_gate": True}],
    ids=str,
)
def test_the_forward_pass_never_looks_at_a_value_on_the_device(network, training):
    """On the meta device every `.item()`, `nonzero` or copy to the host raises; host-side lengths are allowed."""
    encoder, videos, prompts = on_meta(**network)
    with torch.set_grad_enabled(training):
        tokens = encoder.train(training)(videos, prompts)
    assert tokens.is_meta and tokens.shape[1] == 64


def test_the_watch_for_looks_at_the_device_sees_one():
    _, videos, _ = on_meta()
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(videos.mask.all())
