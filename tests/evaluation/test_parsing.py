"""What is read out of replies: the project's own reading, and the official scripts with their faults."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from dynfocus.evaluation import official
from dynfocus.evaluation.naming import named_alike
from dynfocus.evaluation.parsing import option_letter, yes_no

GROUPS = yaml.safe_load(Path(__file__).with_name("replies.yaml").read_text(encoding="utf-8"))
REPLIES = [(group["kind"], group["options"], *pair) for group in GROUPS for pair in group["replies"]]
KINDS = (
    "reasoning before the answer",
    "option text that holds bracketed letters",
    "two options",
    "an option is denied",
    "option text is denied",
    "quoted, bold, boxed, full-width",
    "Chinese and other languages",
    "option text with small differences",
    "a letter outside the options",
)
MISREAD = {
    "The man first opens the door and then he sits on a chair.",
    "The person labelled (C) sits.",
    "The chef cuts the onions and then serves the guests.",
}
"""Replies of the table that are read as an option though none is meant."""
UNREAD = {
    "The man paints a wall in a bedroom.",
    "The first one",
    "The man closes a window.",
    "he opens the dor",
    "B? No, C.",
    "The chef is cutting onions.",
    "He adds salt to the soup.",
    "Not C: the dishes stay dirty. Not B: no onions. Not D: no guests. A fits.",
    "Ans. C",
    "Correct: B",
    "Response: A",
    "The first thing the chef does is add salt to the soup. A",
    "Let's analyze each option:\n\nA. No salt is seen.\nB. Onions are cut at 0:10.\nC. No dishes.\nD. No guests.",
    "Richtig ist C.",
    "B B B B",
}
"""Replies of the table whose meaning is missed."""


def test_the_table_has_enough_replies_of_every_kind():
    counts = Counter(kind for kind, *_ in REPLIES)
    assert len(REPLIES) >= 200 and set(KINDS) <= set(counts)
    assert all(counts[kind] >= 6 for kind in KINDS)


@pytest.mark.parametrize(("kind", "options", "reply", "meaning"), REPLIES)
def test_a_reply_has_the_meaning_that_a_careful_person_gives_it(kind, options, reply, meaning):
    found = option_letter(reply, options)
    if reply in MISREAD:
        assert meaning is None and found is not None, "read rightly now: take it off the list"
    elif reply in UNREAD:
        assert meaning is not None and found is None, "read rightly now: take it off the list"
    else:
        assert found == meaning


def test_the_page_on_extraction_has_todays_counts(repository):
    """Those of the other readings need their checkouts: scripts/compare_extraction.py."""
    found = [(option_letter(reply, options), meaning) for _, options, reply, meaning in REPLIES]
    right = sum(letter == meaning for letter, meaning in found)
    missed = sum(letter is None and meaning is not None for letter, meaning in found)
    errors = f"{100 * (len(found) - right) / len(found):.1f} %"
    row = f"| ours | {right} | {len(found) - right - missed} | {missed} | {errors} |"
    page = (repository / "docs/benchmarks/extraction.md").read_text(encoding="utf-8")
    assert row in page and f"{len(found)} made-up replies" in page


LOOPS = (
    "A and ",
    "(a)",
    " , A",
    "not a red ball ",
    "<think>",
    "\\boxed{",
    "The answer is most likely ",
    "A. red\n",
    "option ",
)


@pytest.mark.parametrize("text", LOOPS)
def test_a_reply_that_repeats_itself_is_read_in_no_time(text):
    started = time.perf_counter()
    option_letter(text * (5000 // len(text)) + "x", ["(a)(b)", "a red ball", "a box", "red"])
    assert time.perf_counter() - started < 10, "about a second is usual; ambiguous repetition takes for ever"


def test_another_number_or_negation_is_no_small_difference():
    assert named_alike("4 red balls", ["3 red balls", "a box"]) is None
    assert named_alike("a man does not ride", ["a man does ride", "a box"]) is None


@pytest.mark.parametrize(
    "wrap", ["{}", "**{}**", "<think>(B) or (C)?</think>{}", "<answer>{}</answer>", "\\boxed{{{}}}"]
)
@pytest.mark.parametrize("letter", "ABCD")
def test_wrapping_never_changes_a_letter(wrap, letter):
    assert option_letter(wrap.format(letter), ["w", "x", "y", "z"]) == letter


LISTS = ["(a)(b)(c).", "(a)(c)(b).", "(b)(c)(a).", "(b)(a)(c)."]
SIGNS = ["①②③.", "3*20 cm.", "the $20 'tree' DIY", '"waterfall of fabric"']


@pytest.mark.parametrize(
    ("options", "reply", "letter"),
    [
        *((LISTS, reply, "B") for reply in ("B. (a)(c)(b).", "(B) (a)(c)(b).", "(B) (a) (c) (b)", "B: (a)(c)(b).")),
        (LISTS, "The answer is B. (a)(c)(b).", "B"),
        (LISTS, "b, a, c", "D"),
        (list(map(str.upper, LISTS)), "B. (A)(C)(B).", "B"),
        *((SIGNS, option, letter) for option, letter in zip(SIGNS, "ABCD", strict=True)),
        (SIGNS, "It is the waterfall of fabric.", "D"),
    ],
)
def test_an_option_said_word_for_word_is_read(options, reply, letter):
    """Whatever label stands before it, and whatever its signs become in the plain form of the reply."""
    assert option_letter(reply, options) == letter


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("**Yes**, it is.", "yes"),
        ("No, there is no dog, yes?", "no"),
        ("The answer is yes, there is no doubt.", "yes"),
        ("There is no dog.", "no"),
        ("I would say yes", "yes"),
        ("yes or no", None),
        ("Yes/No", None),
        ("Yes and no.", None),
        ("Yes, or rather no", "yes"),
        ("It could be yes or no", None),
        ("I know nothing", None),
        ("<think>Is it yes? I see a cat.</think>No", "no"),
        ("<think>yes", None),
        ("\\boxed{yes}", "yes"),
        ("", None),
    ],
)
def test_yes_no(reply, word):
    assert yes_no(reply) == word


@pytest.mark.parametrize(
    ("reply", "latest", "first"),
    [
        ("C", "C", "C"),
        ("(C) x", "C", "C"),
        ("Answer: C", "C", "A"),
        ("Answer: c", None, "A"),
        ("Option: B", "B", "B"),
        ("The correct answer: D", "D", "D"),
        ("The correct option: D", "D", "D"),
        ("The answer is C.", "C", "C"),
        ("The answer: C", "C", "C"),
        ("Best answer: C", "B", "B"),
        ("The best option is C", "C", "C"),
        ("Based on the video, the answer is C.", "B", "B"),
        ("A man is cooking so C", "A", "A"),
        ("c", None, None),
        ("", None, None),
        ("one two three four five six seven eight nine ten eleven", None, None),
    ],
)
def test_video_mme_official_takes_the_first_capital_letter(reply, latest, first):
    assert official.video_mme(reply) == latest
    assert official.video_mme(reply, first_revision=True) == first


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("The answer is C.", "T"), ("Answer: C", "A"), ("(C) foo", "C"), ("C. foo", "C"), ("C", "C"), ("", "")],
)
def test_lvbench_cleaning_helper(reply, letter):
    assert official.lvbench_polished(reply) == letter


@pytest.mark.parametrize(
    ("reply", "hit"),
    [
        ("B) foo", True),
        ("(B) foo", True),
        ("B", True),
        ("The answer is (B)", True),
        ("B.", False),
        (" B", False),
        ("b", False),
    ],
)
def test_mlvu_official_reads_before_the_first_bracket_or_all(reply, hit):
    assert (official.mlvu(reply) == "B") is hit


def test_videohallucer_official_lets_a_reply_with_both_words_hit_both():
    assert official.videohallucer("Yes, there is no dog", "yes")
    assert official.videohallucer("Yes, there is no dog", "no")
    assert not official.videohallucer("nothing of note", "no")


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("B. because", "B"),
        ("The answer is C.", "C"),
        ("The answer is C. The answer is D.", None),
        ("(A)", None),
    ],
)
def test_scienceqa_official(reply, letter):
    assert official.scienceqa(reply) == letter
