"""Questions about a film, and the words that tell it.

Every question has one right answer, drawn uniformly from its category by the way films are
made. A question names a thing by what is unique about it (`the star` only when there is one).
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dynfocus.world.films import ACTIONS, COLORS, NUMBERS, PLACES, SHAPES, SIDES, TURNS, Film, Scene


@dataclass(frozen=True)
class QA:
    """A question with its answer, the category the answer is from, and the scenes one must see."""

    kind: str
    text: str
    answer: str
    category: tuple[str, ...]
    scenes: tuple[int, ...]

    def options(self, rng: random.Random, count: int = 4) -> list[str]:
        """`count` different options in random order, the answer among them (fewer in a small category)."""
        wrong = rng.sample([word for word in self.category if word != self.answer], min(count, len(self.category)) - 1)
        options = [self.answer, *wrong]
        rng.shuffle(options)
        return options


def where_in(film: Film, scene: Scene) -> str:
    """Words that single out a scene; none are needed in a film of one."""
    return f" in the {scene.place}" if len(film.scenes) > 1 else ""


def unique_scenes(film: Film) -> Iterator[tuple[int, Scene]]:
    """(index, scene) of the scenes whose place no other scene shares."""
    counts = Counter(scene.place for scene in film.scenes)
    return ((index, scene) for index, scene in enumerate(film.scenes) if counts[scene.place] == 1)


def ask_actor(film: Film) -> Iterator[QA]:
    """The sketch: colour and shape of the big thing."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        yield QA("actor_color", f"what color is the big thing{where}?", scene.actor.color, COLORS, (index,))
        yield QA("actor_shape", f"what shape is the big thing{where}?", scene.actor.shape, SHAPES, (index,))


def ask_action(film: Film) -> Iterator[QA]:
    """What the big thing does: its one action, the first and last of two, the one done twice and the one done once."""
    for index, scene in unique_scenes(film):
        where, does, asked = where_in(film, scene), "what does the big thing do", []
        if scene.plot == "plain":
            asked = [("action", does, scene.actions[0])]
        elif scene.plot == "order":
            asked = [("sequence", f"{does} {word}", scene.actions[at]) for word, at in (("first", 0), ("last", -1))]
        elif scene.plot == "twice":
            times = Counter(scene.actions)
            asked = [("twice", f"{does} {('once', 'twice')[number - 1]}", action) for action, number in times.items()]
        yield from (QA(kind, f"{text}{where}?", answer, ACTIONS, (index,)) for kind, text, answer in asked)


def ask_detail(film: Film) -> Iterator[QA]:
    """The detail: one small thing alone, or one of several told apart by its other attribute."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        if len(scene.things) == 1:
            thing = scene.things[0]
            yield QA("color", f"what color is the small thing{where}?", thing.color, COLORS, (index,))
            yield QA("shape", f"what shape is the small thing{where}?", thing.shape, SHAPES, (index,))
            continue
        colors = Counter(thing.color for thing in scene.things)
        for thing in scene.things:
            yield QA("color_of", f"what color is the small {thing.shape}{where}?", thing.color, COLORS, (index,))
            if colors[thing.color] == 1:
                yield QA(
                    "shape_of", f"what shape is the small {thing.color} thing{where}?", thing.shape, SHAPES, (index,)
                )


def ask_space(film: Film) -> Iterator[QA]:
    """How small things and the big thing stand to each other."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        for thing in scene.things:
            yield QA("side", f"on which side is the small {thing.shape}{where}?", thing.side, SIDES, (index,))
            yield QA("relation", f"what is on the {thing.side} of the big thing{where}?", thing.shape, SHAPES, (index,))


