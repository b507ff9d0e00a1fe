"""Do the cones hit: events of films as frames, choices of a model, and recall against what needs no learning."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynfocus.config import load_config
from dynfocus.errors import UserError
from dynfocus.features.store import ShardWriter
from dynfocus.measuring import cone_recall as measuring
from dynfocus.measuring.cone_recall import choose, events_of, films_of, hits, measure, seed_of, visible, world_films
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration
from dynfocus.reporting.cone_recall import drawn, evenly_spaced, recall_figure, recall_table, recalls
from dynfocus.reporting.session import Session
from dynfocus.steps.jobs import Jobs
from dynfocus.world.films import make_film

GRID, WIDTH = 4, 8
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 60}


def toy(**changes) -> DynFocusForConditionalGeneration:
    config = DynFocusConfig(
        text_config={"model_type": "llama", **SIZES}, qformer_config={**SIZES, "encoder_hidden_size": WIDTH},
        num_query_tokens=4, vision_width=WIDTH, image_token_id=59, grid=GRID, pooled_grid=2, event_prototypes=4,
        selection_ratio=0.5, temporal_neighbours=2, fine_prototypes=4, coarse_prototypes=2, fine_neighbours=3,
        coarse_neighbours=2, projector_width=16, **changes,
    )  # fmt: skip
    return DynFocusForConditionalGeneration(config).eval()


@pytest.fixture
def jobs(tmp_path):
    """The mini profile with features of every film of one benchmark, and of one frame in two seconds."""
    from pathlib import Path

    overrides = [f"root={tmp_path}", "items=[prototypes]", "runs=[prototypes_25]", "seeds=[0, 1]", "world.test_films=6"]
    made = Jobs.load(load_config([Path("config/mini.yaml")], overrides))
    rate = made.config.world.frame_rate
    media = {f"data/film{seed}.mp4": film for seed, film in world_films(made, "video_mme").items()}
    writer = ShardWriter(made.layout.feature_shard("video_mme", 0, 1), media, "x")
    generator = torch.Generator().manual_seed(0)
    for medium, film in media.items():
        frames = torch.arange(0, film.seconds, 2) * rate
        writer.add(medium, torch.randn(len(frames), GRID**2, WIDTH, generator=generator), frames)
    writer.finish()
    return made


def test_an_event_is_the_frames_within_its_seconds():
    assert visible([0, 2, 4, 6, 8], 2, 5) == [1, 2]
    assert visible([0, 2], 0.5, 1.5) == []
    film = make_film(3, scenes=2)
    spans = list(events_of(film))
    assert len(spans) == sum(not event.card for scene in film.scenes for event in scene.events) and all(
        0 <= start < stop <= film.seconds for start, stop in spans
    )


def test_films_of_a_set_are_those_that_were_rendered(jobs):
    found = films_of(jobs, "video_mme")
    assert len(found["media"]) == len(world_films(jobs, "video_mme")) and found["unseen"] == 0
    for medium, film in found["media"].items():
        made = world_films(jobs, "video_mme")[seed_of(medium)]
        assert film["frames"] == made.seconds // 2
        assert len(film["events"]) == len(list(events_of(made)))
    with pytest.raises(UserError, match="not a film of the mini world"):
        seed_of("data/other.mp4")


def test_choices_are_those_of_the_whole_network():
    torch.manual_seed(0)
    model, features = toy(), torch.randn(10, GRID**2, WIDTH)
    cones, prototypes = choose(model.connector, features)
    explained = model.explain(features, torch.tensor([3]))
    assert cones == set(explained.cones.nonzero().flatten().tolist()) and len(cones) == 2
    assert prototypes == explained.prototype_frames.tolist()


def test_hits_by_hand():
    found = hits([({1, 4}, [1, 2, 4]), (set(), [0])], [[[0, 1], [2]], [[3]]])
    assert found == {"cones": [2, 0], "prototypes": [3, 1], "chosen": [1, 0, 0], "held": [1, 1, 0]}


def test_a_measurement_of_every_seed_and_stage(jobs, monkeypatch):
    loaded = []

    def load(jobs, run, seed, stage):
        loaded.append((run, seed, stage))
        torch.manual_seed(seed)
        return toy()

    monkeypatch.setattr(measuring, "load", load)
    found = measure(jobs, "prototypes")
    assert loaded == [("prototypes_25", seed, stage) for seed in (0, 1) for stage in measuring.STAGES]
    events = sum(len(film["events"]) for film in found["films"]["video_mme"]["media"].values())
    assert all(len(model["chosen"]) == len(model["held"]) == events for model in found["models"])
    assert recalls(Session(jobs.config, jobs.layout.root).measurement("cone_recall")) == []
    path = jobs.layout.measurement("cone_recall")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    read = recalls(Session(jobs.config, jobs.layout.root).measurement("cone_recall"))
    assert [one.frames for one in read if one.stage == "untrained"] == sorted({one.frames for one in read})
    table = recall_table(read, {"prototypes_25": "L = 25"})
    assert len(table.rows) == len(read) and table.rows[0].labels[0] == "L = 25"
    assert len(recall_figure(read, "prototypes_25").axes) == len({one.frames for one in read})
    with pytest.raises(UserError, match="no recall was measured"):
        recall_figure(read, "kmeans")


def test_a_model_that_chooses_nothing_and_other_films_are_refused(jobs, monkeypatch):
    connector = SimpleNamespace(selection=None)
    model = SimpleNamespace(connector=connector, config=SimpleNamespace(encoder="two_token"))
    monkeypatch.setattr(measuring, "load", lambda *_: model)
    with pytest.raises(UserError, match="prototypes_25: its encoder 'two_token' chooses no frames"):
        measure(jobs, "prototypes")
    real = Jobs(jobs.config.model_copy(update={"source": "ledger"}), jobs.experiments)
    with pytest.raises(UserError, match="only the mini world knows"):
        measure(real, "prototypes")


def measured(chosen, held, frames=8, cones=2, prototypes=4):
    """Two films of two events of two frames each, seen by one model per seed."""
    media = {f"film{place}.mp4": {"frames": frames, "events": [[0, 1], [6, 7]]} for place in range(2)}
    models = [
        {
            "run": "dynfocus", "seed": seed, "stage": "after stage 2", "benchmark": "video_mme",
            "cones": [cones] * 2, "prototypes": [prototypes] * 2, "chosen": of_seed, "held": held,
        }
        for seed, of_seed in enumerate(chosen)
    ]  # fmt: skip
    return {"films": {"video_mme": {"media": media, "unseen": 0}}, "models": models}


def test_recall_by_hand():
    (one,) = recalls(measured([[1, 1, 1, 0], [1, 1, 0, 0]], held=[2, 1, 1, 0]))
    assert one.share("cones").mean == pytest.approx(100 * 5 / 8)
    # a draw of 2 among 4 prototypes misses two of them with chance 1/6, one with 1/2
    assert one.share("drawn among prototypes").mean == pytest.approx(100 * (5 / 6 + 1 / 2 + 1 / 2 + 0) / 4)
    assert one.share("all prototypes").mean == 75.0
    assert one.share("evenly spaced").mean == 50.0  # frames 2 and 6
    assert one.share("random frames").mean == pytest.approx(100 * (1 - (6 * 5) / (8 * 7)))
    assert one.learned().mean == pytest.approx(62.5 - 100 * (11 / 6) / 4)


def test_chances_and_spacing():
    assert drawn(5, 0, 3) == 0.0 and drawn(5, 3, 3) == 1.0 and drawn(5, 1, 1) == pytest.approx(0.2)
    assert evenly_spaced(12, 4) == {1, 4, 7, 10} and evenly_spaced(3, 3) == {0, 1, 2}


def test_a_choice_by_chance_learns_nothing():
    generator = np.random.default_rng(0)
    held = [1] * 4
    chosen = (generator.random((60, 4)) < 0.5).astype(int).tolist()
    (one,) = recalls(measured(chosen, held))
    low, high = one.learned().interval()
    assert low < 0 < high
