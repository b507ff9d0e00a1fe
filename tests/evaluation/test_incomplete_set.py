"""A set of which a third of the videos is missing and a tenth cannot be read: counted everywhere, never hidden."""

from __future__ import annotations

import json

import official_files
import pytest
import toy_models
from benchmark_films import film
from scripted import make_config

from dynfocus.config.schema import Network
from dynfocus.errors import UserError
from dynfocus.evaluation.answer import answer_shard
from dynfocus.evaluation.judge import judge_answers
from dynfocus.evaluation.lines import read_lines
from dynfocus.evaluation.score import score_run
from dynfocus.ledger.coverage import inspect, require, write_report

VIDEOS, MISSING, UNREADABLE = 30, 10, 3
SEEN = VIDEOS - MISSING - UNREADABLE


@pytest.fixture
def data(tmp_path):
    """Video-MME with three questions on each of thirty videos."""
    folder = tmp_path / "data" / "video_mme"
    official_files.video_mme(folder, videos=VIDEOS)
    for number in range(VIDEOS):
        path = folder / "data" / f"video{number:06d}.mp4"
        if number < MISSING:
            path.unlink()
        elif number < MISSING + UNREADABLE:
            path.write_bytes(b"no film")
        else:
            film(path, frames=4)
    return folder.parent


def test_the_set_is_counted_and_refused_below_the_limit(data, tmp_path):
    report = inspect("video_mme", data / "video_mme", threads=1)
    assert (report.media, report.readable_media) == (VIDEOS, SEEN)
    assert (report.samples, report.readable_samples) == (3 * VIDEOS, 3 * SEEN)
    assert report.failures == {"missing": MISSING, "not a video": UNREADABLE} and report.searched == []
    write_report(report, tmp_path / "coverage.json")
    require(tmp_path / "coverage.json", 0.5)
    with pytest.raises(UserError, match=r"17 of 30 media are readable \(10 missing, 3 not a video\), below video\.min"):
        require(tmp_path / "coverage.json", 0.9)


def test_the_score_is_of_what_was_seen_with_bounds_for_the_rest(data, tmp_path):
    toy_models.own_model(tmp_path / "model")
    seen = {f"data/video{number:06d}.mp4": 3 for number in range(MISSING + UNREADABLE, VIDEOS)}
    toy_models.features(tmp_path / "features" / "video_mme", seen)
    config = make_config(max_new_tokens=4).model_copy(update={"network": Network(**toy_models.NETWORK)})
    answers, verdicts, out = (tmp_path / name for name in ("answers.jsonl", "verdicts.jsonl", "scores.json"))
    places = (tmp_path / "model", data, tmp_path / "features", answers, tmp_path / "work")
    answer_shard(config, "run", 0, ["video_mme"], 0, 1, *places)
    statuses = [row["status"] for row in read_lines(answers)]
    assert [statuses.count(status) for status in ("ok", "missing_video", "unreadable")] == [51, 30, 9]
    judge_answers(config, [answers], data, tmp_path / "cache", verdicts)
    score_run(config, "run", 0, ["video_mme"], [answers], verdicts, data, out)
    (record,) = json.loads(out.read_text())
    assert (record["coverage"]["answered"], record["coverage"]["total"]) == (51, 90)
    assert (record["failures"]["missing_video"], record["failures"]["unreadable"]) == (30, 9)
    accuracy = record["metrics"]["accuracy"]
    right = accuracy["value"] * 51 / 100
    assert accuracy["n"] == 51
    assert record["coverage"]["worst"]["accuracy"] == pytest.approx(100 * right / 90)
    assert record["coverage"]["best"]["accuracy"] == pytest.approx(100 * (right + 39) / 90)


def test_without_any_video_the_run_stops_and_says_where_it_looked(data, tmp_path):
    for path in (data / "video_mme" / "data").iterdir():
        path.unlink()
    toy_models.own_model(tmp_path / "model")
    places = (tmp_path / "model", data, tmp_path / "features", tmp_path / "answers.jsonl", tmp_path / "work")
    with pytest.raises(UserError, match=r"none of its 30 videos is there.*; searched .*video_mme/data, .*/videos;"):
        answer_shard(make_config(), "run", 0, ["video_mme"], 0, 1, *places)
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_sample_goes_through_all_three_steps_and_is_named_in_the_record(data, tmp_path):
    toy_models.own_model(tmp_path / "model")
    names = {f"data/video{number:06d}.mp4": 3 for number in range(VIDEOS)}
    toy_models.features(tmp_path / "features" / "video_mme", names)
    config = make_config(max_new_tokens=4, limit=7, limit_seed=3)
    config = config.model_copy(update={"network": Network(**toy_models.NETWORK)})
    answers, verdicts, out = (tmp_path / name for name in ("answers.jsonl", "verdicts.jsonl", "scores.json"))
    places = (tmp_path / "model", data, tmp_path / "features", answers, tmp_path / "work")
    answer_shard(config, "run", 0, ["video_mme"], 0, 1, *places)
    judge_answers(config, [answers], data, tmp_path / "cache", verdicts)
    score_run(config, "run", 0, ["video_mme"], [answers], verdicts, data, out)
    (record,) = json.loads(out.read_text())
    assert record["sample"] == {"asked": 7, "of": 90, "seed": 3} and record["coverage"]["total"] == 7
    assert record["subtitles"] is False
    with pytest.raises(UserError, match="83 of 90 questions have no line"):
        score_run(make_config(), "run", 0, ["video_mme"], [answers], verdicts, data, out)
