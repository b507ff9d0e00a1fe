"""Text of the mini world: what a language model reads before it ever sees a film.

The mini LLM learns to answer questions about a *sketchbook*: a row of bags of words, one bag for
each thing that an ideal visual encoder would notice, beat by beat. A bag enters the LLM as
the sum of its words' embeddings, as a visual token stands for several words at once. So the LLM
has learnt to read before stage 1, which then only has to speak the language of the bags.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dynfocus.datasets.records import IMAGE_TOKEN
from dynfocus.evaluation.benchmarks import lvbench, mlvu, video_mme, videohallucer
from dynfocus.prompts import SYSTEM, Rendered
from dynfocus.world.films import CARD, Film, Scene, make_clip, make_film
from dynfocus.world.questions import KINDS, QA, describe, every_question

DESCRIBE_PROMPTS = (
    "Describe the video.",
    "What happens in the video?",
    "Give a detailed description of the video.",
    "Tell what can be seen in this clip.",
)
LETTERS = "ABCDEF"
END = "</s>"
CAPTION_SHARE, CLIP_SHARE = 0.25, 0.8
"""Share of the lessons that are captions, and of these that tell a clip."""
SEEN_SHARE = 0.6
"""Share of the idle beats, and of the later beats of an event, that a sketch has."""
RICH_SHARE = 0.3
"""Share of the idle beats of a sketch that have as much as those of an event."""
PATCHES, CLIP_PATCHES = (1, 3, 8, 20), (2, 8, 20, 36)
"""Patches of the place at most, in a full beat of a film and of a clip: methods differ in how much of it they keep."""
BINDING_KINDS = ("color_of", "shape_of", "side", "relation")
"""Kinds of question that need to know which words go together."""

Bag = tuple[str, ...]
Round = tuple[str, str]


@dataclass(frozen=True)
class Lesson:
    """Text in the form of a training stage, with what is seen in place of its one media token.

    `kinds` names what each round of a talk asks, after a slash the style where there are several.
    """

    bags: list[Bag]
    rendered: Rendered
    kinds: tuple[str, ...] = ()


def video_mme_prompt(question: str, options: list[str]) -> str:
    """A choice as Video-MME asks it."""
    return "\n".join((video_mme.PROMPT, question, *marked(options, "{}. {}"), video_mme.TAIL))


def lvbench_prompt(question: str, options: list[str]) -> str:
    """A choice as LVBench asks it."""
    return "\n".join((question, *marked(options, "({}) {}"), lvbench.PROMPT))


def mlvu_prompt(question: str, options: list[str]) -> str:
    """A choice as MLVU asks it."""
    return mlvu.choice_prompt(question, options)


def marked(options: list[str], form: str) -> list[str]:
    """Option lines, each with its letter."""
    return [form.format(letter, option) for letter, option in zip(LETTERS, options, strict=False)]


CHOICE_PROMPTS = {video_mme_prompt: (4,), lvbench_prompt: (4,), mlvu_prompt: (4, 4, 6)}
"""The ways to ask a choice, and how many options each has."""


def open_round(qa: QA, rng: random.Random) -> Round:
    """(question, answer) as it stands."""
    return qa.text, qa.answer


def choice_round(qa: QA, rng: random.Random) -> Round:
    """(prompt, option) of a question turned into multiple choice, as one of the benchmarks asks it.

    The reply is the option's text: a model of this size does not learn to name letters in minutes (docs/mini_world.md
    has the measurements), and readers of replies take the text of an option for the option.
    """
    prompt = rng.choice(list(CHOICE_PROMPTS))
    return prompt(qa.text, qa.options(rng, rng.choice(CHOICE_PROMPTS[prompt]))), qa.answer


def yes_no_round(qa: QA, rng: random.Random) -> Round:
    """(prompt, yes or no), each half of the time, asking whether the answer is a given word."""
    truth = rng.random() < 0.5
    word = qa.answer if truth else rng.choice([word for word in qa.category if word != qa.answer])
    text = f"{qa.text} is it {word}"
    return f"{text}?\n{videohallucer.PROMPT}" if rng.random() < 0.5 else text, "yes" if truth else "no"


def describe_round(film: Film, rng: random.Random) -> Round:
    """(request, dense caption)."""
    return rng.choice(DESCRIBE_PROMPTS), describe(film)


def bag_of_actor(scene: Scene, action: str | None) -> Bag:
    """What can be seen of the actor; while it blinks, that it blinks."""
    if action == "blinks":
        return (scene.place, "big", action)
    return (scene.place, "big", scene.actor.color, scene.actor.shape, *((action,) if action else ()))


def sketch_beat(scene: Scene, beat: int, most: int, rng: random.Random) -> list[Bag]:
    """What there is to notice at a beat, in any order: small things once or twice among what repeats.

    `most`: patches of the place that a full beat has at most. An idle beat may be down to a bag or two, as a rod is.
    """
    event = scene.at(beat)
    if event and event.card:
        return [(CARD,)] * rng.randint(1, 2 + most // 2)
    rich = event is not None or rng.random() < RICH_SHARE
    seen = [bag_of_actor(scene, event.action if event else None)] * rng.randint(1, 5 if rich else 1)
    for thing in event.things if event else ():
        seen += [(scene.place, "small", thing.color, thing.shape, thing.side)] * rng.randint(1, 2)
    seen += [(scene.place,)] * rng.randint(most // 2 if rich else 0, most if rich else 1)
    rng.shuffle(seen)
    return seen


def sketch(film: Film, rng: random.Random) -> list[Bag]:
    """A film as bags of words, beat by beat; some idle beats and some of the second beats of events are left out."""
    bags: list[Bag] = []
    most = rng.choice(CLIP_PATCHES if film.scenes[0].plot == "clip" else PATCHES)
    for scene in film.scenes:
        for beat in range(scene.beats):
            event = scene.at(beat)
            if (event and event.start == beat) or rng.random() < SEEN_SHARE:
                bags += sketch_beat(scene, beat, most, rng)
    return bags


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


STYLES = {"open": open_round, "choice": choice_round, "yes_no": yes_no_round}


def primer(seed: int, kinds: tuple[str, ...] = KINDS, rounds: int = 14) -> Lesson:
    """An easy lesson: the sketch of one scene and many open questions of some kinds."""
    rng = random.Random(f"primer-{seed}")
    film = make_film(seed)
    asked = every_question(film, kinds)[:rounds]
    rendered = chat("", [open_round(qa, rng) for qa in asked])
    return Lesson(sketch(film, rng), rendered, tuple(qa.kind for qa in asked))


def drill(seed: int) -> Lesson:
    """A primer on which words go together, among several things."""
    return primer(seed, BINDING_KINDS)


def reading_lesson(seed: int, rounds: int = 6) -> Lesson:
    """A lesson as the training stages have it: a caption, or a talk of questions in all styles."""
    rng = random.Random(f"lesson-{seed}")
    if rng.random() < CAPTION_SHARE:
        film = make_clip(seed) if rng.random() < CLIP_SHARE else make_film(seed)
        return Lesson(sketch(film, rng), caption(film))
    film = make_film(seed, rng.choice((1, 1, 1, 2)))
    styles = ["open", "open", "open", "choice", "choice", "yes_no"][:rounds]
    rng.shuffle(styles)
    asked = list(zip(styles, every_question(film), strict=False))
    pairs = [STYLES[style](qa, rng) for style, qa in asked]
    kinds = tuple(f"{qa.kind}/{style}" for style, qa in asked)
    return Lesson(sketch(film, rng), chat(f"{SYSTEM} ", pairs), kinds)
