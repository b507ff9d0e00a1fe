"""Real models, tiny and with random weights, through the answer loop."""

from __future__ import annotations

import json
from dataclasses import replace

import official_files
import pytest
import torch
import toy_models
from benchmark_films import film
from PIL import Image
from scripted import make_config

from dynfocus.config.schema import Network
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import answer_shard
from dynfocus.evaluation.answerers import load_answerer
from dynfocus.evaluation.answerers.base import Request
from dynfocus.evaluation.answerers.decoding import close_calls
from dynfocus.evaluation.answerers.foreign import fetch
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.lines import read_lines
from dynfocus.network import DynFocusConfig


def run(tmp_path, benchmarks, model, num_shards=1, name="out", network=None, **settings):
    network = Network(**toy_models.NETWORK | (network or {}))
    config = make_config(max_new_tokens=8, **settings).model_copy(update={"network": network})
    rows = []
    for shard in range(num_shards):
        out = tmp_path / name / f"{shard}.jsonl"
        places = (tmp_path / model, tmp_path / "data", tmp_path / "features", out, tmp_path / "work")
        answer_shard(config, "run", 0, benchmarks, shard, num_shards, *places)
        rows += read_lines(out)
    return {(row["benchmark"], row["question_id"]): row for row in rows}


def test_close_calls_by_hand():
    # the lead of the first token over the second at three steps, two replies; token 9 ends a reply
    step = torch.tensor([[5.0, 1.0, 0.0], [2.0, 2.0005, 0.0]])
    far = torch.tensor([[3.0, 1.0, -torch.inf], [1.0, 4.0, 2.0]])
    tie = torch.tensor([[7.0, 7.0, 0.0], [7.0, 0.0, 1.0]])
    tokens = torch.tensor([[4, 9, 0], [4, 5, 6]])
    assert close_calls((step, far, tie), tokens, end=9) == [False, True], "the tie comes after the end of the first"
    assert close_calls((far, far, tie), tokens, end=8) == [True, False]
    assert close_calls((step.bfloat16(),), tokens[:, :1], end=9) == [False, True]
    assert close_calls((far * 1e-4,), tokens[:, :1], end=9) == [True, True]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A DynFocus checkpoint with MSVD-QA and Video-MME: one video lacks its features, one is not there at all."""
    folder = tmp_path_factory.mktemp("own")
    toy_models.own_model(folder / "model")
    official_files.msvd_qa(folder / "data/msvd_qa", videos=4, each=3)
    official_files.video_mme(folder / "data/video_mme", videos=3)
    (folder / "data/msvd_qa/videos/clip3_0_10.avi").unlink()
    toy_models.features(folder / "features/msvd_qa", {"videos/clip0_0_10.avi": 5, "videos/clip1_0_10.avi": 2})
    toy_models.features(folder / "features/video_mme", {f"data/video00000{i}.mp4": 4 + 3 * i for i in range(3)})
    return folder


def replies(rows):
    return {key: row["reply"] for key, row in rows.items()}


def test_own_model_answers_and_records_what_it_cannot_see(own):
    rows = run(own, ["msvd_qa", "video_mme"], "model", name="statuses")
    status = {key[1]: row["status"] for key, row in rows.items() if key[0] == "msvd_qa"}
    assert {status[f"v_clip{video}_0_10_{n}"] for video in (0, 1) for n in range(3)} == {"ok"}
    assert {status[f"v_clip2_0_10_{n}"] for n in range(3)} == {"unreadable"}
    assert {status[f"v_clip3_0_10_{n}"] for n in range(3)} == {"missing_video"}
    assert all(row["reply"] for row in rows.values() if row["status"] == "ok")
    assert len(set(replies(rows).values())) > 3, "replies depend on the question"


def test_own_model_gives_equal_answers_in_every_batching_and_sharding(own):
    one_by_one = replies(run(own, ["msvd_qa", "video_mme"], "model", name="one", batch_size=1))
    for name, shards, size in (("four", 1, 4), ("sixteen", 1, 16), ("seven", 7, 4)):
        found = replies(run(own, ["msvd_qa", "video_mme"], "model", shards, name, batch_size=size))
        assert found == one_by_one, name


@pytest.mark.parametrize("change", [{"event_prototypes": 1}, {"selection_ratio": 1.0}, {"clustering": "kmeans"}])
def test_borrowed_weights_answer_with_the_settings_of_the_run(own, change):
    """B.7's runs share one checkpoint and differ in L or K/L alone: without them all would answer alike."""
    config = make_config().model_copy(update={"network": Network(**toy_models.NETWORK | change)})
    answerer = load_answerer(config, own / "model", own / "data", own / "features", 0)
    ((name, value),) = change.items()
    assert getattr(answerer._model._model.config, name) == value
    assert answerer._model._processor.config.num_visual_tokens(10) == DynFocusConfig(
        **toy_models.NETWORK | change
    ).num_visual_tokens(10)
    shared = replies(run(own, ["video_mme"], "model", name="shared"))
    assert replies(run(own, ["video_mme"], "model", name=f"other-{name}", network=change)) != shared


def test_sampling_depends_on_the_questions_and_not_on_what_ran_before(own):
    one = replies(run(own, ["video_mme"], "model", 1, "sampled-one", temperature=1.0))
    three = replies(run(own, ["video_mme"], "model", 3, "sampled-three", temperature=1.0))
    greedy = replies(run(own, ["video_mme"], "model", 1, "greedy"))
    assert one == three and one != greedy


