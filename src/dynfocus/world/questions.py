"""Questions about a film, and the words that tell it.

Every question has one right answer, drawn uniformly from its category by the way films are
made. A question names a thing by what is unique about it (`the star` only when there is one).
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dynfocus.world.films import ACTIONS, COLORS, MOMENTS, NUMBERS, PLACES, SHAPES, Film, Scene


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
    """The sketch: colour, shape and action of the big thing."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        yield QA("actor_color", f"what color is the big thing{where}?", scene.actor.color, COLORS, (index,))
        yield QA("actor_shape", f"what shape is the big thing{where}?", scene.actor.shape, SHAPES, (index,))
        yield QA("action", f"what does the big thing do{where}?", scene.action, ACTIONS, (index,))


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


def ask_scene(film: Film) -> Iterator[QA]:
    """How many small things there are, when they show up, and where all this is."""
    for index, scene in unique_scenes(film):
        where = where_in(film, scene)
        number = NUMBERS[len(scene.things) - 1]
        yield QA("count", f"how many small things appear{where}?", number, NUMBERS, (index,))
        if not where:
            yield QA("moment", "when do small things appear?", scene.show_moment, MOMENTS, (index,))
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


ASKERS = (ask_actor, ask_detail, ask_scene, ask_order)
KINDS = (
    "actor_color",
    "actor_shape",
    "action",
    "color",
    "shape",
    "color_of",
    "shape_of",
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


def listing(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def describe_scene(scene: Scene) -> str:
    """One dense sentence pair with everything that happens in a scene."""
    actor, things = scene.actor.name, listing([f"a {thing.name}" for thing in scene.things])
    verb = "appears" if len(scene.things) == 1 else "appear"
    return (
        f"in the {scene.place} a big {actor} {scene.action} at the {scene.action_moment}. "
        f"{things} {verb} at the {scene.show_moment}."
    )


def describe(film: Film) -> str:
    """Dense caption of a film."""
    return " then ".join(describe_scene(scene) for scene in film.scenes)
