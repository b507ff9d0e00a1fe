"""Prompts and masks: exactly the answers and their end tokens carry loss; one media token and one prompt per round."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.datasets.records import talk
from dynfocus.prompts import (
    IGNORE,
    SYSTEM,
    encoder_prompt,
    evaluation_prompt,
    imgsp_v1,
    plain_guided,
    tokenize,
)

ROUNDS = [("<image>\nwhat colour is the ball", "red"), ("how many", "2"), ("is the cube left", "The cube, first.")]


def record(pairs, media=True, name="7"):
    return {"id": name, "conversations": talk(pairs)} | ({"video": "videos/7.mp4"} if media else {})


def learned(tokens, tokenizer):
    """Text of the tokens that carry loss, one string per unbroken stretch."""
    stretches, last = [], None
    for index, label in enumerate(tokens.labels):
        if label != IGNORE:
            if last != index - 1:
                stretches.append([])
            stretches[-1].append(label)
            last = index
    return [tokenizer.decode(stretch) for stretch in stretches]


def test_only_answers_and_their_ends_carry_loss(tokenizer):
    tokens = tokenize(imgsp_v1(record(ROUNDS), "</s>"), tokenizer, 2048)
    assert [text.strip() for text in learned(tokens, tokenizer)] == ["red</s>", "2</s>", "The cube, first.</s>"]
    assert all(label in (IGNORE, token) for label, token in zip(tokens.labels, tokens.input_ids, strict=True))


def texts(alphabet):
    return st.text(alphabet, min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(texts("abc 12?\n.é"), texts("abc 12.,é")), min_size=1, max_size=4),
    st.booleans(),
)
def test_learned_text_is_the_answers_for_any_talk(tokenizer, pairs, media):
    tokens = tokenize(imgsp_v1(record(pairs, media), "</s>"), tokenizer, 4096)
    assert [text.strip() for text in learned(tokens, tokenizer)] == [f"{answer.strip()}</s>" for _, answer in pairs]


def test_the_model_learns_the_blank_that_it_must_write_before_a_digit(tokenizer):
    """At evaluation the prompt ends in `ASSISTANT:`; where the blank is a token of its own it has to be generated."""
    ids = tokenizer("ASSISTANT: 2", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids[-2:]).strip() == "2" and len(tokenizer.decode(ids[-1:])) == 1, "the blank stands alone"
    tokens = tokenize(imgsp_v1(record([("how many", "2")]), "</s>"), tokenizer, 2048)
    assert [label for label in tokens.labels if label != IGNORE] == [*ids[-2:], tokenizer.eos_token_id]


def test_every_round_has_a_media_token_and_a_prompt(tokenizer):
    rendered = imgsp_v1(record(ROUNDS), "</s>")
    assert rendered.text.count("<image>") == len(rendered.prompts) == 3
    assert rendered.prompts == ("what colour is the ball", "how many", "is the cube left")
    assert rendered.text.startswith(f"{SYSTEM} USER: <image>\nwhat colour is the ball ASSISTANT: red</s>USER: ")


def test_media_token_of_later_rounds_takes_both_sides_and_is_fixed_by_seed():
    talks = [imgsp_v1(record(ROUNDS, name=str(number)), "</s>", seed=1).text for number in range(40)]
    later = [text.split("</s>")[1] for text in talks]
    assert {"<image>\nhow many" in text for text in later} == {True, False}
    assert {"how many\n<image>" in text for text in later} == {True, False}
    assert talks == [imgsp_v1(record(ROUNDS, name=str(number)), "</s>", seed=1).text for number in range(40)]


def test_text_only_talk_has_no_media_token():
    rendered = imgsp_v1(record(ROUNDS[1:], media=False), "</s>")
    assert "<image>" not in rendered.text and rendered.prompts == ()


def test_alignment_shows_the_llm_the_caption_alone(tokenizer):
    rendered = plain_guided(record([("Describe the clip.\n<image>", "the red ball rolls")]))
    assert rendered.text == "<image>the red ball rolls\n"
    assert rendered.prompts == ("Describe the clip.",)
    tokens = tokenize(rendered, tokenizer, 2048)
    assert [text.strip(" ") for text in learned(tokens, tokenizer)] == ["the red ball rolls\n"]
    assert tokens.labels[tokens.input_ids.index(tokenizer.convert_tokens_to_ids("<image>"))] == IGNORE


def test_evaluation_prompt_is_the_beginning_of_the_training_text():
    trained = imgsp_v1(record([("<image>\nhow many", "2")]), "</s>").text
    assert trained == evaluation_prompt("how many") + " 2</s>"
    assert not evaluation_prompt("how many").endswith(" ")


@pytest.mark.parametrize("rounds_kept", [1, 2])
def test_cut_text_keeps_a_prompt_for_each_media_token_left(tokenizer, rounds_kept):
    rendered = imgsp_v1(record(ROUNDS), "</s>")
    keep = len(tokenizer(rendered.text[: rendered.answers[rounds_kept - 1][1]])["input_ids"])
    tokens = tokenize(rendered, tokenizer, keep)
    assert len(tokens.input_ids) == len(tokens.labels) == keep
    assert len(tokens.prompts) == tokens.input_ids.count(tokenizer.convert_tokens_to_ids("<image>")) == rounds_kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts("abc 12?"), texts("abc 12")), min_size=1, max_size=3), st.integers(1, 200))
def test_no_question_is_kept_without_its_media_token_and_an_answer(tokenizer, pairs, max_tokens):
    """However short the cut: as many media tokens, prompts and questions as answers that are at least begun."""
    whole, cut = (tokenize(imgsp_v1(record(pairs), "</s>"), tokenizer, limit) for limit in (4096, max_tokens))
    assert cut.input_ids == whole.input_ids[: len(cut.input_ids)] and len(cut.input_ids) <= max_tokens
    begun = len(learned(cut, tokenizer))
    media = cut.input_ids.count(tokenizer.convert_tokens_to_ids("<image>"))
    assert media == len(cut.prompts) == begun == tokenizer.decode(cut.input_ids).count("USER:")
    assert cut.labels[-1:] != [IGNORE]


def test_text_encoder_prompt_has_no_newline():
    assert encoder_prompt("<image>\nwhich?\nA. red\nB. blue") == "which? A. red B. blue"
