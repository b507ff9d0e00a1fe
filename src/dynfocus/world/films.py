"""Short films with known ground truth: what is on screen, when, and what it does.

A film is a row of *scenes*. A scene has a place and one big *actor* that idles through it; for
a few seconds the actor acts, and for a few others a handful of small *things* appear. A film's
`stretch` draws out the idle time between events, never the events. So most frames repeat each
other, the sketch of a film (places, actors) is in any of its frames, and its details (colours and
shapes of the small things, how many, when) are in very few.

Everything is drawn uniformly and independently, so a question's answer cannot be guessed from
its words: a blind guesser stays at chance.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
PLACES = ("beach", "forest", "street", "desert", "snow", "cave")
ACTIONS = ("jumps", "grows", "blinks", "rolls")
NUMBERS = ("one", "two", "three", "four")
MOMENTS = ("start", "middle", "end")

MOMENT_SECONDS = 4
"""Seconds of each moment of a scene at stretch 1; an event opens its moment, the rest is idle."""
EVENT_SECONDS = 3
BOARD = 8
"""Things stand in the middle of the cells of a BOARD × BOARD lattice over the frame."""
CELLS = tuple((row, column) for row in (0, 2, 5, 7) for column in (0, 2, 5, 7) if {row, column} & {0, 7})
"""Cells of small things: apart from each other and from the actor in the centre."""


@dataclass(frozen=True)
class Thing:
    """Something coloured with a shape; `big` things are actors and start in the centre, others stand in a `cell`."""

    color: str
    shape: str
    big: bool
    cell: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Three moments in one place: the actor acts at one of them, the things show up at another."""

    place: str
    actor: Thing
    action: str
    action_moment: str
    things: tuple[Thing, ...]
    show_moment: str


@dataclass(frozen=True)
class Film:
    """Scenes one after the other, their idle time `stretch`ed; `seed` fixes what is not said here, such as textures."""

    seed: int
    scenes: tuple[Scene, ...]
    stretch: int = 1

    @property
    def scene_seconds(self) -> int:
        return MOMENT_SECONDS * len(MOMENTS) * self.stretch

    @property
    def seconds(self) -> int:
        return self.scene_seconds * len(self.scenes)

    def event(self, moment: str) -> range:
        """Seconds of the event at a moment, from the beginning of its scene."""
        start = MOMENT_SECONDS * self.stretch * MOMENTS.index(moment)
        return range(start, start + EVENT_SECONDS)

    def things(self) -> list[Thing]:
        """All actors and things, in order of appearance."""
        return [thing for scene in self.scenes for thing in (scene.actor, *scene.things)]


def make_scene(rng: random.Random, place: str, shapes: list[str]) -> Scene:
    """A scene whose actor and things have the given shapes, first the actor's; 1 to 4 things."""
    actor = Thing(rng.choice(COLORS), shapes[0], True)
    cells = rng.sample(CELLS, len(shapes) - 1)
    things = tuple(Thing(rng.choice(COLORS), shape, False, cell) for shape, cell in zip(shapes[1:], cells, strict=True))
    action_moment, show_moment = rng.sample(MOMENTS, 2)
    return Scene(place, actor, rng.choice(ACTIONS), action_moment, things, show_moment)


def make_film(seed: int, scenes: int = 1, stretch: int = 1) -> Film:
    """The film of a seed, with the same scenes at any stretch.

    Shapes are distinct within a scene; places are distinct in a film while they last.
    """
    rng = random.Random(f"film-{seed}")
    places = [place for _ in range(-(-scenes // len(PLACES))) for place in rng.sample(PLACES, len(PLACES))]
    made = []
    for index in range(scenes):
        count = rng.randint(1, len(NUMBERS))
        made.append(make_scene(rng, places[index], rng.sample(SHAPES, count + 1)))
    return Film(seed, tuple(made), stretch)
