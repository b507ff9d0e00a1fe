"""Choosing a profile, and mistakes that stop the workflow before it starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time


def test_paper_profile_lists_every_run(project, repository):
    (project.folder / "config" / "experiments.yaml").write_text((repository / "config/experiments.yaml").read_text())
    for notebook in (repository / "notebooks").glob("*.ipynb"):
        (project.folder / "notebooks" / notebook.name).touch()
    jobs = project.planned("--configfile", "config/paper.yaml")
    tuned = {re.sub(r".* of (\w+), seed.*", r"\1", job) for job in jobs if job.startswith("Stage 2")}
    assert {"dynfocus", "dynfocus_full", "llama_vid", "kmeans", "cross_attention", "blind"} <= tuned
    assert "dynfocus_full_rectified" not in tuned
    assert "Extracting the features of videochatgpt, shard 15 of 16" in jobs


def test_configfile_replaces_the_default_profile_and_further_files_merge(project):
    (project.folder / "more.yaml").write_text("seeds: [7]\n")
    jobs = project.planned("--configfile", "config/dummy.yaml", "more.yaml")
    assert "Stage 2, instruction tuning of lazy, seed 7" in jobs
    assert not [job for job in jobs if "seed 0" in job]
    assert project.planned("--configfile", "config/smoke.yaml", "--config", "items=[main]", "runs=[all]") != []


def test_mistake_is_one_line_and_a_failure(project):
    done = project.snakemake("-n", "--config", "seed=3")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dynfocus:")]
    assert lines == ["dynfocus: command line: seed: unknown key; the nearest valid key is seeds"]


def test_nested_override_reaches_the_jobs(project):
    done = project.snakemake("-n", "--config", "instruction={learning_rate: slow}")
    assert "command line: instruction.learning_rate" in done.stderr
    assert "Judging the answers of lazy, seed 0" in project.planned("--config", "evaluation={judge: {max_tokens: 5}}")


def test_root_with_a_blank_and_an_umlaut(project):
    options = ("--config", "root=läufe von heute", "items=[other]", "runs=[blind, dynfocus]")
    project.build(*options)
    assert (project.folder / "läufe von heute" / "results" / "report.html").is_file()
    assert project.planned(*options) == []


def test_root_that_is_a_file_is_one_line(project):
    (project.folder / "taken").write_text("a file")
    done = project.snakemake("--config", "root=taken")
    assert done.returncode != 0 and "Traceback" not in done.stderr and "UserError" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("dynfocus:")]
    assert "root: taken is a file; name a folder" in line


def test_gpu_profile_without_a_gpu_stops_before_the_first_job(project):
    project.edit(
        "config/dummy.yaml",
        lambda values: values.update(
            root="gpu",
            hardware={"device": "cuda", "gpus": 2, "processes": 2},
            alignment={"micro_batch": 1},
            instruction={"micro_batch": 1},
        ),
    )
    assert project.planned() != []
    done = project.snakemake()
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "hardware.device is cuda with 2 GPUs, this machine offers 0" in done.stderr
    assert not (project.folder / "gpu").exists()


def test_second_run_in_one_folder_is_refused_and_a_killed_one_is_not_in_the_way(project):
    rules = project.folder / "workflow" / "rules" / "train.smk"
    rules.write_text(rules.read_text().replace("touch {output:q} && :", "touch started && sleep 300 #"))
    command = [sys.executable, "-m", "snakemake", "--config", "seeds=[5]", "runs=[blind]"]
    first = subprocess.Popen(command, cwd=project.folder, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (project.folder / "started").exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = project.snakemake("--config", "seeds=[6]", "runs=[blind]")
    assert second.returncode != 0
    assert f"dynfocus: a run in this folder: still running as process {first.pid}" in second.stderr
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    rules.write_text(rules.read_text().replace("sleep 300 #", "touch {output:q} #"))
    project.build("--config", "seeds=[5]", "runs=[blind]")
