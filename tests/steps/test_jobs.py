"""Runs, items and the jobs that follow from them."""

from __future__ import annotations

import pytest
import yaml

from dynfocus.config.experiments import load_experiments
from dynfocus.config.load import load_config
from dynfocus.errors import UserError
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.settings import SLICES, alignment_key, hash_of, settings_of


@pytest.fixture(scope="module")
def paper_jobs(repository):
    config = load_config([repository / "config" / "paper.yaml"], [f"experiments={repository}/config/experiments.yaml"])
    return Jobs.load(config)


@pytest.fixture
def with_experiments(tmp_path, repository):
    """Jobs of the mini profile with own experiments and settings."""

    def make(runs: dict, tables: dict, *overrides: str) -> Jobs:
        file = tmp_path / "experiments.yaml"
        file.write_text(yaml.safe_dump({"runs": runs, "items": tables}))
        selected = ["items=[all]", "runs=[all]", "benchmarks=[all]", f"experiments={file}"]
        return Jobs.load(load_config([repository / "config" / "mini.yaml"], [*selected, *overrides]))

    return make


def changed(config, path, value):
    """`config` with another value at a key path."""
    values = config.model_dump()
    *sections, key = path.split(".")
    node = values
    for section in sections:
        node = node[section]
    node[key] = value
    return type(config).model_validate(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("alignment.learning_rate", 0.5),
        ("network.event_prototypes", 3),
        ("backbones.llm.steps", 3),
        ("world.seed", 9),
        ("video.fps", 2.0),
        ("source", "ledger"),
    ],
)
def test_stage_1_key_changes_with_what_stage_1_depends_on(mini_config, path, value):
    assert alignment_key(changed(mini_config, path, value), 0) != alignment_key(mini_config, 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("instruction.learning_rate", 0.5),
        ("evaluation.batch_size", 3),
        ("evaluation.judge.model", "other"),
        ("hardware.threads", 7),
        ("alignment.save_steps", 3),
        ("feature_shards", 5),
        ("profile", "other"),
        ("items", ["table_5"]),
    ],
)
def test_stage_1_key_is_blind_to_everything_else(mini_config, path, value):
    assert alignment_key(changed(mini_config, path, value), 0) == alignment_key(mini_config, 0)


def test_stage_1_key_changes_with_the_seed(mini_config):
    assert alignment_key(mini_config, 0) != alignment_key(mini_config, 1)


def test_every_step_is_blind_to_where_it_runs(mini_config):
    other = changed(changed(mini_config, "hardware.threads", 9), "hardware.processes", 4)
    for step in SLICES:
        assert settings_of(other, step) == settings_of(mini_config, step)


def test_every_slice_names_existing_settings(mini_config):
    assert all(settings_of(mini_config, step) for step in SLICES)


def test_hash_ignores_key_order():
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1}) != hash_of({"a": 1, "b": [3]})


def test_runs_that_differ_only_in_stage_2_share_stage_1(paper_jobs):
    keys = {run: paper_jobs.alignment_key(run, 0) for run in paper_jobs.experiments.runs}
    assert keys["dynfocus"] == keys["dpe_cce_frozen"]
    assert keys["dynfocus_image"] == keys["dynfocus_scienceqa"] == keys["dynfocus_clevrer"] == keys["dynfocus_full"]
    assert keys["dpe_cce_both_stages"] == keys["dpe_cce_first_stage"] != keys["dynfocus"]
    assert len({keys[run] for run in ("dynfocus", "dynfocus_image", "llama_vid", "kmeans", "concat")}) == 5


def test_a_stage_1_key_leads_back_to_its_runs(paper_jobs):
    key = paper_jobs.alignment_key("dynfocus_clevrer", 0)
    run, seed = paper_jobs.alignment(key)
    assert (paper_jobs.alignment_key(run, seed), seed) == (key, 0)
    assert "dynfocus_clevrer" in paper_jobs.alignment_runs(key)
    with pytest.raises(UserError, match="stage-1 key"):
        paper_jobs.alignment("0" * 12)


def test_every_benchmark_of_every_item_is_scored(paper_jobs):
    for name, item in paper_jobs.experiments.items.items():
        if "scores" in item.reads:
            for run in item.runs:
                assert set(item.benchmarks) <= set(paper_jobs.benchmarks(run)), name


def test_a_run_answers_the_union_of_its_items(with_experiments):
    runs = {"a": {"title": "A"}, "b": {"title": "B"}}
    tables = {
        "one": {"title": "1", "notebook": "n.ipynb", "runs": ["a"], "benchmarks": ["msvd_qa"]},
        "two": {"title": "2", "notebook": "n.ipynb", "runs": ["a", "b"], "benchmarks": ["mlvu", "msvd_qa"]},
    }
    jobs = with_experiments(runs, tables)
    assert jobs.benchmarks("a") == ["msvd_qa", "mlvu"]
    assert jobs.benchmarks("b") == ["mlvu", "msvd_qa"]
    assert jobs.evaluations == [("a", 0), ("b", 0)]
    assert with_experiments(runs, tables, "items=[one]").evaluations == [("a", 0)]
    assert with_experiments(runs, tables, "runs=[b]").evaluations == [("b", 0)]
    assert with_experiments(runs, tables, "benchmarks=[mlvu]").evaluations == [("a", 0), ("b", 0)]
    assert with_experiments(runs, tables, "seeds=[3, 4]", "runs=[b]").evaluations == [("b", 3), ("b", 4)]


