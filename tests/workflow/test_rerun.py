"""What runs again after a change, and what does not."""

from __future__ import annotations

PAGES = ["Executing the notebook of main: Main", "Executing the notebook of other: Other"]
REPORT = "Rendering out/results/report.html"


def evaluation(run: str, *benchmarks: str) -> list[str]:
    return [
        f"Answering {' '.join(benchmarks)} with {run}, seed 0, shard 0 of 1",
        f"Judging the answers of {run}, seed 0",
        f"Scoring {run}, seed 0",
    ]


def tuning(run: str) -> str:
    return f"Stage 2, instruction tuning of {run}, seed 0"


def test_nothing_is_left_to_do(project):
    assert project.planned() == []


def test_training_parameter_of_one_run_reruns_exactly_its_jobs(project):
    project.edit(
        "config/experiments.yaml", lambda values: values["runs"]["lazy"]["instruction"].update(learning_rate=4e-4)
    )
    assert project.planned() == sorted([tuning("lazy"), *evaluation("lazy", "msvd_qa"), PAGES[0], REPORT])


def test_network_of_one_run_reruns_both_its_stages(project):
    project.edit("config/experiments.yaml", lambda values: values["runs"]["kmeans"]["network"].update(sigma=0.2))
    assert project.planned() == sorted(
        [
            "Stage 1, vision-language alignment for kmeans",
            tuning("kmeans"),
            *evaluation("kmeans", "mlvu"),
            PAGES[1],
            REPORT,
        ]
    )


def test_judge_setting_reruns_no_model(project):
    project.edit("config/dummy.yaml", lambda values: values.update(evaluation={"judge": {"max_tokens": 9}}))
    jobs = project.planned()
    assert "Judging the answers of lazy, seed 0" in jobs
    assert not [job for job in jobs if job.startswith(("Stage", "Answering", "Extracting", "Preparing"))]


def test_a_second_judge_marks_again_and_changes_the_report_alone(project):
    second = "evaluation={second_judge: {kind: openai, model: m}}"
    runs = ("blind", "dynfocus", "kmeans", "lazy")
    again = [f"Judging the answers of {run}, seed 0, with the second judge" for run in runs]
    assert project.planned("--config", second) == sorted([*again, REPORT])


def test_hardware_and_edited_rules_rerun_nothing(project):
    project.edit("config/dummy.yaml", lambda values: values.update(hardware={"threads": 2}))
    for source in (project.folder / "workflow" / "rules").glob("*.smk"):
        source.write_text(source.read_text().replace("2>&1 | tee", "2>&1  | tee"))
    assert project.planned() == []


def test_new_run_that_shares_stage_1_trains_stage_2_only(project):
    def add(values):
        values["runs"]["eager"] = {"title": "Eager", "instruction": {"learning_rate": 9e-4}}
        values["items"]["main"]["runs"].append("eager")

    project.edit("config/experiments.yaml", add)
    assert project.planned() == sorted([tuning("eager"), *evaluation("eager", "msvd_qa"), PAGES[0], REPORT])


def test_second_seed_adds_jobs_and_keeps_the_first(project):
    jobs = project.planned("--config", "seeds=[0, 1]")
    assert tuning("lazy").replace("seed 0", "seed 1") in jobs
    assert tuning("lazy") not in jobs


def test_failed_job_keeps_what_others_finished(project):
    scores = project.folder / "out/results/scores/dynfocus/seed-0.json"
    work = project.folder / "out" / "work" / "instruction"
    work.mkdir(parents=True)
    (work / "checkpoint").touch()
    rules = project.folder / "workflow" / "rules" / "train.smk"
    rules.write_text(rules.read_text().replace("touch {output:q} && : train-instruction", "touch {output:q} && false"))
    project.edit(
        "config/experiments.yaml", lambda values: values["runs"]["lazy"]["instruction"].update(learning_rate=4e-4)
    )
    assert project.snakemake().returncode != 0
    assert scores.exists()
    assert (work / "checkpoint").exists()
    assert not (project.folder / "out/checkpoints/instruction/lazy/seed-0/manifest.json").exists()
    assert tuning("lazy") in project.planned()
