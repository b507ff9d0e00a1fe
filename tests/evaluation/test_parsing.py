"""What is read out of replies: the project's own reading, and the official scripts with their faults."""

from __future__ import annotations

import pytest

from dynfocus.evaluation import parsing

COLOURS = ("a red ball", "a blue box", "a green cone", "a white cup")
SIX = ("Fire", "Flood", "Fight", "Fall", "Fraud", "Fog")

REPLIES = [
    # the letter alone
    ("C", "C"),
    ("c", "C"),
    (" B ", "B"),
    ("B.", "B"),
    ("B)", "B"),
    ("(B)", "B"),
    ("( d )", "D"),
    ("[A]", "A"),
    ("A:", "A"),
    ("**C**", "C"),
    ("**C.**", "C"),
    ("`D`", "D"),
    ('"A"', "A"),
    ("Option B", "B"),
    ("option c.", "C"),
    ("Answer: D", "D"),
    ("\\boxed{B}", "B"),
    ("$\\boxed{\\text{C}}$", "C"),
    ("<answer>A</answer>", "A"),
    # the letter first
    ("B. a blue box", "B"),
    ("B) a blue box", "B"),
    ("(B) a blue box", "B"),
    ("b. a blue box", "B"),
    ("C: a green cone", "C"),
    ("C, since it is green.", "C"),
    ("D - a white cup", "D"),
    ("A\nThe ball is red.", "A"),
    ("A. The red ball. Options (B) and (C) are not shown.", "A"),
    ("B because the box is blue", "B"),
    ("A is correct because the ball is red.", "A"),
    ("(A) a red ball is seen, so not (B).", "A"),
    # a statement
    ("The answer is C.", "C"),
    ("The answer is (C) a green cone.", "C"),
    ("The correct answer is B.", "B"),
    ("The best answer is: D", "D"),
    ("The best option is A", "A"),
    ("Best answer: C", "C"),
    ("Best option: (B", "B"),
    ("Best Option: (D)", "D"),
    ("The answer is option A.", "A"),
    ("The correct option is: **D**.", "D"),
    ("Answer: b", "B"),
    ("ANSWER: C", "C"),
    ("Based on the video, the answer is C.", "C"),
    ("Based on the video, the correct answer is most likely B, a blue box.", "B"),
    ("The answer is A because the ball is red.", "A"),
    ("The answer is D because of the cup.", "D"),
    ("The answer is A. No, wait: the answer is B.", "B"),
    ("(A) a red ball (B) a blue box (C) a green cone (D) a white cup. The answer is D.", "D"),
    ("After watching carefully, the right choice is (c).", "C"),
    ("The object is a cup. Therefore, the answer is D", "D"),
    ("Option C is correct.", "C"),
    ("I believe (B) is the correct one.", "B"),
    # a choice in the text
    ("I would choose C.", "C"),
    ("I'd go with option D.", "D"),
    ("It's B.", "B"),
    ("A man is cooking so C", "C"),
    ("The video shows a ball (A).", "A"),
    # the option's text
    ("a blue box", "B"),
    ("The video shows a green cone on a table.", "C"),
    ("A red ball.", "A"),
    ("It is a White Cup!", "D"),
    # nothing, or more than one meaning
    ("", None),
    ("A man is cooking.", None),
    ("I cannot tell from the video.", None),
    ("Both A and B", None),
    ("(A) or (B)", None),
    ("A red ball and a blue box.", None),
    ("E", None),
    ("The answer is E.", None),
    ("(A) a red ball (B) a blue box (C) a green cone (D) a white cup", None),
    ("Not B.", None),
    ("The answer is not A. It is C.", "C"),
    ("Dogs are seen.", None),
    ("Based on the video, it is unclear.", None),
]


def test_the_table_has_at_least_sixty_replies():
    assert len({reply for reply, _ in REPLIES}) >= 60


@pytest.mark.parametrize(("reply", "letter"), REPLIES)
def test_option_letter(reply, letter):
    assert parsing.option_letter(reply, COLOURS) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("F", "F"),
        ("(E) Fraud", "E"),
        ("The answer is F.", "F"),
        ("Best Option: (E)", "E"),
        ("Fog", "F"),
        ("Floods", None),
    ],
)
def test_letters_reach_f_where_there_are_six_options(reply, letter):
    assert parsing.option_letter(reply, SIX) == letter


def test_an_option_inside_a_longer_named_option_does_not_count():
    assert parsing.option_letter("It is a red ball", ("red", "a red ball", "a ball", "blue")) == "B"


def test_equal_options_named_by_text_are_ambiguous():
    assert parsing.option_letter("blue", ("blue", "red", "blue", "green")) is None


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
        ("yes or no", "yes"),
        ("It could be yes or no", None),
        ("I know nothing", None),
        ("", None),
    ],
)
def test_yes_no(reply, word):
    assert parsing.yes_no(reply) == word


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("C", "C"),
        ("(C) x", "C"),
        ("Answer: C", "A"),
        ("The answer is C.", "C"),
        ("The answer: C", "C"),
        ("Best answer: C", "B"),
        ("The best option is C", "C"),
        ("Based on the video, the answer is C.", "B"),
        ("A man is cooking so C", "A"),
        ("c", None),
        ("", None),
        ("one two three four five six seven eight nine ten eleven", None),
    ],
)
def test_video_mme_official_takes_the_first_capital_letter(reply, letter):
    assert parsing.video_mme_official(reply) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("The answer is C.", "T"), ("Answer: C", "A"), ("(C) foo", "C"), ("C. foo", "C"), ("C", "C"), ("", "")],
)
def test_lvbench_cleaning_helper(reply, letter):
    assert parsing.lvbench_polished(reply) == letter


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
    assert (parsing.mlvu_official(reply) == "B") is hit


def test_videohallucer_official_lets_a_reply_with_both_words_hit_both():
    assert parsing.videohallucer_official("Yes, there is no dog", "yes")
    assert parsing.videohallucer_official("Yes, there is no dog", "no")
    assert not parsing.videohallucer_official("nothing of note", "no")


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
    assert parsing.scienceqa_official(reply) == letter
