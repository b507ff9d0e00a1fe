"""Text of the mini world: what a language model reads before it ever sees a film.

The mini LLM learns to answer questions about a *sketchbook*: a row of bags of words, one bag for
each thing that an ideal visual encoder would notice, moment by moment. A bag enters the LLM as
the sum of its words' embeddings, as a visual token stands for several words at once. So the LLM
has learnt to read before stage 1, which then only has to speak the language of the bags.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dynfocus.datasets.records import IMAGE_TOKEN
from dynfocus.prompts import SYSTEM, Rendered
from dynfocus.world.films import MOMENTS, Film, Scene, make_film
from dynfocus.world.questions import KINDS, QA, describe, every_question

CHOICE_HEAD = (
    "Select the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)
CHOICE_TAIL = "The best answer is:"
YES_NO_TAIL = "Answer the question using 'yes' or 'no'."
DESCRIBE_PROMPTS = (
    "Describe the video.",
    "What happens in the video?",
    "Give a detailed description of the video.",
    "Tell what can be seen in this clip.",
)
LETTERS = "ABCDEF"
END = "</s>"
CAPTION_SHARE = 0.3
"""Share of the lessons that are captions."""
BINDING_KINDS = ("color_of", "shape_of")
"""Kinds of question that need to know which colour goes with which shape."""

Bag = tuple[str, ...]
Round = tuple[str, str]


@dataclass(frozen=True)
class Lesson:
    """Text in the form of a training stage, with what is seen in place of its one media token."""

    bags: list[Bag]
    rendered: Rendered


def choice_prompt(question: str, options: list[str]) -> str:
    """A multiple-choice question in the official form of Video-MME (no subtitles)."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([CHOICE_HEAD, question, *lines, CHOICE_TAIL])


def open_round(qa: QA, rng: random.Random) -> Round:
    """(question, answer) as it stands."""
    return qa.text, qa.answer


def choice_round(qa: QA, rng: random.Random) -> Round:
    """(prompt, option) of a question turned into multiple choice.

    The reply is the option's text: a model of this size does not learn to name letters in minutes, and readers of
    replies take the text of an option for the option.
    """
    return choice_prompt(qa.text, qa.options(rng)), qa.answer


def yes_no_round(qa: QA, rng: random.Random) -> Round:
    """(prompt, yes or no), each half of the time, asking whether the answer is a given word."""
    truth = rng.random() < 0.5
    word = qa.answer if truth else rng.choice([word for word in qa.category if word != qa.answer])
    return f"{qa.text} is it {word}?\n{YES_NO_TAIL}", "yes" if truth else "no"


def describe_round(film: Film, rng: random.Random) -> Round:
    """(request, dense caption)."""
    return rng.choice(DESCRIBE_PROMPTS), describe(film)


def bag_of_actor(scene: Scene, acts: bool) -> Bag:
    """What can be seen of the actor; while it blinks, that it blinks."""
    if not acts:
        return ("big", scene.actor.color, scene.actor.shape)
    return (
        ("big", scene.action)
        if scene.action == "blinks"
        else ("big", scene.actor.color, scene.actor.shape, scene.action)
    )


def sketch_moment(scene: Scene, moment: str, rng: random.Random) -> list[Bag]:
    """What there is to notice at a moment, in any order: small things once or twice among much that repeats."""
    seen = [bag_of_actor(scene, moment == scene.action_moment)] * rng.randint(1, 6)
    if moment == scene.show_moment:
        seen += [("small", thing.color, thing.shape) for thing in scene.things for _ in range(rng.randint(1, 2))]
    bags = [(scene.place, *bag) for bag in seen]
    bags += [(scene.place,)] * rng.randint(0, 14)
    rng.shuffle(bags)
    return bags


def sketch(film: Film, rng: random.Random) -> list[Bag]:
    """All moments of a film as bags of words."""
    return [bag for scene in film.scenes for moment in MOMENTS for bag in sketch_moment(scene, moment, rng)]


def chat(system: str, rounds: list[Round]) -> Rendered:
    """Rounds in the template of instruction tuning, the media token at the head of the first."""
    text, answers = system, []
    for number, (question, answer) in enumerate(rounds):
        text += f"USER: {question} ASSISTANT:" if number else f"USER: {IMAGE_TOKEN}\n{question} ASSISTANT:"
        answers.append((len(text), len(text) + len(f" {answer}{END}")))
        text += f" {answer}{END}"
    return Rendered(text, tuple(answers), ("",))


def caption(film: Film) -> Rendered:
    """A caption in the template of vision-language alignment."""
    text = f"{IMAGE_TOKEN}{describe(film)}\n"
    return Rendered(text, ((len(IMAGE_TOKEN), len(text)),), ("",))


def primer(seed: int, kinds: tuple[str, ...] = KINDS, rounds: int = 6) -> Lesson:
    """An easy lesson: the sketch of one scene and open questions of some kinds."""
    rng = random.Random(f"primer-{seed}")
    film = make_film(seed)
    return Lesson(sketch(film, rng), chat("", [open_round(qa, rng) for qa in every_question(film, kinds)[:rounds]]))


def drill(seed: int) -> Lesson:
    """A primer on what is hardest to learn: which colour goes with which shape, among several things."""
    return primer(seed, BINDING_KINDS)


def reading_lesson(seed: int, rounds: int = 6) -> Lesson:
    """A lesson as the training stages have it: a caption, or a talk of open questions, two of them in another style."""
    rng = random.Random(f"lesson-{seed}")
    film = make_film(seed, rng.choice((1, 1, 1, 2)))
    if rng.random() < CAPTION_SHARE:
        return Lesson(sketch(film, rng), caption(film))
    (second,) = rng.choices((choice_round, yes_no_round, None), weights=(4, 1, 1))
    styles = [choice_round, second, *[open_round] * (rounds - 2)]
    asked = zip(styles, every_question(film), strict=False)
    pairs = [style(qa, rng) if style else describe_round(film, rng) for style, qa in asked]
    rng.shuffle(pairs)
    return Lesson(sketch(film, rng), chat(f"{SYSTEM} ", pairs))
