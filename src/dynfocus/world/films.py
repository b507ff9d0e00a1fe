"""Short films with known ground truth: what is on screen, when, and what it does.

A film is a row of *scenes*. A scene has a place and one big *actor* that idles through it, frame after frame alike.
Now and then it acts; once a handful of small *things* appear around it; and now and then a *card* interrupts the film,
a full frame of bars that tells nothing. Cards mislead: each is unlike all other frames and holds no answer. So most
frames repeat each other, the sketch of a film (places, actors) is in nearly any of them, and its details (the small
things, the actions, what comes first) are in few, which have to be told from the cards.

Everything is drawn uniformly and independently, so a question's answer cannot be guessed from its words: a blind
guesser stays at chance. `docs/mini_world.md` gives the reasons.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
PLACES = ("beach", "forest", "street", "desert", "snow", "cave")
ACTIONS = ("jumps", "grows", "blinks", "rolls")
NUMBERS = ("one", "two", "three", "four")
SIDES = ("left", "right", "top", "bottom")
"""Sides of the frame, seen from the actor in the centre."""
TURNS = ("before", "after")
CARD = "card"

BEAT_SECONDS = 2
"""Seconds of a beat, the unit of a film's time: one frame at the 0.5 frames a second of the mini profile."""
SCENE_BEATS = 12
"""Beats of a scene at stretch 1; a longer one has more idle time and cards, never more events."""
EVENT_BEATS, CLIP_BEATS = 2, 2
CARDS = 2
"""Cards of a scene, of one beat each, at stretch 1."""
BOARD = 8
"""Things stand in the middle of the cells of a BOARD × BOARD lattice over the frame."""
CELLS = {
    "left": ((2, 0), (5, 0)),
    "right": ((2, 7), (5, 7)),
    "top": ((0, 2), (0, 5)),
    "bottom": ((7, 2), (7, 5)),
}
"""Cells of small things by the side of the actor that they are on; none is on two sides."""

Plot = Literal["plain", "order", "twice", "clip"]
PLOTS: tuple[Plot, ...] = ("plain", "order", "twice")
"""What happens in a scene of a film: one action, two different ones, or three of which two are alike."""


@dataclass(frozen=True)
class Thing:
    """Something coloured with a shape; `big` things are actors in the centre, others stand in a `cell` on a `side`."""

    color: str
    shape: str
    big: bool
    cell: tuple[int, int] | None = None
    side: str = ""

    @property
    def name(self) -> str:
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Event:
    """Beats `start` to `stop` of a scene: the actor acts, or things are in view, or both; or a card interrupts."""

    start: int
    stop: int
    action: str | None = None
    things: tuple[Thing, ...] = ()
    card: bool = False

    @property
    def beats(self) -> range:
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Scene:
    """Some beats in one place, with their events in order of time; between them the actor idles."""

    place: str
    actor: Thing
    plot: Plot
    events: tuple[Event, ...]
    beats: int

    @property
    def actions(self) -> tuple[str, ...]:
        """What the actor does, in order of time."""
        return tuple(event.action for event in self.events if event.action)

    @property
    def things(self) -> tuple[Thing, ...]:
        """All small things, in order of appearance."""
        return tuple(thing for event in self.events for thing in event.things)

    @property
    def show(self) -> Event:
        """The first event with small things in view."""
        return next(event for event in self.events if event.things)

    def at(self, beat: int) -> Event | None:
        """The event at a beat; None while the actor idles."""
        return next((event for event in self.events if beat in event.beats), None)


@dataclass(frozen=True)
class Film:
    """Scenes one after the other; `seed` fixes what is not said here, such as textures."""

    seed: int
    scenes: tuple[Scene, ...]

    @property
    def beats(self) -> int:
        return sum(scene.beats for scene in self.scenes)

    @property
    def seconds(self) -> int:
        return self.beats * BEAT_SECONDS


def draw_things(rng: random.Random, shapes: list[str]) -> tuple[Thing, ...]:
    """Small things of the given shapes, each on a side of its own, in the order of `SIDES`."""
    sides = sorted(rng.sample(SIDES, len(shapes)), key=SIDES.index)
    return tuple(
        Thing(rng.choice(COLORS), shape, False, rng.choice(CELLS[side]), side)
        for shape, side in zip(shapes, sides, strict=True)
    )


def draw_actions(rng: random.Random, plot: Plot) -> list[str]:
    """The actions of a plot in their order."""
    one, other = rng.sample(ACTIONS, 2)
    if plot == "plain":
        return [one]
    if plot == "order":
        return [one, other]
    actions = [one, one]
    actions.insert(rng.randrange(3), other)
    return actions


def make_scene(rng: random.Random, place: str, stretch: int) -> Scene:
    """A scene of a film: its actions and its small things at different times, cards and idle beats between them."""
    plot, shapes = rng.choice(PLOTS), rng.sample(SHAPES, rng.randint(1, len(NUMBERS)) + 1)
    actor = Thing(rng.choice(COLORS), shapes[0], True)
    parts: list[Event] = [Event(0, EVENT_BEATS, action) for action in draw_actions(rng, plot)]
    parts.insert(rng.randrange(len(parts) + 1), Event(0, EVENT_BEATS, None, draw_things(rng, shapes[1:])))
    for _ in range(CARDS * stretch):
        parts.insert(rng.randrange(len(parts) + 1), Event(0, 1, card=True))
    beats = SCENE_BEATS * stretch
    idle = beats - sum(part.stop for part in parts)
    cuts = sorted(rng.randint(0, idle) for _ in parts)
    events, busy = [], 0
    for part, cut in zip(parts, cuts, strict=True):
        events.append(Event(cut + busy, cut + busy + part.stop, part.action, part.things, part.card))
        busy += part.stop
    return Scene(place, actor, plot, tuple(events), beats)


def make_film(seed: int, scenes: int = 1, stretch: int = 1) -> Film:
    """The film of a seed. Shapes are distinct within a scene; places are distinct in a film while they last."""
    rng = random.Random(f"film-{seed}")
    places = [place for _ in range(-(-scenes // len(PLACES))) for place in rng.sample(PLACES, len(PLACES))]
    return Film(seed, tuple(make_scene(rng, place, stretch) for place in places[:scenes]))


def make_clip(seed: int) -> Film:
    """The clip of a seed: two beats without idle time, in each of which the actor acts among small things."""
    rng = random.Random(f"clip-{seed}")
    first, second = rng.randint(1, len(NUMBERS)), rng.randint(1, len(NUMBERS) - 1)
    shapes = rng.sample(SHAPES, 1 + first + second)
    groups = (shapes[1 : 1 + first], shapes[1 + first :])
    actor = Thing(rng.choice(COLORS), shapes[0], True)
    events = tuple(
        Event(beat, beat + 1, action, draw_things(rng, group))
        for beat, (action, group) in enumerate(zip(rng.sample(ACTIONS, CLIP_BEATS), groups, strict=True))
    )
    return Film(seed, (Scene(rng.choice(PLACES), actor, "clip", events, CLIP_BEATS),))
