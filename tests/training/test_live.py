"""Sets encoded on the fly: the same samples, the same losses and the same weights as from cached features."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from real_network import NETWORK, write_backbones
from safetensors.torch import load_file
from test_stage import losses, read_log
from toy_network import FRAMES, GRID, WIDTH, toy_config, write_world

from dynfocus.errors import UserError
from dynfocus.features.extract import extract
from dynfocus.features.live import FilmStore
from dynfocus.features.store import FeatureStore
from dynfocus.network import clip
from dynfocus.network.vision import load_vision_tower
from dynfocus.training.live import LiveEncoder
from dynfocus.training.stage import train_stage

sys.path.insert(0, str(Path(__file__).parent.parent / "media"))
from films import pictures, write_film

SIDE = 8 * GRID
VISION = {"image_size": SIDE, "patch_size": 8, "width": WIDTH, "head_width": 4, "layers": 2}
CLIP = {
    "embed_dim": 8,
    "vision_cfg": VISION,
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 8, "heads": 2, "layers": 1},
}
FILMS = 24


def config_of(root, **changes):
    config = toy_config(root, network=NETWORK, epochs=1)
    video = config.video.model_copy(update={"image_size": SIDE})
    return config.model_copy(update={"video": video, "feature_precision": "fp16", **changes})


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """The toy world with real films, a tiny visual encoder, and the features that it makes of them."""
    root = tmp_path_factory.mktemp("films")
    write_world(root, FILMS)
    (root / "backbones").rmdir()
    write_backbones(root / "backbones")
    torch.manual_seed(1)
    clip.save(clip.build(CLIP), CLIP, root / "backbones/clip")
    config = config_of(root)
    media = [f"videos/p/{number:03d}.mp4" for number in range(FILMS)]
    for name in ("webvid_cap", "webvid_qa"):
        for number, medium in enumerate(media):
            shown = pictures(FRAMES[number % len(FRAMES)], SIDE, SIDE, seed=number)
            write_film(root / "data" / name / medium, shown, rate=1)
        shard = root / "features" / name / "shard-0-of-1.safetensors"
        shard.unlink()
        extract(config, name, media, root / "data" / name, root / "backbones/clip", shard, "a test")
    return root


def train(films, name, on_the_fly, datasets=("webvid_qa",)):
    config = config_of(films, on_the_fly=on_the_fly)
    stage = config.instruction.model_copy(update={"datasets": list(datasets)})
    config = config.model_copy(update={"instruction": stage})
    paths = (films / "data", films / "features", films / "backbones", films / name, films / "work" / name)
    train_stage(config, "dynfocus", "instruction", 0, *paths)
    return films / name


@pytest.mark.parametrize(
    "datasets", [("webvid_qa",), ("webvid_qa", "webvid_cap")], ids=["alone", "beside a cached one"]
)
def test_on_the_fly_and_cached_are_the_same_training(films, datasets):
    cached = train(films, f"cached-{len(datasets)}", [], datasets)
    live = train(films, f"live-{len(datasets)}", ["webvid_qa"], datasets)
    assert losses(read_log(live)) == losses(read_log(cached)) and len(read_log(live)) == 6 * len(datasets)
    one, other = (load_file(folder / "model.safetensors") for folder in (live, cached))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert (live / "coverage.json").read_text() == (cached / "coverage.json").read_text()


def test_on_the_fly_and_cached_are_the_same_eight_bits(films, tmp_path):
    config, medium = config_of(films, feature_precision="int8"), "videos/p/003.mp4"
    data = films / "data/webvid_qa"
    extract(config, "webvid_qa", [medium], data, films / "backbones/clip", tmp_path / "a.safetensors", "a test")
    tower = load_vision_tower(clip.load(films / "backbones/clip").visual, config.backbones.clip.layer)
    film = FilmStore(data, [medium], config.video, tmp_path / "counts").get(medium)
    made = LiveEncoder(tower, "int8", torch.float32)({"videos": [film]})["video_features"]
    assert torch.equal(made[0], FeatureStore(tmp_path).get(medium).float())


def test_frames_are_counted_once_and_again_only_where_a_film_changed(films, tmp_path, monkeypatch):
    from dynfocus.features import live

    asked = []
    count = live.sampled_count
    monkeypatch.setattr(live, "sampled_count", lambda path, video: asked.append(path.name) or count(path, video))
    video, media = config_of(films).video, ["a.mp4", "b.mp4", "gone.mp4"]
    for name, frames in (("a", 3), ("b", 5)):
        write_film(tmp_path / f"set/{name}.mp4", pictures(frames, SIDE, SIDE), rate=1)

    def store():
        return FilmStore(tmp_path / "set", media, video, tmp_path / "work")

    first = store()
    assert sorted(asked) == ["a.mp4", "b.mp4"] and "gone.mp4" not in first
    assert [len(first.frames(name)) for name in media[:2]] == [len(first.get(name)) for name in media[:2]] == [3, 5]
    write_film(tmp_path / "set/b.mp4", pictures(4, SIDE, SIDE), rate=1)
    assert len(store().frames("b.mp4")) == 4 and sorted(asked) == ["a.mp4", "b.mp4", "b.mp4"]


def test_a_film_that_breaks_during_the_training_is_named(films, tmp_path):
    film = write_film(tmp_path / "set/a.mp4", pictures(3, SIDE, SIDE), rate=1)
    store = FilmStore(tmp_path / "set", ["a.mp4"], config_of(films).video, tmp_path / "work")
    film.write_bytes(film.read_bytes()[:400])
    with pytest.raises(UserError, match=r"a\.mp4: .*replace the file"):
        store.get("a.mp4")


def test_a_set_whose_films_are_missing_is_refused(films, tmp_path):
    write_world(tmp_path, FILMS)
    (tmp_path / "backbones").rmdir()
    (tmp_path / "backbones").symlink_to(films / "backbones")
    with pytest.raises(UserError, match="training set `webvid_qa`: 0 of 24 samples"):
        train(tmp_path, "none", ["webvid_qa"])
