"""A part of a set: whole media in a fixed order, the same for features and training."""

from __future__ import annotations

import pytest
from toy_network import write_world

from dynfocus.cli.features import _media
from dynfocus.config.load import load_config
from dynfocus.datasets import media_path
from dynfocus.datasets.records import talk
from dynfocus.datasets.subset import subset
from dynfocus.training.data import load_mixture


@pytest.fixture(scope="module")
def records():
    """A hundred films, three talks each."""
    turns = talk([("what?", "a ball")])
    return [{"id": f"{n}", "video": f"{n % 100}.mp4", "conversations": turns} for n in range(300)]


def test_a_part_is_whole_films_in_the_order_of_the_file(records):
    part = subset("nextqa", records, 30)
    assert len(part) == 30 and len({record["video"] for record in part}) == 10
    assert [int(record["id"]) for record in part] == sorted(int(record["id"]) for record in part)


def test_a_larger_part_holds_the_smaller_one_and_sets_choose_apart(records):
    small, large = ({record["id"] for record in subset("nextqa", records, most)} for most in (30, 90))
    assert small < large and len(large) == 90
    assert {record["id"] for record in subset("clevrer", records, 30)} != small
    assert subset("nextqa", records, None) == subset("nextqa", records, 300) == records


def test_features_are_made_of_the_films_that_training_reads(repository, tmp_path):
    write_world(tmp_path)
    config = load_config([repository / "config/mini.yaml"], ["max_samples={webvid_qa: 7}"])
    data = tmp_path / "data"
    entries = load_mixture(["webvid_qa"], data, 100, config.max_samples)
    media = _media(config, "webvid_qa", data / "webvid_qa")
    assert len(entries) == 7 and {media_path(entry.record) for entry in entries} == set(media)
    whole = config.model_copy(update={"max_samples": {}})
    assert len(_media(whole, "webvid_qa", data / "webvid_qa")) == 24
