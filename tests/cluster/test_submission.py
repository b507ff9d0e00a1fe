"""The sbatch lines of the paper's jobs: CPUs for every GPU, a number of nodes, and a warning before the time limit.

A stand-in for sbatch keeps its arguments and nothing runs; Snakemake is ended once it has sent the job.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynfocus.config.load import load_config
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.table import AnswerQuestions, ExtractFeatures, TrainAlignment, TrainInstruction, needed

SBATCH = """\
#!{python}
import json, os, sys
with open({calls!r} + ".partial", "w") as stream:
    json.dump(sys.argv[1:], stream)
os.replace({calls!r} + ".partial", {calls!r})
print(1)
"""
SINFO = "#!/bin/sh\necho 'main*'\n"
NOTHING = "#!/bin/sh\n"
STAND_INS = {"sbatch": SBATCH, "sinfo": SINFO, "squeue": NOTHING, "sacct": NOTHING, "scontrol": NOTHING}
RULES = {
    "extract_features": lambda jobs: ExtractFeatures("videochatgpt", 0, jobs.config.feature_shards),
    "train_alignment": lambda jobs: TrainAlignment(jobs.alignment_key("dynfocus", 0)),
    "train_instruction": lambda jobs: TrainInstruction("dynfocus", 0),
    "answer_questions": lambda jobs: AnswerQuestions("dynfocus", 0, 0, jobs.config.evaluation.shards),
}


@pytest.fixture
def submit(clone, tmp_path, monkeypatch):
    """Sends one step of the paper's profile, everything before it being there; the arguments of its sbatch."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(text.format(python=sys.executable, calls=str(calls)))
        (programs / name).chmod(0o755)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def one(rule: str, *changes: str) -> dict[str, str]:
        root = tmp_path / "run"
        jobs = Jobs.load(load_config([Path("config/paper.yaml")], [f"root={root}", *changes]))
        step = RULES[rule](jobs)
        for file in (file for before in needed(jobs, [step])[:-1] for file in before.outputs(jobs)):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/slurm", "--retries", "0"]
        command += ["--slurm-status-command", "squeue", "--slurm-no-account", "--rerun-triggers", "mtime"]
        command += ["--configfile", "config/paper.yaml", "--config", f"root={root}", *changes]
        command += ["--", *map(str, step.outputs(jobs))]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and not calls.exists():
            time.sleep(0.1)
        run.kill()
        run.wait()
        return options(json.loads(calls.read_text()))

    return one


def options(words: list[str]) -> dict[str, str]:
    """`--name=value`, `--name value` and `-n value` as a mapping; what is wrapped is left out."""
    found: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if word.startswith("-") and not word.startswith("--wrap"):
            found[name] = value if equals else after
    return found


@pytest.mark.parametrize("rule, gpus", [("train_alignment", "8"), ("train_instruction", "8")])
def test_a_training_asks_for_cpus_per_gpu_one_node_and_a_warning(submit, rule, gpus):
    sent = submit(rule)
    print(sent)
    assert (sent["--gpus"], sent["--cpus-per-gpu"], sent["--nodes"]) == (gpus, "8", "1")
    assert sent["--signal"] == "URG@600" and sent["-t"] == "1440"
    assert "--cpus-per-task" not in sent


@pytest.mark.parametrize("rule", ["extract_features", "answer_questions"])
def test_a_job_on_one_gpu_asks_for_its_cpus(submit, rule):
    sent = submit(rule)
    assert (sent["--gpus"], sent["--cpus-per-gpu"], sent["--nodes"]) == ("1", "8", "1")


def test_a_training_over_two_nodes_asks_for_both(submit):
    batches = ("alignment={micro_batch: 16}", "instruction={micro_batch: 2}")
    sent = submit("train_instruction", "hardware={gpus: 16, processes: 16, nodes: 2}", *batches)
    assert (sent["--gpus"], sent["--cpus-per-gpu"], sent["--nodes"], sent["--ntasks"]) == ("16", "8", "2", "2")
