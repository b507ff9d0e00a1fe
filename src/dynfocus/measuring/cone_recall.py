"""Do the cones hit? Which frames DPE keeps, against the frames in which the mini world knows something to happen.

For every film of a benchmark, every event on it, and every model: does a chosen prototype's frame (a cone)
show the event, and how many of all prototypes' frames do. Choices depend on no question. Models are those
of the item's runs at every seed, as they start, after stage 1 and after stage 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dynfocus.config.schema import Config
from dynfocus.errors import UserError
from dynfocus.features.store import FeatureStore
from dynfocus.steps.jobs import Jobs
from dynfocus.world.export import world_set
from dynfocus.world.films import BEAT_SECONDS, Film

if TYPE_CHECKING:
    from dynfocus.network import DynFocusForConditionalGeneration

UNTRAINED, ALIGNED, TUNED = STAGES = ("untrained", "after stage 1", "after stage 2")


def measure(jobs: Jobs, item: str) -> dict[str, Any]:
    """Films with their events, and what each model chose.

    `films`: benchmark -> medium -> frames and events, each event the frames that show it; an event that no frame
    shows is left out and counted in `unseen`. `models`: one entry per run, seed, stage and benchmark, with the numbers
    of prototypes and cones of each film and, per event in the order of `films`, whether a cone shows it (`chosen`) and
    how many prototypes do (`held`).

    Raises:
        UserError: the films are not the mini world's, or a run selects no frames.
    """
    if jobs.config.source != "world":
        raise UserError(f"{item}: only the mini world knows when something happens; measure with `source: world`")
    films = {name: films_of(jobs, name) for name in jobs.item_benchmarks(item)}
    models = []
    for run in jobs.item_runs(item):
        for seed in jobs.item_seeds(item):
            for stage in STAGES:
                connector = selecting(load(jobs, run, seed, stage), run)
                for name, found in films.items():
                    store = FeatureStore(jobs.layout.features / name)
                    chosen = [choose(connector, store.get(medium)) for medium in found["media"]]
                    values = hits(chosen, [medium["events"] for medium in found["media"].values()])
                    models.append({"run": run, "seed": seed, "stage": stage, "benchmark": name, **values})
    return {"films": films, "models": models}


# The films


def events_of(film: Film) -> Iterator[tuple[float, float]]:
    """[start, stop) seconds of everything that a film shows for a moment, but the cards, which say nothing."""
    start = 0
    for scene in film.scenes:
        for event in scene.events:
            if not event.card:
                yield BEAT_SECONDS * (start + event.start), BEAT_SECONDS * (start + event.stop)
        start += scene.beats


def world_films(jobs: Jobs, name: str) -> dict[int, Film]:
    """The films of a set of the mini world, by their seed."""
    return {film.seed: film for film in world_set(name).films(name, jobs.config.world)}


def films_of(jobs: Jobs, name: str) -> dict[str, Any]:
    """`media`: medium -> its number of frames and the frames of each event; `unseen`: events that no frame shows."""
    store, films = FeatureStore(jobs.layout.features / name), world_films(jobs, name)
    media, unseen = {}, 0
    for medium in sorted(store.ids()):
        times = (store.frames(medium) / jobs.config.world.frame_rate).tolist()
        events = [visible(times, *span) for span in events_of(films[seed_of(medium)])]
        media[medium] = {"frames": len(times), "events": [frames for frames in events if frames]}
        unseen += sum(not frames for frames in events)
    return {"media": media, "unseen": unseen}


def seed_of(medium: str) -> int:
    """The seed in the name of a film. Raises UserError for another name."""
    found = re.search(r"(\d+)\.\w+$", medium)
    if found is None:
        raise UserError(f"{medium}: not a film of the mini world")
    return int(found[1])


def visible(times: Iterable[float], start: float, stop: float) -> list[int]:
    """The frames, by their place, whose second lies in [start, stop)."""
    return [place for place, second in enumerate(times) if start <= second < stop]


# The models


def load(jobs: Jobs, run: str, seed: int, stage: str) -> DynFocusForConditionalGeneration:
    """The model of a run at a stage of its training, choosing as the run does when it answers."""
    from transformers import set_seed

    from dynfocus.network.build import build_model

    settings, weights = jobs.run(run), jobs.weights_run(run)
    if stage == UNTRAINED:
        set_seed(seed)
        return build_model(settings, jobs.layout.backbones)[0].eval()
    folder = {ALIGNED: jobs.layout.alignment(jobs.alignment_key(weights, seed)), TUNED: jobs.checkpoint(run, seed)}
    return from_folder(folder[stage], jobs.layout.backbones / "llm", settings)


def from_folder(folder: Path, llm: Path, settings: Config) -> DynFocusForConditionalGeneration:
    """A stored model in evaluation mode, of stage 1 with the LLM that it was trained on; UserError for none."""
    from dynfocus.evaluation.answerers.own import answering_config
    from dynfocus.network import DynFocusForConditionalGeneration
    from dynfocus.training import base

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no model here; train it first")
    state = base.weights(folder, llm, torch.float32) if base.is_without_llm(folder) else None
    config = answering_config(folder, settings.network)
    source = None if state is not None else folder
    return DynFocusForConditionalGeneration.from_pretrained(source, config=config, state_dict=state).eval()


def selecting(model: DynFocusForConditionalGeneration, run: str) -> Any:
    """The encoder of a model that chooses frames. Raises UserError for a model that does not."""
    if getattr(model.connector, "selection", None) is None:
        raise UserError(f"{run}: its encoder {model.config.encoder!r} chooses no frames; measure runs of DynFocus")
    return model.connector


@torch.no_grad()
def choose(connector: Any, features: Tensor) -> tuple[set[int], list[int]]:
    """Cones and prototypes, by their frames, of one video (T, N, d)."""
    from dynfocus.network.batch import Videos

    videos = Videos.from_padded(features.float()[None], torch.ones(1, len(features), dtype=torch.bool))
    events = connector.events(videos)
    selection = connector.selection(events, videos.lengths)
    frames = events.frames[0].tolist()
    return {frames[place] for place in selection.chosen[0].tolist()}, frames


def hits(chosen: list[tuple[set[int], list[int]]], events: list[list[list[int]]]) -> dict[str, list[int]]:
    """Per film the numbers of cones and prototypes, per event whether a cone and how many prototypes show it."""
    found: dict[str, list[int]] = {
        "cones": [len(cones) for cones, _ in chosen],
        "prototypes": [len(prototypes) for _, prototypes in chosen],
        "chosen": [],
        "held": [],
    }
    for (cones, prototypes), of_film in zip(chosen, events, strict=True):
        for frames in of_film:
            found["chosen"].append(int(not cones.isdisjoint(frames)))
            found["held"].append(len(set(prototypes) & set(frames)))
    return found
