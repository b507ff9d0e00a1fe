"""`start_from`: what is pulled and made, what that costs, and that no edit scores old weights."""

from __future__ import annotations

import shutil

import pytest
from finished_run import jobs_here

from dynfocus.artefacts.cache import RUNGS, decide, require_no_training
from dynfocus.artefacts.why import explain
from dynfocus.errors import UserError
from dynfocus.planning import sizes
from dynfocus.planning.costs import cost_lines, run_lines
from dynfocus.steps.perform import check
from dynfocus.steps.table import TrainInstruction, name_of

PAGES = {"execute_notebook", "render_report"}
MADE = {
    "scratch": {
        "prepare_data", "verify_data", "prepare_clip", "prepare_llm", "prepare_qformer", "extract_features",
        "train_alignment", "train_instruction", "answer_questions", "judge_answers", "score_answers",
    },
    "stage1": {
        "verify_data", "extract_features", "train_instruction", "answer_questions", "judge_answers", "score_answers",
    },
    "checkpoints": {"verify_data", "extract_features", "answer_questions", "judge_answers", "score_answers"},
    "predictions": {"judge_answers", "score_answers"},
    "scores": set(),
}  # fmt: skip


def rules(steps) -> set[str]:
    return {step.rule() for step in steps}


@pytest.mark.parametrize("rung", RUNGS)
def test_what_is_made_at_each_rung(published, rung):
    assert rules(decide(jobs_here(f"start_from={rung}")).made) == MADE[rung] | PAGES


def test_later_rungs_make_less(published):
    made = [len(decide(jobs_here(f"start_from={rung}")).made) for rung in RUNGS]
    assert made == sorted(made, reverse=True) and made[-1] == len(PAGES)


def test_an_added_run_is_made_from_what_is_published_and_the_rest_is_pulled(published):
    decision = decide(jobs_here("start_from=scores", "runs=[dynfocus, blind, llama_vid]"))
    assert {step.run for step in decision.trained() if isinstance(step, TrainInstruction)} == {"llama_vid"}
    assert {"prepare_clip", "prepare_llm", "prepare_qformer", "prepare_data", "score_answers"} <= rules(decision.pulled)
    assert set(decision.reasons.values()) == {"not published"}


def test_an_added_benchmark_answers_again_and_trains_nothing(published):
    decision = decide(jobs_here("start_from=scores", "benchmarks=[msvd_qa, video_mme]"))
    assert decision.trained() == [] and "train_instruction" in rules(decision.pulled)
    (reason,) = {decision.reasons[step] for step in decision.made if step.rule() == "answer_questions"}
    assert reason == "published with benchmarks = ['msvd_qa'], wanted with ['msvd_qa', 'video_mme']"


def test_an_edited_setting_is_made_anew_and_says_why(published):
    jobs = jobs_here("start_from=scores", "instruction.learning_rate=5e-3")
    decision = decide(jobs)
    assert rules(decision.trained()) == {"train_instruction"} and "train_alignment" in rules(decision.pulled)
    assert not rules(decision.pulled) & {"train_instruction", "answer_questions", "score_answers"}
    assert any(
        "published with instruction.learning_rate = 0.001, wanted with 0.005" in line for line in run_lines(jobs)
    )


def test_never_train_names_what_would_have_to_be_trained(published):
    jobs = jobs_here("start_from=checkpoints", "never_train=true")
    require_no_training(jobs, decide(jobs))
    edited = jobs_here("start_from=checkpoints", "never_train=true", "instruction.learning_rate=5e-3")
    with pytest.raises(UserError, match=r"dynfocus/seed-0 \(published with instruction") as caught:
        require_no_training(edited, decide(edited))
    assert "\n" not in str(caught.value)


def test_nothing_published_means_that_all_is_made(finished):
    decision = decide(jobs_here("start_from=scores"))
    assert not decision.pulled and rules(decision.made) == MADE["scratch"] | PAGES


def test_cost_lines_say_what_the_run_says(published):
    lines = list(cost_lines(jobs_here()))
    assert len(lines) == len(RUNGS)
    for rung, line in zip(RUNGS, lines, strict=True):
        jobs = jobs_here(f"start_from={rung}")
        assert next(iter(run_lines(jobs))) == line


def test_a_run_on_a_set_of_unknown_size_starts_without_an_estimate(published, monkeypatch):
    known = sizes.rows("sets", "set")
    monkeypatch.setattr(sizes, "rows", lambda *_: {name: row for name, row in known.items() if name != "msvd_qa"})
    line = next(iter(run_lines(jobs_here())))
    assert line.startswith("start_from scratch: makes ")
    assert line.endswith(
        "; no estimate of the time (no size is known of the set msvd_qa: add it to "
        "src/dynfocus/planning/data/sets.csv, or an entry point dynfocus.set_sizes to its package)"
    )


def test_own_checkpoint_needs_its_inputs_and_the_published_one_does_not(published):
    jobs, step = jobs_here("start_from=checkpoints"), TrainInstruction("dynfocus", 0)
    shutil.rmtree(jobs.layout.features)
    check(jobs, [step])
    published_content = (step.path(jobs) / "content.txt").read_text()
    (step.path(jobs) / "content.txt").write_text("mine")
    with pytest.raises(UserError, match="damaged or edited"):
        check(jobs, [step])
    (step.path(jobs) / "content.txt").write_text(published_content)
    check(jobs, [step])


def test_why_says_that_a_deleted_checkpoint_is_pulled(published):
    jobs = jobs_here("start_from=checkpoints")
    shutil.rmtree(TrainInstruction("dynfocus", 0).path(jobs))
    name = name_of(jobs, TrainInstruction("dynfocus", 0))
    assert f"{name}: missing: will be pulled" in list(explain(jobs))
