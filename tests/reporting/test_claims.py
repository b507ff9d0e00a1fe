"""Direction claims: tested question by question over seeds and films, with one of four verdicts."""

import numpy as np
import pytest
from evidence_files import FILMS, PER_FILM, answers, evidence_of_runs, jobs_of, questions, series

from dynfocus.errors import UserError
from dynfocus.evaluation.evidence import Evidence
from dynfocus.machine.processor import processor_name
from dynfocus.paper.register import Claim, load_claims, load_margins, margin_of
from dynfocus.reporting.claims import count_verdicts, judge_claims, measure, measure_all, names_of
from dynfocus.reporting.evidence import write_evidence
from dynfocus.reporting.reasons import Facts, reason_of
from dynfocus.reporting.verdicts import Verdict
from dynfocus.steps.claims import claim_units, missing_evaluations, settings_of_run


def pair(better: str = "dynfocus", worse: str = "kmeans", **changes: str) -> Claim:
    fields = {
        "id": f"{better}.{worse}", "statement": "x", "source": "x", "kind": "pair", "benchmark": "msvd_qa",
        "metric": "accuracy", "group": "", "better": better, "worse": worse, "note": "", **changes,
    }  # fmt: skip
    return Claim(**fields)


def sweep(kind: str = "optimum_larger", group: str = "duration=long>duration=short") -> Claim:
    return pair("prototypes", "", kind=kind, group=group, benchmark="video_mme")


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [(75.0, 45.0, "replicates"), (45.0, 75.0, "contradicted"), (60.0, 60.5, "undecided")],
)
def test_verdicts_follow_the_difference(better, worse, verdict):
    (outcome,) = judge_claims(evidence_of_runs({"dynfocus": better, "kmeans": worse}), [pair()])
    assert outcome.verdict == verdict
    assert outcome.low < outcome.narrow_low < outcome.difference < outcome.narrow_high < outcome.high
    assert outcome.difference == pytest.approx(outcome.better_value - outcome.worse_value)
    assert (outcome.questions, outcome.films, outcome.seeds) == (FILMS * PER_FILM, FILMS, ["0", "1", "2"])


def test_runs_that_answer_nearly_alike_are_equivalent():
    same = {seed: answers(60, seed) for seed in range(3)}
    other = {seed: np.where(np.arange(len(one)) == 7 * seed, 1 - one, one) for seed, one in same.items()}
    made = [series(run, seed, side[seed]) for run, side in (("dynfocus", same), ("kmeans", other)) for seed in range(3)]
    (outcome,) = judge_claims(Evidence(tuple(made), questions()), [pair()])
    assert outcome.verdict == "equivalent"
    assert -outcome.margin < outcome.narrow_low and outcome.narrow_high < outcome.margin


def test_a_difference_is_of_the_questions_that_both_sides_have_a_value_for():
    one, other = answers(60, 0), answers(60, 1)
    other[:PER_FILM] = np.nan
    found = measure(Evidence((series("dynfocus", 0, one), series("kmeans", 0, other)), questions()), pair())
    assert found.effect.questions == FILMS * PER_FILM - PER_FILM
    assert found.effect.mean == pytest.approx(100 * (one[PER_FILM:].mean() - other[PER_FILM:].mean()))


def test_two_seeds_show_the_difference_and_say_what_is_lacking():
    (outcome,) = judge_claims(evidence_of_runs({"dynfocus": 75.0, "kmeans": 45.0}, seeds=2), [pair()])
    assert outcome.difference > 20 and outcome.p_value is None
    assert (outcome.verdict, outcome.reason) == ("undecided", "needs 3 seeds, has 2")


def test_a_missing_run_is_named():
    (outcome,) = judge_claims(evidence_of_runs({"dynfocus": 60.0}), [pair()])
    assert (outcome.verdict, outcome.reason) == ("not attempted", "no results of kmeans")


def test_the_same_seed_on_another_processor_is_a_further_seed_and_the_same_model_is_not():
    runs = ("dynfocus", "kmeans")
    made = [series(run, 0, answers(60, place)) for place, run in enumerate(runs)]
    made += [series(run, 0, answers(60, 9 + place), processor="other CPU") for place, run in enumerate(runs)]
    made += [
        series(run, 0, answers(60, place), processor="third CPU", model=f"{run}-0-some CPU")
        for place, run in enumerate(runs)
    ]
    found = measure(Evidence(tuple(made), questions()), pair())
    assert names_of(list(found.by_key)) == ["0 (other CPU)", "0 (some CPU)"]


