"""Text of the mini world: what a language model reads before it ever sees a film.

A *transcript* tells a film in words, moment by moment, as an ideal visual encoder would. The
mini LLM learns to answer questions about transcripts, as a real LLM has learnt reading; the
alignment stage then only has to speak the transcript's language.
"""

from __future__ import annotations

import random

from dynfocus.world.films import MOMENTS, Film, Scene, make_film
from dynfocus.world.questions import QA, ask, describe

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


def transcript_scene(scene: Scene) -> list[str]:
    """The three moments of a scene in words."""
    lines = []
    for moment in MOMENTS:
        seen = [scene.place, f"big {scene.actor.name}"]
        if moment == scene.action_moment:
            seen[1] += f" {scene.action}"
        if moment == scene.show_moment:
            seen += [f"small {thing.name}" for thing in scene.things]
        lines.append(" ".join(seen) + ".")
    return lines


def transcript(film: Film) -> str:
    """All moments of a film in words."""
    return " ".join(line for scene in film.scenes for line in transcript_scene(scene))


def choice_prompt(question: str, options: list[str]) -> str:
    """A multiple-choice question in the official form of Video-MME (no subtitles)."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([CHOICE_HEAD, question, *lines, CHOICE_TAIL])


def choice_round(qa: QA, rng: random.Random) -> tuple[str, str]:
    """(prompt, letter) of a question turned into multiple choice."""
    options = qa.options(rng)
    return choice_prompt(qa.text, options), LETTERS[options.index(qa.answer)]


def yes_no_round(qa: QA, rng: random.Random) -> tuple[str, str]:
    """(prompt, yes or no), each half of the time, asking whether the answer is a given word."""
    truth = rng.random() < 0.5
    word = qa.answer if truth else rng.choice([word for word in qa.category if word != qa.answer])
    return f"{qa.text} is it {word}?\n{YES_NO_TAIL}", "yes" if truth else "no"


def open_round(qa: QA, rng: random.Random) -> tuple[str, str]:
    """(question, answer) as it stands."""
    return qa.text, qa.answer


ROUND_STYLES = (open_round, choice_round, yes_no_round)


def reading_lesson(seed: int, rounds: int = 6, scenes: int = 1) -> list[tuple[str, str]]:
    """(human, assistant) rounds about a transcript, which stands at the head of the first human turn."""
    rng = random.Random(f"lesson-{seed}")
    film = make_film(seed, scenes)
    pairs = [rng.choices(ROUND_STYLES, weights=(3, 2, 1))[0](qa, rng) for qa in ask(film)[: rounds - 1]]
    pairs.insert(rng.randrange(len(pairs) + 1), (rng.choice(DESCRIBE_PROMPTS), describe(film)))
    first_prompt, first_answer = pairs[0]
    return [(f"{transcript(film)}\n{first_prompt}", first_answer), *pairs[1:]]
