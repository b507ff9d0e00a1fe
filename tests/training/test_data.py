"""Batches: expansion, padding, shared media, coverage, and the order of samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.datasets.records import talk
from dynfocus.errors import UserError
from dynfocus.prompts import IGNORE, Tokens
from dynfocus.training.data import Collator, Coverage, Entry, Samples, epoch_order, expand, labelled, readable, shown


class Store(dict):
    """Features by name."""

    def frames(self, name):
        return torch.arange(len(self[name]))


STORE = Store({"a.mp4": torch.ones(3, 4, 8), "b.mp4": 2 * torch.ones(1, 4, 8)})


def entry(name, media, rounds=1):
    record = {"id": name, "conversations": talk([("how many", "two")] * rounds)}
    return Entry("set", record | ({"video": media} if media else {}))


def collate(entries, toys, tokenizer, tokens_per_frame=2):
    samples = Samples(entries, {"set": STORE}, tokenizer, "imgsp_v1", 2048, 0)
    collator = Collator(toys.ToyProcessor(tokenizer, toys.prompt_tokenizer(), tokens_per_frame))
    return collator([samples[index] for index in range(len(samples))]), samples


def test_slots_are_expanded_to_the_tokens_of_their_medium(toys, tokenizer):
    batch, _ = collate([entry("1", "a.mp4", 2), entry("2", "b.mp4")], toys, tokenizer)
    slots = (batch["input_ids"] == tokenizer.convert_tokens_to_ids("<image>")).sum(1)
    assert slots.tolist() == [2 * 2 * 3, 2 * 1]
    assert batch["prompt_video"].tolist() == [0, 0, 1]
    assert batch["video_mask"].tolist() == [[True] * 3, [True, False, False]]
    assert batch["video_features"].shape == (2, 3, 4, 8) and batch["video_features"][1, 1:].eq(0).all()
    assert batch["labels"][batch["attention_mask"] == 0].eq(IGNORE).all()


def test_a_medium_shared_by_samples_is_stacked_once(toys, tokenizer):
    batch, _ = collate([entry("1", "a.mp4"), entry("2", "a.mp4")], toys, tokenizer)
    assert len(batch["video_features"]) == 1 and batch["prompt_video"].tolist() == [0, 0]


@pytest.mark.parametrize("media, tokens_per_frame", [(None, 2), ("a.mp4", 0)])
def test_batches_without_visual_tokens_carry_text_alone(toys, tokenizer, media, tokens_per_frame):
    batch, _ = collate([entry("1", media)], toys, tokenizer, tokens_per_frame)
    assert tokenizer.convert_tokens_to_ids("<image>") not in batch["input_ids"]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


def test_expansion_keeps_ids_and_labels_together(toys, tokenizer):
    slot = tokenizer.convert_tokens_to_ids("<image>")
    tokens = Tokens([5, slot, 6, slot], [IGNORE, IGNORE, 6, IGNORE], ("how", "many"))
    ids, labels = expand(toys.ToyProcessor(tokenizer, toys.prompt_tokenizer(), 1), tokens, frames=3)
    assert ids == [5, slot, slot, slot, 6, slot, slot, slot]
    assert labels == [IGNORE] * 4 + [6] + [IGNORE] * 3


def test_lengths_count_every_slot(toys, tokenizer):
    _, samples = collate([entry("1", "a.mp4"), entry("2", "a.mp4", 2), entry("3", None)], toys, tokenizer)
    one, two, none = samples.lengths(lambda frames: 1000 * frames)
    assert one // 1000 == 3 and two // 1000 == 6 and none < 1000


def test_missing_media_are_counted_and_left_out():
    kept, coverage = readable([entry("1", "a.mp4"), entry("2", "gone.mp4"), entry("3", None)], {"set": STORE}, 0.5)
    assert [item.record["id"] for item in kept] == ["1", "3"]
    assert (coverage["set"].readable, coverage["set"].total) == (2, 3)


def test_training_refuses_below_the_declared_coverage():
    with pytest.raises(UserError, match=r"training set `set`: 1 of 2 samples .* min_coverage 0.98"):
        readable([entry("1", "a.mp4"), entry("2", "gone.mp4")], {"set": STORE}, 0.98)


def asked(question, media="a.mp4", name="7"):
    record = {"id": name, "conversations": talk([(question, "two")])} | ({"video": media} if media else {})
    return Entry("set", record)


LONG = "how many turns " * 40


def test_samples_without_a_label_are_counted_named_and_left_out(tokenizer):
    entries = [asked("how many", name="short"), asked(LONG, name="long"), asked(LONG, None, "longer")]
    samples = Samples(entries, {"set": STORE}, tokenizer, "imgsp_v1", 200, 0)
    kept, coverage = labelled(samples, {"set": Coverage(3, 4)}, 0.25)
    assert [entry.record["id"] for entry in kept.entries] == ["short"]
    assert coverage == {"set": Coverage(3, 4, ("long", "longer"))} and coverage["set"].share == 0.25
    assert coverage["set"].record() == {"readable": 3, "total": 4, "unlabelled": ["long", "longer"]}


def test_training_refuses_where_too_many_samples_have_no_label(tokenizer):
    entries = [asked("how many", name="short"), *(asked(LONG, name=f"long {number}") for number in range(5))]
    samples = Samples(entries, {"set": STORE}, tokenizer, "imgsp_v1", 200, 0)
    said = (
        r"`set`: 5 of 6 samples have no label within max_text_tokens 200.*: long 0, long 1, long 2 and 2 more; .*raise"
    )
    with pytest.raises(UserError, match=said):
        labelled(samples, {"set": Coverage(6, 6)}, 0.98)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.integers(1, 400),
    st.sampled_from(["plain_guided", "imgsp_v1"]),
    st.booleans(),
)
def test_a_sample_has_a_label_just_where_its_tokens_have_one(tokenizer, question, max_tokens, template, media):
    entry = asked(question, "a.mp4" if media else None)
    samples = Samples([entry], {"set": STORE}, tokenizer, template, max_tokens, 0)
    assert samples.has_label(0) == any(label != IGNORE for label in samples[0]["tokens"].labels[1:])


def test_a_list_of_ids_is_shortened():
    assert shown(["a"]) == "a" and shown(["a", "b", "c", "d"]) == "a, b, c and 1 more"


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 300), st.integers(1, 16), st.integers(0, 5), st.booleans())
def test_an_epoch_visits_distinct_samples_in_whole_batches(count, global_batch, seed, grouped):
    lengths = [index * 7 % 31 for index in range(count)] if grouped else None
    order = epoch_order(count, global_batch, seed, 0, lengths)
    assert len(order) == len(set(order)) == count // global_batch * global_batch
    assert order == epoch_order(count, global_batch, seed, 0, lengths)


def test_order_differs_between_epochs_and_seeds():
    orders = [epoch_order(64, 4, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_grouped_batches_waste_less_padding():
    lengths = [(index * 37) % 101 for index in range(400)]

    def waste(order):
        batches = [[lengths[index] for index in order[start : start + 8]] for start in range(0, len(order), 8)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert waste(epoch_order(400, 8, 0, 0, lengths)) < 0.2 * waste(epoch_order(400, 8, 0, 0))