def ask_scene(film: Film) -> Iterator[QA]:
    """How many small things there are, whether they come before or after what the big thing does, and the place."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        number = NUMBERS[len(scene.things) - 1]
        yield QA("count", f"how many small things appear{where}?", number, NUMBERS, (index,))
        for event in scene.events:
            if event.action and scene.actions.count(event.action) == 1:
                turn = TURNS[scene.show.start > event.start]
                text = f"do small things appear before or after the big thing {event.action}{where}?"
                yield QA("moment", text, turn, TURNS, (index,))
        if not where:
            yield QA("place", "where does this happen?", scene.place, PLACES, (index,))


def ask_order(film: Film) -> Iterator[QA]:
    """What follows what, in a film of several scenes."""
    if len(film.scenes) > 1:
        places = [scene.place for scene in film.scenes]
        yield QA("first", "which place comes first?", places[0], PLACES, (0,))
        yield QA("last", "which place comes last?", places[-1], PLACES, (len(places) - 1,))
        for index, (before, after) in enumerate(itertools.pairwise(places)):
            if places.count(before) == 1:
                others = tuple(place for place in PLACES if place != before)
                yield QA("order", f"which place comes after the {before}?", after, others, (index, index + 1))


ASKERS = (ask_actor, ask_action, ask_detail, ask_space, ask_scene, ask_order)
KINDS = (
    "actor_color",
    "actor_shape",
    "action",
    "sequence",
    "twice",
    "color",
    "shape",
    "color_of",
    "shape_of",
    "side",
    "relation",
    "count",
    "moment",
    "place",
    "first",
    "last",
    "order",
)


def every_question(film: Film, kinds: tuple[str, ...] = KINDS) -> list[QA]:
    """Every question of the given kinds that the film allows, in a shuffled order fixed by the film's seed."""
    questions = [qa for asker in ASKERS for qa in asker(film) if qa.kind in kinds]
    random.Random(f"ask-{film.seed}").shuffle(questions)
    return questions


def ask(film: Film, kinds: tuple[str, ...] = KINDS) -> list[QA]:
    """One question of each kind about each scene, so that no kind outweighs the others; shuffled likewise."""
    chosen = {(qa.kind, qa.scenes): qa for qa in every_question(film, kinds)}
    return list(chosen.values())


def ask_mixed(films: list[Film], count: int, mix: Mapping[str, int]) -> list[list[QA]]:
    """`count` questions about each film, so that over all films the kinds come in the shares of `mix`.

    Each question is of the kind that lags most behind its share among those that its film has left. How many things
    there are is asked by turns instead: how much else there is to ask depends on it, and so would the answer.
    """
    asked: Counter[str] = Counter()
    total, chosen = sum(mix.values()), []
    turns = count * mix.get("count", 0)
    for number, film in enumerate(films):
        pool = every_question(film, tuple(mix))
        due = (number + 1) * turns // total - number * turns // total
        picked = [qa for qa in pool if qa.kind == "count"][:due]
        left = [qa for qa in pool if qa.kind != "count"]
        asked["count"] += len(picked)
        while left and len(picked) < count:
            size = asked.total() + 1
            qa = max(left, key=lambda qa: mix[qa.kind] * size - asked[qa.kind] * total)
            left.remove(qa)
            picked.append(qa)
            asked[qa.kind] += 1
        random.Random(f"mix-{film.seed}").shuffle(picked)
        chosen.append(picked)
    return chosen


def told(scene: Scene) -> list[str]:
    """What happens in a scene, one text an event, in order of time; nearly every word of it has to be seen."""
    return [
        ", ".join(([event.action] if event.action else []) + [f"{thing.side} {thing.name}" for thing in event.things])
        for event in scene.events
        if not event.card
    ]


def describe_scene(scene: Scene) -> str:
    """Dense caption of a scene."""
    return f"{scene.place}. {scene.actor.name} {' then '.join(told(scene))}."


def describe_still(scene: Scene) -> str:
    """Dense caption of the frame that shows a scene's small things."""
    return (
        f"{scene.place}. {scene.actor.name}, {', '.join(f'{thing.side} {thing.name}' for thing in scene.show.things)}."
    )


def describe(film: Film) -> str:
    """Dense caption of a film."""
    return " ".join(describe_scene(scene) for scene in film.scenes)
