"""What is published is told apart from what this checkout would publish; the last test holds it for this repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_run import SELECTION, jobs_here
from typer.testing import CliRunner

from dynfocus.artefacts.fresh import freshness
from dynfocus.cli import app
from dynfocus.errors import UserError
from dynfocus.steps.index import NAME as INDEX
from dynfocus.steps.jobs import Jobs

TUNED = "checkpoints/instruction/dynfocus/seed-0"


def test_what_was_just_published_is_up_to_date(published):
    found = freshness(jobs_here())
    assert (found.stale, found.kept) == ({}, {})
    assert list(found.lines()) == ["what is published is up to date"]


def test_an_edited_setting_is_out_of_date_with_both_values(published):
    found = freshness(jobs_here("instruction.learning_rate=5e-3"))
    assert found.stale[TUNED] == "published with instruction.learning_rate = 0.001, wanted with 0.005"
    assert list(found.lines())[-1] == "out of date; mend it with: snakemake && make publish"


def test_an_added_run_and_a_dropped_one_are_out_of_date(published):
    added, dropped = freshness(jobs_here("runs=[dynfocus, blind, llama_vid]")), freshness(jobs_here("runs=[dynfocus]"))
    assert added.stale["checkpoints/instruction/llama_vid/seed-0"] == "not published"
    assert dropped.stale["results/scores/blind/seed-0.json"] == "published, but no longer part of this configuration"


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("reporting/tables.py", "execute_notebook render_report"),
        ("reporting/templates/report.html.j2", "execute_notebook render_report"),
        ("paper/data/cells.csv", "execute_notebook render_report"),
        ("evaluation/judges/prompts.py", "judge_answers"),
        ("evaluation/statistics.py", "score_answers execute_notebook render_report"),
    ],
)
def test_code_of_what_is_done_again_in_each_run_must_be_that_of_the_checkout(published, edited, file, rules):
    edited(file, "EDITED = 1")
    found = freshness(jobs_here())
    assert not found.kept
    assert found.repair() == f"snakemake --forcerun {rules} && make publish"


def test_a_module_that_joined_is_other_code(published, edited):
    edited("reporting/report.py", "from dynfocus.network import topk")
    assert "dynfocus.network.topk" in freshness(jobs_here()).stale["results/report.html"]


def test_code_behind_kept_results_is_named_and_counted_in_one_line(published, edited):
    edited("network/topk.py", "EDITED = 1")
    found = freshness(jobs_here())
    assert not found.stale and TUNED in found.kept
    kept, last = found.lines()
    assert f"{len(found.kept)} results" in kept and kept.endswith("edited: dynfocus.network.topk")
    assert last == "what is published is up to date"


def test_another_notebook_or_encoder_is_out_of_date(published):
    for file in ("notebooks/table_7.ipynb", "config/backbones/clip-mini.json"):
        Path(file).write_text(Path(file).read_text() + "\n")
    stale = freshness(jobs_here()).stale
    assert stale == {
        "results/notebooks/table_7.ipynb": "published from another notebooks/table_7.ipynb",
        "backbones/clip": "published from another config/backbones/clip-mini.json",
    }


def test_a_store_of_another_publication_is_out_of_date(published):
    for file in (file for file in Path("dvcstore").rglob("*") if file.is_file()):
        file.chmod(0o644)
        file.write_bytes(file.read_bytes().replace(b"train-instruction dynfocus", b"train-instruction dynfokus"))
    (reason,) = freshness(jobs_here()).stale.items()
    assert reason == (TUNED, f"the store holds something else than {INDEX} says")


def test_nothing_published_is_one_line(finished):
    with pytest.raises(UserError, match="nothing is published"):
        freshness(finished)


def test_the_command_says_it_and_fails_where_it_is_out_of_date(published):
    options = [word for text in SELECTION for word in ("--set", text)]
    done = CliRunner().invoke(app, ["why", "--published", *options])
    assert (done.exit_code, done.stdout) == (0, "what is published is up to date\n")
    done = CliRunner().invoke(app, ["why", "--published", *options, "--set", "instruction.epochs=7"])
    assert done.exit_code == 1 and "snakemake && make publish" in done.stdout


def test_what_this_repository_publishes_is_what_this_checkout_would_publish(repository, mini_config, monkeypatch):
    monkeypatch.chdir(repository)
    found = freshness(Jobs.load(mini_config))
    assert not found.stale, "\n".join(found.lines())
