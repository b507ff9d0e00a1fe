"""What a film's questions ask about is really in its pixels, after encoding and decoding."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from dynfocus.features.decode import read_frames
from dynfocus.world.films import ACTIONS, BOARD, EVENT_SECONDS, MOMENTS, Film, make_film
from dynfocus.world.questions import ask, describe
from dynfocus.world.render import BIG, RGB, film_frames, show_frame, write_mp4
from dynfocus.world.stills import still

SIZE, RATE = 128, 2
FILMS = 6


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """(film, all its frames (T, H, W, 3) decoded from mp4), of one and of two scenes, some with more idle time."""
    folder, made = tmp_path_factory.mktemp("films"), []
    for seed in range(FILMS):
        film, path = make_film(seed, 1 + seed % 2, 1 + seed % 3), folder / f"{seed}.mp4"
        write_mp4(path, film_frames(film, SIZE, RATE), RATE)
        made.append((film, read_frames(path, range(film.seconds * RATE)).astype(int)))
    return made


def scenes(films):
    """(film, scene, its frames) of all films."""
    for film, frames in films:
        for scene, part in zip(film.scenes, np.split(frames, len(film.scenes)), strict=True):
            yield film, scene, part


def during(film: Film, frames: np.ndarray, moment: str) -> np.ndarray:
    """Frames of the event at a moment, of the frames of a scene."""
    event = film.event(moment)
    return frames[event.start * RATE : event.stop * RATE]


def cell(frame: np.ndarray, where: tuple[int, int]) -> np.ndarray:
    """Pixels (H / BOARD, W / BOARD, 3) of a cell of the lattice."""
    side = SIZE // BOARD
    return frame[where[0] * side : (where[0] + 1) * side, where[1] * side : (where[1] + 1) * side]


def nearest_color(pixels: np.ndarray) -> str:
    """The name that most of the pixels (n, 3) are nearest to."""
    names, values = list(RGB), np.array(list(RGB.values()))
    nearest = np.abs(pixels[:, None] - values).sum(-1).argmin(1)
    return Counter(names[index] for index in nearest).most_common(1)[0][0]


def test_a_small_thing_shows_its_color_at_its_moment_and_is_absent_at_every_other(films):
    for film, scene, frames in scenes(films):
        (rest,) = set(MOMENTS) - {scene.action_moment, scene.show_moment}
        shown = during(film, frames, scene.show_moment)
        eventful = {*film.event(scene.show_moment), *film.event(scene.action_moment)}
        empty = during(film, frames, rest)[2]
        for thing in scene.things:

            def changed(frame, empty=empty, where=thing.cell):
                return np.abs(cell(frame, where) - cell(empty, where)).max(-1) > 20

            for frame in shown:
                assert changed(frame).sum() >= 40, thing
                assert nearest_color(cell(frame, thing.cell)[changed(frame)]) == thing.color, thing
            others = [frames[index] for index in range(len(frames)) if index // RATE not in eventful]
            assert len(others) == (film.scene_seconds - 2 * EVENT_SECONDS) * RATE
            assert max(changed(frame).mean() for frame in others) < 0.05, thing


def test_nothing_small_appears_in_a_cell_without_a_thing(films):
    for film, scene, frames in scenes(films):
        (rest,) = set(MOMENTS) - {scene.action_moment, scene.show_moment}
        empty, full = during(film, frames, rest)[2], during(film, frames, scene.show_moment)[2]
        taken = {thing.cell for thing in scene.things}
        for corner in {(0, 0), (0, 7), (7, 0), (7, 7)} - taken:
            assert (np.abs(cell(full, corner) - cell(empty, corner)).max(-1) > 25).mean() < 0.1


def test_the_actor_idles_in_the_centre_in_its_color(films):
    for film, scene, frames in scenes(films):
        (rest,) = set(MOMENTS) - {scene.action_moment, scene.show_moment}
        half = round(SIZE * BIG / 2)
        middle = slice(SIZE // 2 - half, SIZE // 2 + half)
        pixels = during(film, frames, rest)[2][middle, middle].reshape(-1, 3)
        own = np.abs(pixels - np.array(RGB[scene.actor.color])).max(-1) < 40
        assert own.mean() > 0.1, scene.actor


def test_only_the_moment_of_the_action_moves_the_actor(films):
    seen = set()
    for film, scene, frames in scenes(films):
        (rest,) = set(MOMENTS) - {scene.action_moment, scene.show_moment}
        middle = slice(SIZE // 4, 3 * SIZE // 4)
        still_frame = during(film, frames, rest)[2][middle, middle]

        def moved(moment, still_frame=still_frame, film=film, frames=frames, middle=middle):
            changes = [np.abs(frame[middle, middle] - still_frame).max(-1) for frame in during(film, frames, moment)]
            return max((change > 60).mean() for change in changes)

        assert moved(scene.action_moment) > 0.02 > moved(rest), scene.action
        seen.add(scene.action)
    assert len(seen) > 1 and seen <= set(ACTIONS)


@pytest.mark.parametrize("stretch", [1, 2, 4])
def test_moments_lie_apart_within_the_scene_and_only_idle_time_is_stretched(stretch):
    film = make_film(0, 1, stretch)
    assert film.scenes == make_film(0).scenes and film.seconds == stretch * make_film(0).seconds
    spans = [film.event(moment) for moment in MOMENTS]
    assert all(len(span) == EVENT_SECONDS for span in spans)
    assert all(before.stop < after.start for before, after in itertools.pairwise(spans))
    assert spans[-1].stop <= film.scene_seconds


def test_a_still_of_a_film_shows_its_small_things():
    film = make_film(0)
    image = show_frame(film, SIZE).astype(int)
    for thing in film.scenes[0].things:
        pixels = cell(image, thing.cell).reshape(-1, 3)
        assert (np.abs(pixels - np.array(RGB[thing.color])).max(-1) < 12).sum() >= 30, thing


def test_answers_and_captions_say_what_the_film_holds():
    for seed in range(30):
        film = make_film(seed, 1 + seed % 3)
        caption = describe(film)
        for scene in film.scenes:
            for word in (scene.place, scene.actor.name, scene.action, *(thing.name for thing in scene.things)):
                assert word in caption
        for qa in ask(film):
            scene = film.scenes[qa.scenes[-1]]
            counted = ("one", "two", "three", "four")[len(scene.things) - 1]
            truths = {
                "actor_color": {scene.actor.color},
                "actor_shape": {scene.actor.shape},
                "action": {scene.action},
                "color": {thing.color for thing in scene.things},
                "shape": {thing.shape for thing in scene.things},
                "color_of": {thing.color for thing in scene.things if f" {thing.shape}" in qa.text},
                "shape_of": {thing.shape for thing in scene.things if f" {thing.color}" in qa.text},
                "count": {counted},
                "moment": {scene.show_moment},
                "place": {scene.place},
                "first": {film.scenes[0].place},
                "last": {film.scenes[-1].place},
                "order": {scene.place},
            }
            assert {qa.answer} == truths[qa.kind], qa


def test_regions_of_a_still_name_what_their_cell_shows():
    rng = np.random.default_rng(0)
    for _ in range(20):
        made = still(rng, SIZE)
        for index, phrase in made.regions:
            color = next((word for word in phrase.split() if word in RGB), None)
            if phrase.startswith("a small"):
                pixels = cell(made.image.astype(int), divmod(index, BOARD)).reshape(-1, 3)
                assert (np.abs(pixels - np.array(RGB[color])).max(-1) < 12).sum() >= 20, phrase
                assert phrase in made.caption
