"""lmms-eval itself runs a local task with our model, from films or their features: our own loop's replies and accuracy.

Needs lmms-eval, which is no dependency of the project: docs/benchmarks/lmms_eval.md says how to install it beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import official_files
import pytest
import toy_models
import yaml
from benchmark_films import film

from dynfocus.config.load import load_config

pytest.importorskip("lmms_eval")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROFILE = {
    "video": {"fps": 2.0, "image_size": 16},
    "feature_precision": "fp32",
    "network": toy_models.NETWORK,
    "evaluation": {"max_new_tokens": 1, "batch_size": 4},
    "hardware": {"device": "cpu", "threads": 1},
}

TASK = """
task: local_video_mme
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 1
  temperature: 0
  do_sample: false
process_results: !function utils.process_results
metric_list:
  - metric: accuracy
    aggregation: mean
    higher_is_better: true
"""

UTILS = """
from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer

from dynfocus.evaluation.benchmarks.video_mme import PROMPT

DATA = {data!r}


def doc_to_visual(doc):
    return [f"{{DATA}}/video_mme/data/{{doc['videoID']}}.mp4"]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return "\\n".join((PROMPT, doc["question"], *doc["options"], "The best answer is:"))


def process_results(doc, results):
    return {{"accuracy": float(extract_mcq_answer(results[0]) == doc["answer"])}}
"""


def our_rows(config, tmp_path):
    """Replies and the accuracy of our own loop."""
    from dynfocus.evaluation.answer import answer_shard
    from dynfocus.evaluation.lines import read_lines, write_lines
    from dynfocus.evaluation.score import score_run

    answers, scores = tmp_path / "answers.jsonl", tmp_path / "scores.json"
    places = (tmp_path / "model", tmp_path / "data", tmp_path / "features", answers, tmp_path / "work")
    answer_shard(config, "run", 0, ["video_mme"], 0, 1, *places)
    write_lines(tmp_path / "verdicts.jsonl", [])
    score_run(config, "run", 0, ["video_mme"], [answers], tmp_path / "verdicts.jsonl", tmp_path / "data", scores)
    samples = read_lines(scores.with_suffix(".samples.jsonl"))
    return samples, json.loads(scores.read_text())[0]["metrics"]["accuracy"]["value"]


@pytest.mark.parametrize(
    "source",
    ["clip={root}/clip,config={root}/profile.yaml", "data={root}/data,features={root}/features"],
    ids=["from films", "from features"],
)
def test_lmms_eval_gives_our_replies_and_our_accuracy(tmp_path, repository, source):
    from dynfocus.features.extract import extract

    file = tmp_path / "data/video_mme/test.jsonl"
    rows = official_files.video_mme(tmp_path / "data/video_mme", videos=4)
    toy_models.own_model(tmp_path / "model", says="ABCD")
    toy_models.clip(tmp_path / "clip")
    shape = tmp_path / "clip/open_clip_config.json"
    backbones = {"clip": {"model": str(shape), "layer": -1}}
    profile = {"extends": str(repository / "config/mini.yaml"), **PROFILE, "backbones": backbones}
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(profile))
    config = load_config([tmp_path / "profile.yaml"], [])
    videos = [f"data/video00000{number}.mp4" for number in range(4)]
    for number, video in enumerate(videos):
        film(tmp_path / "data/video_mme" / video, frames=8 + 4 * number)
    shard = tmp_path / "features/video_mme/shard-0-of-1.safetensors"
    extract(config, "video_mme", videos, tmp_path / "data/video_mme", tmp_path / "clip", shard, "")
    samples, _ = our_rows(config, tmp_path)
    predicted = {sample["sample_id"]: sample["predicted"] for sample in samples}
    assert len(set(predicted.values()) - {None}) > 1, "the toy model names several letters"
    for number, row in enumerate(rows):
        row["answer"] = (predicted[row["question_id"]] if number % 2 else None) or "D"
    official_files.write(file, rows)
    samples, ours = our_rows(config, tmp_path)
    assert 0 < ours < 100

    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "local_video_mme.yaml").write_text(TASK.format(file=file))
    (tasks / "utils.py").write_text(UTILS.format(data=str(tmp_path / "data")))
    arguments = f"pretrained={tmp_path / 'model'},{source.format(root=tmp_path)}"
    command = [sys.executable, "-m", "lmms_eval", "--model", "dynfocus", "--device", "cpu", "--batch_size", "4"]
    command += ["--model_args", f"{arguments},prompt_field=question", "--tasks", "local_video_mme"]
    command += ["--include_path", str(tasks), "--log_samples", "--output_path", str(tmp_path / "lmms")]
    environment = os.environ | {
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (tmp_path / "lmms").rglob("*_results.json")
    accuracy = json.loads(results.read_text())["results"]["local_video_mme"]["accuracy,none"]
    assert 100 * accuracy == pytest.approx(ours)
    (logged,) = (tmp_path / "lmms").rglob("*_samples_local_video_mme.jsonl")
    theirs = [json.loads(line) for line in logged.read_text().splitlines()]
    replies = {rows[row["doc_id"]]["question_id"]: row["filtered_resps"] for row in theirs}
    assert {key: reply[0] if isinstance(reply, list) else reply for key, reply in replies.items()} == {
        sample["sample_id"]: sample["replies"][0] for sample in samples
    }