def test_runs_are_compared_on_one_processor_only():
    made = (series("dynfocus", 0, answers(60, 0)), series("kmeans", 0, answers(60, 1), processor="other CPU"))
    assert measure(Evidence(made, questions()), pair()) == "no seed on which both sides answered the same questions"


def test_two_metrics_of_one_run_can_be_compared_and_a_macro_mean_weighs_its_labels_alike():
    asked = questions("videohallucer", labels=("category=a", "category=b", "category=b"))
    label = np.repeat([film % 3 == 0 for film in range(FILMS)], PER_FILM)
    made = [
        series("dynfocus", seed, values, benchmark="videohallucer", metric=metric, questions="videohallucer-v1")
        for seed in range(3)
        for metric, values in (("basic_accuracy", label * 1.0), ("halluc_accuracy", 0.0 * label))
    ]
    claim = pair("dynfocus:basic_accuracy", "dynfocus:halluc_accuracy", benchmark="videohallucer")
    found = measure(Evidence(tuple(made), asked), claim)
    assert found.better == pytest.approx(50.0) and found.worse == 0.0


def test_a_group_is_of_the_samples_that_carry_its_label():
    asked = questions(labels=("category=a", "category=b"))
    label = np.repeat([film % 2 == 0 for film in range(FILMS)], PER_FILM)
    made = (series("dynfocus", 0, label * 1.0), series("kmeans", 0, 0.0 * label))
    found = measure(Evidence(made, asked), pair(group="category=a"))
    assert (found.better, found.effect.films) == (100.0, FILMS // 2)
    assert "fewer than two films" in measure(Evidence(made, asked), pair(group="category=c"))


def test_optimum_of_a_sweep():
    # long films are right more often at L = 55, short ones at L = 15
    asked = questions("video_mme", labels=("duration=short", "duration=long"))
    long = np.repeat([film % 2 == 1 for film in range(FILMS)], PER_FILM)
    chances = {5: (40, 30), 15: (75, 40), 55: (50, 75)}
    made = [
        series(
            f"prototypes_{setting}", seed, np.where(long, answers(of_long, seed), answers(of_short, seed)),
            benchmark="video_mme", questions="video_mme-v1",
        )
        for setting, (of_short, of_long) in chances.items()
        for seed in range(3)
    ]  # fmt: skip
    evidence = Evidence(tuple(made), asked)
    larger, smaller = judge_claims(evidence, [sweep(), pair("prototypes", "", kind="optimum_smaller", id="s",
                                   group="duration=long>duration=short", benchmark="video_mme")])  # fmt: skip
    assert (larger.better_value, larger.worse_value, larger.difference) == (55.0, 15.0, 40.0)
    assert (larger.verdict, smaller.verdict) == ("replicates", "contradicted")


def test_all_claims_without_evidence_are_not_attempted():
    outcomes = judge_claims(Evidence())
    assert len(outcomes) == len(load_claims())
    assert count_verdicts(outcomes)["not attempted"] == len(outcomes)


def test_p_values_are_corrected_for_the_number_of_claims():
    names = [f"run{number}" for number in range(5)]
    evidence = evidence_of_runs({"dynfocus": 64.0, **dict.fromkeys(names, 60.0)})
    claims = [pair("dynfocus", name) for name in names]
    raw = {name: found.effect.p_difference() for name, found in measure_all(evidence, claims).items()}
    order = sorted(raw, key=raw.get)
    corrected = {one.id: one.p_value for one in judge_claims(evidence, claims)}
    assert corrected[order[-1]] == pytest.approx(raw[order[-1]])
    assert corrected[order[0]] == pytest.approx(min(raw[name] * 5 / (place + 1) for place, name in enumerate(order)))


def test_every_claim_has_a_margin_that_was_stated_with_its_reason():
    for claim in load_claims():
        assert margin_of(claim) > 0
    assert all(one.reason for one in load_margins().values())
    with pytest.raises(UserError, match=r"margins.csv: no margin for 'msvd_qa loudness'"):
        margin_of(pair(metric="loudness"))


# What is made


def test_the_claims_need_every_run_that_they_name(tmp_path):
    jobs = jobs_of(tmp_path)
    named = {side.partition(":")[0] for claim in load_claims() if claim.kind == "pair"
             for side in (claim.better, claim.worse)}  # fmt: skip
    made = missing_evaluations(jobs, tmp_path)
    assert named <= {run for run, _ in made} and "prototypes_80" in {run for run, _ in made}
    assert {seed for _, seed in made} == {0, 1, 2}
    assert {run for run, _, _ in claim_units(jobs_of(tmp_path, "runs=[dynfocus, blind]"))} == {"dynfocus", "blind"}


def carry(jobs, folder, seed: int, processor: str, runs=None):
    """Store made-up evidence of every unit, or of those of some runs."""
    name = processor_name("cpu") if processor == "here" else processor
    units = [unit for unit in claim_units(jobs) if runs is None or unit[0] in runs]
    made = tuple(
        series(
            run, seed, answers(60, 1), processor=name, benchmark=benchmark, metric=metric,
            settings=settings_of_run(jobs, run), questions=f"{benchmark}-v1",
        )
        for run, benchmark, metric in units
    )  # fmt: skip
    asked = {}
    for benchmark in {unit[1] for unit in units}:
        asked |= questions(benchmark)
    write_evidence(jobs, Evidence(made, asked), folder / "mini")


def test_only_what_no_processor_has_in_full_is_made(tmp_path):
    jobs, folder = jobs_of(tmp_path, "runs=[dynfocus, kmeans, blind]"), tmp_path / "stored"
    carry(jobs, folder, 0, "other CPU")
    carry(jobs, folder, 1, "other CPU", runs=["dynfocus"])
    carry(jobs, folder, 2, "here", runs=["dynfocus"])
    assert missing_evaluations(jobs, folder) == [
        ("dynfocus", 1), ("kmeans", 1), ("blind", 1), ("kmeans", 2), ("blind", 2),
    ]  # fmt: skip


def test_evidence_of_other_settings_counts_for_nothing(tmp_path):
    chosen = "runs=[dynfocus, blind]"
    carry(jobs_of(tmp_path, chosen), tmp_path, 0, "other CPU")
    assert ("dynfocus", 0) not in missing_evaluations(jobs_of(tmp_path, chosen), tmp_path)
    changed = jobs_of(tmp_path, chosen, "instruction.learning_rate=0.5")
    assert ("dynfocus", 0) in missing_evaluations(changed, tmp_path)


def test_every_claim_is_on_a_benchmark_that_both_its_runs_answer(tmp_path):
    jobs = jobs_of(tmp_path)
    shown = {run for run, _ in jobs.evaluations}
    for claim in load_claims():
        sides = (claim.better, claim.worse) if claim.kind == "pair" else (f"{claim.better}_20", f"{claim.better}_25")
        for run in (side.partition(":")[0] for side in sides):
            if run in jobs.experiments.runs:
                assert run in shown, f"{claim.id}: no item scores {run}"
                assert claim.benchmark in jobs.benchmarks(run), claim.id


@pytest.mark.parametrize(
    ("verdict", "differences", "changes", "words"),
    [
        (Verdict.REPLICATES, [3, 4, 5], {}, ""),
        (Verdict.REPLICATES, [1, 1, 1], {"high": 1.5}, "smaller than the margin"),
        (Verdict.UNDECIDED, [3, 4], {}, "needs 3 seeds, has 2"),
        (Verdict.UNDECIDED, [3, -1, 5], {}, "the sign changes between seeds (+3.0, −1.0, +5.0); differences from 4.0"),
        (Verdict.UNDECIDED, [1, 2, 1], {}, "seed by seed: +1.0, +2.0, +1.0; differences from 4.0 are found in 80 %"),
        (Verdict.UNDECIDED, [1, 2, 1], {"needed": 20}, "seed by seed: +1.0, +2.0, +1.0; differences from 4.0"),
        (Verdict.EQUIVALENT, [0, 0, 0], {}, "both sides score the same on every seed"),
        (Verdict.EQUIVALENT, [0.5, 0, 0], {}, "seed by seed: +0.5, 0.0, 0.0"),
        (Verdict.CONTRADICTED, [-1, -1, -2], {}, "the other side is ahead"),
        (Verdict.CONTRADICTED, [-1, -1, -2], {"blind": 60.0}, "neither side is above the blind model (60.0)"),
    ],
)
def test_every_claim_that_fails_has_a_line_on_why(verdict, differences, changes, words):
    facts = {"blind": None, "margin": 3.0, "high": 9.0, "detectable": 4.0, "needed": None, **changes}
    reason = reason_of(verdict, Facts(differences, better=50.0, worse=48.0, **facts), 3)
    assert reason.startswith(words) and bool(reason) == bool(words) and "\n" not in reason
    if changes.get("needed"):
        assert reason.endswith("this one with about 20 seeds")