def test_a_blind_model_answers_without_looking(tmp_path):
    toy_models.own_model(tmp_path / "model", encoder="blind")
    official_files.video_mme(tmp_path / "data/video_mme", videos=1)
    toy_models.features(tmp_path / "features/video_mme", {"data/video000000.mp4": 3})
    first = replies(run(tmp_path, ["video_mme"], "model", name="three"))
    toy_models.features(tmp_path / "features/video_mme", {"data/video000000.mp4": 9})
    assert replies(run(tmp_path, ["video_mme"], "model", name="nine")) == first
    assert all(first.values())


def test_text_alone_and_images_are_answered_beside_videos(tmp_path):
    toy_models.own_model(tmp_path / "model")
    official_files.scienceqa_test(tmp_path / "data/scienceqa_test")
    official_files.video_mme(tmp_path / "data/video_mme", videos=1)
    toy_models.features(tmp_path / "features/scienceqa_test", {"images/test/4/image.png": 1})
    toy_models.features(tmp_path / "features/video_mme", {"data/video000000.mp4": 4})
    names = ["scienceqa_test", "video_mme"]
    together = run(tmp_path, names, "model", name="four", batch_size=4)
    alone = run(tmp_path, names, "model", 3, name="one", batch_size=1)
    assert replies(together) == replies(alone) and len(together) == 6
    assert {key[1]: row["video"] for key, row in together.items() if key[0] == "scienceqa_test"} == {
        "4": "images/test/4/image.png",
        "5": None,
        "6": None,
    }
    assert all(row["status"] == "ok" and row["reply"] for row in together.values())


def test_a_sample_asks_its_questions_alone(own):
    rows = run(own, ["video_mme"], "model", name="sample", limit=4)
    assert len(rows) == 4 and rows == {key: run(own, ["video_mme"], "model", name="whole")[key] for key in rows}


def test_media_words_in_a_question_are_no_media(own, tmp_path):
    """In training they are taken out; here they would ask for a video that is not there."""
    config = make_config(max_new_tokens=4).model_copy(update={"network": Network(**toy_models.NETWORK)})
    answerer = load_answerer(config, own / "model", own / "data", own / "features", 0)
    question, *_ = load_questions(benchmark("msvd_qa"), own / "data")
    odd = replace(question, text=f"<image>\n{question.text}", encoder_prompt=f"{question.encoder_prompt} <image>")
    video = answerer.load(question)
    assert answerer.answer([Request(odd, video)]) == answerer.answer([Request(question, video)])


@pytest.mark.parametrize("kind", ["video_llava", "llava_next_video"])
def test_a_model_of_another_family_answers_images_and_text_alone(kind, tmp_path):
    getattr(toy_models, kind)(tmp_path / "published")
    fetch(str(tmp_path / "published"), tmp_path / "model")
    official_files.scienceqa_test(tmp_path / "data/scienceqa_test")
    Image.new("RGB", (32, 32)).save(tmp_path / "data/scienceqa_test/images/test/4/image.png")
    rows = run(tmp_path, ["scienceqa_test"], "model", batch_size=3)
    assert all(row["status"] == "ok" and row["reply"] for row in rows.values()) and len(rows) == 3
    assert replies(run(tmp_path, ["scienceqa_test"], "model", name="alone", batch_size=1)) == replies(rows)


@pytest.mark.parametrize("kind", ["video_llava", "llava_next_video"])
def test_a_model_of_another_family_goes_through_the_same_loop(kind, tmp_path):
    getattr(toy_models, kind)(tmp_path / "published")
    fetch(str(tmp_path / "published"), tmp_path / "model")
    official_files.video_mme(tmp_path / "data/video_mme", videos=3)
    film(tmp_path / "data/video_mme/data/video000000.mp4")
    film(tmp_path / "data/video_mme/data/video000001.mp4", frames=3)
    (tmp_path / "data/video_mme/data/video000002.mp4").write_bytes(b"no film")
    rows = run(tmp_path, ["video_mme"], "model", batch_size=2)
    status = {key[1]: row["status"] for key, row in rows.items()}
    assert {status[f"00{video}-{n}"] for video in (0, 1) for n in (1, 2, 3)} == {"ok"}
    assert {status[f"002-{n}"] for n in (1, 2, 3)} == {"unreadable"}
    assert all(row["reply"] for row in rows.values() if row["status"] == "ok")
    assert replies(run(tmp_path, ["video_mme"], "model", 3, "three", batch_size=2)) == replies(rows)


def test_an_unknown_model_type_is_a_user_error(tmp_path):
    official_files.video_mme(tmp_path / "data/video_mme", videos=1)
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        run(tmp_path, ["video_mme"], "model")
    (tmp_path / "model/config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="model type bert cannot be evaluated"):
        run(tmp_path, ["video_mme"], "model")
    with pytest.raises(UserError, match="model type bert cannot be evaluated"):
        fetch(str(tmp_path / "model"), tmp_path / "fetched")
    with pytest.raises(UserError, match="nowhere: cannot be loaded"):
        fetch(str(tmp_path / "nowhere"), tmp_path / "fetched")
