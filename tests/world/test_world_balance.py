"""Who reads only the questions of the mini world stays at chance."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict

import pytest
from world_files import with_world, write_annotations

from dynfocus.datasets import load_records, rounds
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.world.benchmark_sets import ACTIVITYNET_MIX, MSVD_MIX
from dynfocus.world.films import ACTIONS, COLORS, PLACES, SHAPES, SIDES, make_film
from dynfocus.world.questions import KINDS, ask, ask_mixed
from dynfocus.world.text import LETTERS

FILMS = 400
SIGMAS = 4.5
"""How far above chance the best of the constant guesses may lie, in standard deviations of one of them."""
CHOICE_SETS = ("video_mme", "lvbench", "mlvu", "mlvu_test")
YES_NO_SETS = ("activitynet_qa", "videohallucer")


@pytest.fixture(scope="module")
def many(mini_config, tmp_path_factory):
    """The folder of the benchmarks and of two training sets, with many films each."""
    folder = tmp_path_factory.mktemp("many")
    config = with_world(mini_config, test_films=FILMS, train_films=FILMS, extra_films=FILMS, train_images=FILMS)
    write_annotations(config, folder, ("msvd_qa", *CHOICE_SETS, *YES_NO_SETS, "nextqa", "scienceqa"))
    return folder


def highest_fair_share(chance: float, count: int) -> float:
    """Share that a guess of that chance may reach on `count` questions."""
    return chance + SIGMAS * math.sqrt(chance * (1 - chance) / count)


def stem(text: str) -> str:
    """A question without the words that differ from film to film."""
    return re.sub(rf"\b({'|'.join((*COLORS, *SHAPES, *PLACES, *SIDES, *ACTIONS))})\b", "_", text)


def assert_near_chance(answers: dict[object, list[tuple[str, int]]]) -> None:
    """The most frequent of the answers (answer, number of possible ones) of every group is a fair guess."""
    tested = 0
    for group, pairs in answers.items():
        chance = sum(1 / possible for _, possible in pairs) / len(pairs)
        answer, count = Counter(answer for answer, _ in pairs).most_common(1)[0]
        if len(pairs) >= 50:
            tested += 1
            assert count / len(pairs) <= highest_fair_share(chance, len(pairs)), (group, answer, count, len(pairs))
    assert tested


@pytest.mark.parametrize("scenes", [1, 2, 4])
def test_no_answer_of_an_open_question_is_a_good_guess(scenes):
    by_kind, by_text = defaultdict(list), defaultdict(list)
    for seed in range(FILMS):
        for qa in ask(make_film(seed, scenes)):
            assert qa.answer in qa.category
            by_kind[qa.kind].append((qa.answer, len(qa.category)))
            by_text[qa.text].append((qa.answer, len(qa.category)))
    assert set(by_kind) >= set(KINDS) - ({"first", "last", "order"} if scenes == 1 else {"place"})
    assert_near_chance(by_kind)
    assert_near_chance(by_text)


def test_no_answer_of_a_mixed_set_is_a_good_guess(many):
    kinds = {row["question_id"]: row["type"] for row in json.loads((many / "msvd_qa" / "test_a.json").read_text())}
    possible = {qa.kind: len(qa.category) for seed in range(50) for qa in ask(make_film(seed))}
    answers = defaultdict(list)
    for question in load_questions(benchmark("msvd_qa"), many):
        kind = kinds[question.question_id]
        answers[kind].append((question.gold, possible[kind]))
        answers[stem(question.text)].append((question.gold, possible[kind]))
    assert_near_chance(answers)


@pytest.mark.parametrize("mix", [MSVD_MIX, ACTIVITYNET_MIX])
def test_a_mix_has_its_shares_as_far_as_films_allow(mix):
    films = [make_film(seed) for seed in range(FILMS)]
    asked = ask_mixed(films, 8, mix)
    assert all(len(questions) == 8 == len({qa.text for qa in questions}) for questions in asked)
    counts = Counter(qa.kind for questions in asked for qa in questions)
    short = sum(max(0, mix[kind] / sum(mix.values()) - counts[kind] / (8 * FILMS)) for kind in mix)
    assert short < 0.4 and counts.keys() >= set(mix) - {"first", "last", "order"}
    assert ask_mixed(films, 3, {"place": 1}) == [[qa for qa in ask(film) if qa.kind == "place"] for film in films]


@pytest.mark.parametrize("name", CHOICE_SETS)
def test_no_letter_is_a_good_guess_whatever_the_question(name, many):
    questions = [question for question in load_questions(benchmark(name), many) if question.options]
    letters = defaultdict(list)
    for question in questions:
        letters[stem(question.encoder_prompt)].append((question.gold, len(question.options)))
        letters["any"].append((question.gold, len(question.options)))
    assert_near_chance(letters)


@pytest.mark.parametrize("name", CHOICE_SETS)
def test_no_option_is_right_more_often_than_another(name, many):
    right = defaultdict(list)
    for question in load_questions(benchmark(name), many):
        for letter, option in zip(LETTERS, question.options or (), strict=False):
            word = option.removeprefix(f"{letter}. ")
            right[stem(question.encoder_prompt), word].append((letter == question.gold, len(question.options)))
    tested = 0
    for group, pairs in right.items():
        chance = sum(1 / possible for _, possible in pairs) / len(pairs)
        share = sum(hit for hit, _ in pairs) / len(pairs)
        if len(pairs) >= 50:
            tested += 1
            assert share <= highest_fair_share(chance, len(pairs)), (group, share, len(pairs))
    assert tested


@pytest.mark.parametrize("name", CHOICE_SETS)
def test_no_option_is_already_named_by_its_question(name, many):
    for question in load_questions(benchmark(name), many):
        if question.options and "comes after" in question.encoder_prompt:
            before = question.encoder_prompt.rstrip("?").split()[-1]
            assert before not in " ".join(question.options).split(), question


@pytest.mark.parametrize("name", YES_NO_SETS)
def test_yes_and_no_are_equally_likely_whatever_is_claimed(name, many):
    answers = defaultdict(list)
    for question in load_questions(benchmark(name), many):
        if question.gold in ("yes", "no"):
            text, _, claim = question.encoder_prompt.partition(" is it ")
            answers["any"].append((question.gold, 2))
            answers[stem(text)].append((question.gold, 2))
            answers[claim].append((question.gold, 2))
    assert_near_chance(answers)


@pytest.mark.parametrize("name", ["nextqa", "scienceqa"])
def test_letters_of_the_instruction_sets_are_balanced(name, many):
    pairs = [pair for record in load_records(name, many / name) for pair in rounds(record)]
    chosen = [
        (answer, len(re.findall(r"^[A-F]\. ", question, re.MULTILINE)))
        for question, answer in pairs
        if "\nA. " in question
    ]
    assert len(chosen) == len(pairs)
    assert_near_chance({"any": chosen})
