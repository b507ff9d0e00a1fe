"""Choosing a profile, and mistakes that stop the workflow before it starts."""

from __future__ import annotations

import re


def test_paper_profile_lists_every_run(project, repository):
    (project.folder / "config" / "experiments.yaml").write_text((repository / "config/experiments.yaml").read_text())
    for notebook in (repository / "notebooks").glob("*.ipynb"):
        (project.folder / "notebooks" / notebook.name).touch()
    jobs = project.planned("--configfile", "config/paper.yaml")
    tuned = {re.sub(r".* of (\w+), seed.*", r"\1", job) for job in jobs if job.startswith("Stage 2")}
    assert {"dynfocus", "dynfocus_full", "llama_vid", "kmeans", "cross_attention", "blind"} <= tuned
    assert "dynfocus_full_rectified" not in tuned
    assert "Extracting the features of webvid_cap, shard 15 of 16" in jobs


def test_configfile_replaces_the_default_profile_and_further_files_merge(project):
    (project.folder / "more.yaml").write_text("seeds: [7]\n")
    jobs = project.planned("--configfile", "config/dummy.yaml", "more.yaml")
    assert "Stage 2, instruction tuning of lazy, seed 7" in jobs
    assert not [job for job in jobs if "seed 0" in job]
    assert project.planned("--configfile", "config/smoke.yaml", "--config", "items=[main]") != []


def test_mistake_is_one_line_and_a_failure(project):
    done = project.snakemake("-n", "--config", "seed=3")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dynfocus:")]
    assert lines == ["dynfocus: command line: seed: unknown key; the nearest valid key is seeds"]


def test_nested_override_reaches_the_commands(project):
    done = project.snakemake("-n", "--config", "instruction={learning_rate: slow}")
    assert "command line: instruction.learning_rate" in done.stderr
    project.build("--config", "evaluation={judge: {max_tokens: 5}}")
    assert "max_tokens: 5" in (project.folder / "out" / "config.yaml").read_text()


def test_gpu_profile_without_a_gpu_stops_before_the_first_job(project):
    project.edit("config/dummy.yaml", lambda values: values.update(root="gpu", hardware={"device": "cuda", "gpus": 2}))
    assert project.planned() != []
    done = project.snakemake()
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "hardware.device is cuda with 2 GPUs, this machine offers 0" in done.stderr
    assert not (project.folder / "gpu").exists()
    assert not list((project.folder / ".snakemake").glob("locks/*"))
