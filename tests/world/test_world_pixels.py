"""What a film's questions ask about is really in its pixels, after encoding and decoding."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from dynfocus.features.decode import read_frames
from dynfocus.world.films import (
    ACTIONS,
    BEAT_SECONDS,
    BOARD,
    CARDS,
    CELLS,
    EVENT_BEATS,
    SCENE_BEATS,
    SIDES,
    Scene,
    make_clip,
    make_film,
)
from dynfocus.world.questions import ask, describe
from dynfocus.world.render import RGB, film_frames, show_frame, write_mp4
from dynfocus.world.stills import still

SIZE, RATE = 128, 2
FILMS = 6


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """(film, all its frames (T, H, W, 3) decoded from mp4): a clip, and films of one and two scenes, some stretched."""
    folder, made = tmp_path_factory.mktemp("films"), []
    for seed in range(FILMS):
        film, path = make_film(seed, 1 + seed % 2, 1 + seed % 3) if seed else make_clip(seed), folder / f"{seed}.mp4"
        write_mp4(path, film_frames(film, SIZE, RATE), RATE)
        made.append((film, read_frames(path, range(film.seconds * RATE)).astype(int)))
    return made


def scenes(films):
    """(scene, its frames by beat (beats, frames, H, W, 3)) of all films."""
    for film, frames in films:
        beats = frames.reshape(film.beats, BEAT_SECONDS * RATE, *frames.shape[1:])
        yield from zip(
            film.scenes, np.split(beats, np.cumsum([scene.beats for scene in film.scenes])[:-1]), strict=True
        )


def empty_frame(scene: Scene, beats: np.ndarray) -> np.ndarray:
    """A frame in which the actor idles."""
    return beats[next(beat for beat in range(scene.beats) if scene.at(beat) is None)][0]


def cell(frame: np.ndarray, where: tuple[int, int]) -> np.ndarray:
    """Pixels (H / BOARD, W / BOARD, 3) of a cell of the lattice."""
    side = SIZE // BOARD
    return frame[where[0] * side : (where[0] + 1) * side, where[1] * side : (where[1] + 1) * side]


def nearest_color(pixels: np.ndarray) -> str:
    """The name that most of the pixels (n, 3) are nearest to."""
    names, values = list(RGB), np.array(list(RGB.values()))
    nearest = np.abs(pixels[:, None] - values).sum(-1).argmin(1)
    return Counter(names[index] for index in nearest).most_common(1)[0][0]


def changed(frame: np.ndarray, empty: np.ndarray, where: tuple[int, int]) -> np.ndarray:
    """Pixels of a cell that differ from those of an empty frame."""
    return np.abs(cell(frame, where) - cell(empty, where)).max(-1) > 20


def test_a_small_thing_shows_its_color_in_its_cell_and_is_absent_at_every_other_time(films):
    for scene, beats in scenes(films):
        if scene.plot == "clip":
            continue
        empty = empty_frame(scene, beats)
        for thing in scene.things:
            for frame in beats[scene.show.beats].reshape(-1, *empty.shape):
                difference = changed(frame, empty, thing.cell)
                assert difference.sum() >= 40, thing
                assert nearest_color(cell(frame, thing.cell)[difference]) == thing.color, thing
            idle = [frame for beat in range(scene.beats) if not scene.at(beat) for frame in beats[beat]]
            assert max(changed(frame, empty, thing.cell).mean() for frame in idle) < 0.05, thing
            acting = [
                frame
                for event in scene.events
                if event.action
                for frame in beats[event.beats].reshape(-1, *empty.shape)
            ]
            assert max(changed(frame, empty, thing.cell).mean() for frame in acting) < 0.2, thing


def test_nothing_small_appears_in_a_cell_without_a_thing(films):
    for scene, beats in scenes(films):
        if scene.plot == "clip":
            continue
        empty, full = empty_frame(scene, beats), beats[scene.show.start][1]
        taken = {thing.cell for thing in scene.things}
        for free in {(0, 0), (0, 7), (7, 0), (7, 7), *(where for two in CELLS.values() for where in two)} - taken:
            assert (np.abs(cell(full, free) - cell(empty, free)).max(-1) > 25).mean() < 0.1


def test_the_actor_idles_in_the_centre_in_its_color(films):
    middle = slice(SIZE // 2 - SIZE * 3 // 20, SIZE // 2 + SIZE * 3 // 20)
    for scene, beats in scenes(films):
        if scene.plot != "clip":
            pixels = empty_frame(scene, beats)[middle, middle].reshape(-1, 3)
            own = np.abs(pixels - np.array(RGB[scene.actor.color])).max(-1) < 40
            assert own.mean() > 0.1, scene.actor


def test_the_actor_changes_when_it_acts_and_only_then(films):
    seen = set()
    middle = slice(SIZE // 4, 3 * SIZE // 4)
    for scene, beats in scenes(films):
        if scene.plot == "clip":
            continue
        idle = empty_frame(scene, beats)[middle, middle]
        for beat in range(scene.beats):
            event = scene.at(beat)
            if not (event and event.card):
                moved = max((np.abs(frame[middle, middle] - idle).max(-1) > 60).mean() for frame in beats[beat])
                assert (moved > 0.02) == bool(event and event.action), (scene, beat)
                seen |= {event.action} if event and event.action else set()
    assert len(seen) > 1 and seen <= set(ACTIONS)


def test_a_card_fills_the_frame_with_bars_of_its_own(films):
    cards = []
    for scene, beats in scenes(films):
        cards += [(beats[event.start], empty_frame(scene, beats)) for event in scene.events if event.card]
    assert len(cards) >= 4
    for frames, empty in cards:
        assert (np.abs(frames[0] - empty).max(-1) > 20).mean() > 0.5
        bars = min((np.diff(frames[0], axis=axis) != 0).any(-1).mean() for axis in (0, 1))
        assert bars < 0.2
    for (one, _), (other, _) in itertools.combinations(cards, 2):
        assert (np.abs(one[0] - other[0]).max(-1) > 20).mean() > 0.5


@pytest.mark.parametrize("stretch", [1, 2, 4])
def test_events_lie_apart_and_a_longer_scene_has_more_cards_and_idle_time_but_no_more_events(stretch):
    for seed in range(40):
        (scene,) = make_film(seed, 1, stretch).scenes
        cards = [event for event in scene.events if event.card]
        events = [event for event in scene.events if not event.card]
        assert scene.beats == SCENE_BEATS * stretch and len(cards) == CARDS * stretch
        assert all(len(event.beats) == EVENT_BEATS for event in events)
        assert len(scene.actions) == {"plain": 1, "order": 2, "twice": 3}[scene.plot] == len(events) - 1
        assert all(before.stop <= after.start for before, after in itertools.pairwise(scene.events))
        assert scene.events[0].start >= 0 and scene.events[-1].stop <= scene.beats
        assert len({thing.side for thing in scene.things}) == len(scene.things)


def test_a_still_of_a_film_shows_its_small_things():
    film = make_film(0)
    image = show_frame(film, SIZE).astype(int)
    for thing in film.scenes[0].things:
        pixels = cell(image, thing.cell).reshape(-1, 3)
        assert (np.abs(pixels - np.array(RGB[thing.color])).max(-1) < 12).sum() >= 30, thing


def test_answers_and_captions_say_what_the_film_holds():
    for seed in range(60):
        film = make_film(seed, 1 + seed % 3)
        caption = describe(film)
        for scene in film.scenes:
            things = [f"{thing.side} {thing.name}" for thing in scene.things]
            for words in (f"{scene.place}. {scene.actor.name}", *scene.actions, *things):
                assert words in caption
        for qa in ask(film):
            scene = film.scenes[qa.scenes[-1]]
            named = [thing for thing in scene.things if f" {thing.shape}" in qa.text]
            acts = [event for event in scene.events if event.action and f" {event.action}" in qa.text]
            truths = {
                "actor_color": {scene.actor.color},
                "actor_shape": {scene.actor.shape},
                "action": set(scene.actions),
                "sequence": {scene.actions[0 if "first" in qa.text else -1]},
                "twice": {act for act in scene.actions if scene.actions.count(act) == 1 + ("twice" in qa.text)},
                "color": {thing.color for thing in scene.things},
                "shape": {thing.shape for thing in scene.things},
                "color_of": {thing.color for thing in named},
                "shape_of": {thing.shape for thing in scene.things if f" {thing.color}" in qa.text},
                "side": {thing.side for thing in named},
                "relation": {thing.shape for thing in scene.things if f" {thing.side}" in qa.text},
                "count": {("one", "two", "three", "four")[len(scene.things) - 1]},
                "moment": {"before" if scene.show.stop <= event.start else "after" for event in acts},
                "place": {scene.place},
                "first": {film.scenes[0].place},
                "last": {film.scenes[-1].place},
                "order": {scene.place},
            }
            assert {qa.answer} == truths[qa.kind], qa


def test_decoys_of_a_still_put_its_things_on_the_other_sides():
    rng = random.Random(0)
    made = [still(rng, SIZE) for _ in range(20)]
    for one in made:
        said = [phrase.rpartition(" ") for _, phrase in one.regions if phrase.split()[-1] in SIDES]
        assert set(one.decoys) == {f"{thing} {side}" for thing, _, own in said for side in SIDES if side != own}
    assert sum(len(one.decoys) for one in made) > 20


def test_regions_of_a_still_name_what_their_cell_shows():
    rng = random.Random(0)
    for _ in range(20):
        made = still(rng, SIZE)
        for index, phrase in made.regions:
            color = next((word for word in phrase.split() if word in RGB), None)
            if phrase.startswith("a small"):
                pixels = cell(made.image.astype(int), divmod(index, BOARD)).reshape(-1, 3)
                assert (np.abs(pixels - np.array(RGB[color])).max(-1) < 12).sum() >= 20, phrase
                assert phrase in made.caption