def test_borrowed_weights_are_not_trained(with_experiments):
    runs = {
        "a": {"title": "A", "network": {"fusion": "concat"}},
        "b": {"title": "B", "weights": "a", "network": {"event_prototypes": 3}},
    }
    jobs = with_experiments(runs, {"one": {"title": "1", "notebook": "n.ipynb", "runs": ["b"], "benchmarks": ["mlvu"]}})
    assert jobs.weights_run("b") == "a"
    assert jobs.run("b").network.fusion == "concat"
    assert jobs.run("b").network.event_prototypes == 3
    assert jobs.alignment_runs(jobs.alignment_key("a", 0)) == ["a"]


def test_a_share_is_of_the_profile_s_own_number(with_experiments):
    runs = {
        "a": {"title": "A"},
        "b": {"title": "B", "weights": "a", "network": {"event_prototypes": "220 %", "selection_ratio": 0.4}},
        "c": {"title": "C", "weights": "a", "network": {"event_prototypes": "1%"}},
    }
    jobs = with_experiments(runs, {}, "network.event_prototypes=10")
    assert jobs.run("b").network.event_prototypes == 22
    assert jobs.run("c").network.event_prototypes == 1
    assert jobs.run("a").network.event_prototypes == 10


def test_blind_starts_from_the_backbones(paper_jobs):
    assert not paper_jobs.has_alignment("blind")
    assert paper_jobs.has_alignment("llama_vid")


@pytest.mark.parametrize(
    ("runs", "tables", "words"),
    [
        ({"a": {"title": "A", "network": {"clusterin": "kmeans"}}}, {}, ["runs.a", "network.clustering"]),
        ({"a": {"title": "A", "network": {"grid": "big"}}}, {}, ["runs.a", "network.grid", "'big'"]),
        ({"a": {"title": "A", "netwrk": {}}}, {}, ["runs.a.netwrk", "unknown key"]),
        ({"a": {"title": "A", "weights": "aa"}}, {}, ["runs.a.weights", "no run is named aa"]),
        ({"A b": {"title": "A"}}, {}, ["lower-case"]),
        (
            {"a": {"title": "A"}},
            {"t": {"title": "T", "notebook": "n.ipynb", "runs": ["b"]}},
            ["items.t.runs", "no run is named b"],
        ),
        (
            {"a": {"title": "A"}},
            {"t": {"title": "T", "notebook": "n.ipynb", "benchmarks": ["msvd"]}},
            ["items.t.benchmarks.0", "'msvd'"],
        ),
        ({"a": {"title": "A"}, "b": {"title": "B", "weights": "a", "alignment": {"epochs": 2}}}, {}, ["runs.b"]),
        (
            {"a": {"title": "A"}, "b": {"title": "B", "weights": "a", "network": {"fusion": "concat"}}},
            {},
            ["runs.b.network.fusion", "weights (a)"],
        ),
        ({"a": {"title": "A", "network": {"sigma": "50 %"}}}, {}, ["runs.a", "network.sigma", "'50 %'"]),
    ],
)
def test_mistakes_in_experiments_are_one_line(tmp_path, mini_config, runs, tables, words):
    file = tmp_path / "experiments.yaml"
    file.write_text(yaml.safe_dump({"runs": runs, "items": tables}))
    own = changed(changed(changed(mini_config, "experiments", str(file)), "items", ["all"]), "runs", ["all"])
    with pytest.raises(UserError) as caught:
        load_experiments(file, own)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["experiments.yaml", *words]), message


def test_unknown_item_in_a_profile_names_the_nearest(repository, mini_config):
    with pytest.raises(UserError, match="no report item is named tabel_7; the nearest one is table_7"):
        load_experiments(repository / "config" / "experiments.yaml", changed(mini_config, "items", ["tabel_7"]))


def test_a_model_that_is_not_ours_answers_without_training_and_without_features(with_experiments):
    jobs = with_experiments(
        {"dynfocus": {"title": "DynFocus"}, "video_llava": {"title": "Video-LLaVA", "model": "hub/video-llava"}},
        {"main": {"title": "Main", "notebook": "main.ipynb", "runs": ["video_llava"], "benchmarks": ["msvd_qa"]}},
    )
    assert jobs.evaluations == [("video_llava", 0)]
    assert jobs.checkpoint("video_llava", 0) == jobs.layout.model("video_llava")
    assert jobs.benchmark_shards("video_llava") == [] != jobs.benchmark_shards("dynfocus")
    assert not jobs.has_alignment("video_llava")
    assert jobs.model_settings("video_llava") == {"model": "hub/video-llava"}
    assert jobs.run_settings("video_llava", "answer_questions")["model"] == "hub/video-llava"


def test_a_finished_model_takes_no_differences(with_experiments):
    with pytest.raises(UserError, match="runs\\.other: `model` names a finished model; remove weights, network"):
        with_experiments({"other": {"title": "Other", "model": "hub/id", "network": {"encoder": "blind"}}}, {})


def test_runs_with_the_same_settings_work_in_folders_of_their_own(paper_jobs):
    twins = ("prototypes_25", "ratio_80")
    assert len({hash_of(paper_jobs.run_settings(run, "answer_questions")) for run in twins}) == 1
    assert len({paper_jobs.answers_key(run, "model") for run in twins}) == 2
    assert len({paper_jobs.instruction_key(run, 0) for run in twins}) == 2
