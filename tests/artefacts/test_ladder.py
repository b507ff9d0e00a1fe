"""`start_from`: what is pulled and made, what that costs, and what is refused before anything is pulled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from finished_run import jobs_here

from dynfocus.artefacts.ladder import RUNGS, cost_lines, costs, is_pulled, is_used, require_fitting
from dynfocus.artefacts.why import explain
from dynfocus.errors import UserError
from dynfocus.steps import catalogue
from dynfocus.steps.bindings import check

MADE = {
    "scratch": {"data", "backbones", "features", "alignment", "checkpoints", "answers", "verdicts", "scores"},
    "stage1": {"features", "checkpoints", "answers", "verdicts", "scores"},
    "checkpoints": {"features", "answers", "verdicts", "scores"},
    "predictions": {"verdicts", "scores"},
    "scores": set(),
}


@pytest.mark.parametrize("rung", RUNGS)
def test_what_is_made_at_each_rung(published, rung):
    jobs = jobs_here(f"start_from={rung}")
    require_fitting(jobs)
    used = [artefact for artefact in catalogue.demanded(jobs) if is_used(jobs, artefact)]
    assert {artefact.kind for artefact in used if not is_pulled(jobs, artefact)} == MADE[rung]


def test_later_rungs_make_less(published):
    found = costs(jobs_here())
    made = [sum(cost.made.values()) for cost in found]
    assert [cost.rung for cost in found] == list(RUNGS) and made == sorted(made, reverse=True) and made[-1] == 0
    assert found[0].bytes == 0 and all(cost.bytes > 0 for cost in found[1:])


def test_cost_of_an_unpublished_profile_is_said_to_be_unknown(finished):
    assert all("cost unknown" in line for line in cost_lines(finished))
    with pytest.raises(UserError, match="nothing is published"):
        require_fitting(jobs_here("start_from=scores"))


@pytest.mark.parametrize("rung", RUNGS[2:])
def test_edited_learning_rate_is_refused_before_anything_is_pulled(cloned, rung):
    with pytest.raises(UserError) as caught:
        require_fitting(jobs_here(f"start_from={rung}", "instruction.learning_rate=5e-3"))
    message = str(caught.value)
    assert "instruction.learning_rate = 0.001, wanted with 0.005" in message and "start_from: stage1" in message


def test_stage_2_may_be_trained_otherwise_from_the_published_stage_1(cloned):
    require_fitting(jobs_here("start_from=stage1", "instruction.learning_rate=5e-3"))
    with pytest.raises(UserError, match=r"alignment.learning_rate = 0.007, wanted with 0.05.*start_from: scratch"):
        require_fitting(jobs_here("start_from=stage1", "alignment.learning_rate=5e-2"))


def test_other_judge_is_refused_at_scores_and_taken_at_predictions(cloned):
    require_fitting(jobs_here("start_from=predictions", "evaluation.judge.model=other"))
    with pytest.raises(UserError, match=r"judge.model = 'rule', wanted with 'other'.*start_from: predictions"):
        require_fitting(jobs_here("start_from=scores", "evaluation.judge.model=other"))


def test_run_that_is_not_published_is_refused(cloned):
    with pytest.raises(UserError, match="instruction/llama_vid/seed-0: not published"):
        require_fitting(jobs_here("start_from=scores", "runs=[llama_vid]"))


def test_own_checkpoint_is_not_taken_for_the_published_one(published):
    jobs = jobs_here("start_from=checkpoints")
    trained = catalogue.checkpoint(jobs, "dynfocus", 0)
    check(jobs, [trained])
    manifest = Path(trained.path, "manifest.json")
    content = manifest.read_text().split('"content": "')[1][:64]
    manifest.write_text(manifest.read_text().replace(content, "0" * 64))
    with pytest.raises(UserError) as caught:
        check(jobs, [trained])
    assert content[:12] in str(caught.value) and "0" * 12 in str(caught.value)


def test_why_says_that_a_deleted_checkpoint_is_pulled(published):
    jobs = jobs_here("start_from=checkpoints")
    shutil.rmtree(catalogue.checkpoint(jobs, "dynfocus", 0).path)
    assert "checkpoints/instruction/dynfocus/seed-0: missing: will be pulled" in list(explain(jobs))


def test_stage_1_is_used_below_its_rung_only_where_an_item_reads_its_log(published):
    def aligned(*overrides: str) -> list[str]:
        jobs = jobs_here("start_from=scores", *overrides)
        return [one.pack for one in catalogue.demanded(jobs) if one.kind == "alignment" and is_used(jobs, one)]

    assert aligned() == []
    jobs = jobs_here("runs=[dynfocus]")
    assert aligned("items=[table_2]", "runs=[dynfocus]") == [catalogue.alignment(jobs, "dynfocus", 0).pack]
