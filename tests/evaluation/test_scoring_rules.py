"""Each official rule and ours, with numbers worked by hand."""

from __future__ import annotations

import json

import official_files
import pytest

from dynfocus.evaluation.benchmarks import benchmark
from dynfocus.evaluation.benchmarks.mlvu import official_generation_value
from dynfocus.evaluation.benchmarks.short_answer import yes_no_values
from dynfocus.evaluation.lines import read_lines, write_lines
from dynfocus.evaluation.questions import Answer, Verdict
from dynfocus.evaluation.score import score, score_run


def value(record, metric):
    return record["metrics"][metric]["value"]


def scored(name, folder, replies, verdict_of=None):
    """A score record from scripted replies and judgements; `verdict_of` maps an item to (status, marks, reply)."""
    adapter = benchmark(name)
    questions = adapter.load(folder)
    answers = {q.question_id: Answer(name, q.question_id, "ok", replies(q)) for q in questions}
    verdicts = {}
    for item in adapter.judge_items(questions, answers):
        status, marks, reply = verdict_of(item)
        verdicts[item.item_id, item.criterion] = Verdict(name, item.item_id, item.criterion, status, marks, reply)
    return score(adapter, adapter.samples(questions, answers, verdicts), 100)


# Video-MME


def video_mme_with(folder, golds, durations=None):
    rows = [
        official_files.VIDEO_MME_ROW
        | {"videoID": f"v{i}", "question_id": f"q{i}", "answer": gold, "duration": (durations or ["short"] * 9)[i]}
        for i, gold in enumerate(golds)
    ]
    official_files.write(folder / "test.json", rows)
    return folder


def test_video_mme_one_right_one_wrong_one_unparsable_is_50_officially_and_33_by_ours(tmp_path):
    folder = video_mme_with(tmp_path, "ABC")
    replies = {"q0": "A", "q1": "D", "q2": "no idea"}
    record = scored("video_mme", folder, lambda q: replies[q.question_id])
    assert value(record, "accuracy_official") == pytest.approx(50.0)
    assert value(record, "accuracy") == pytest.approx(100 / 3)
    assert record["failures"]["unparsed"] == 1
    assert record["letters"] == {"A": 50.0, "D": 50.0}
    assert record["gold_letters"] == pytest.approx({"A": 100 / 3, "B": 100 / 3, "C": 100 / 3})


def test_video_mme_overall_is_weighted_by_questions_and_not_by_duration(tmp_path):
    folder = video_mme_with(tmp_path, "AAAA", ["short", "short", "short", "long"])
    replies = {"q0": "A", "q1": "A", "q2": "A", "q3": "B"}
    record = scored("video_mme", folder, lambda q: replies[q.question_id])
    assert value(record, "accuracy") == pytest.approx(75.0)
    durations = record["groups"]["duration"]
    assert (durations["short"]["accuracy"]["value"], durations["long"]["accuracy"]["value"]) == (100.0, 0.0)
    assert durations["long"]["accuracy"]["n"] == 1


def test_video_mme_a_model_that_writes_answer_colon_is_right_by_the_latest_official_revision(tmp_path):
    record = scored("video_mme", video_mme_with(tmp_path, "ABCD"), lambda q: f"Answer: {q.gold}")
    assert value(record, "accuracy") == value(record, "accuracy_official") == 100.0
    assert value(record, "accuracy_official_2024_06_18") == 25.0


def test_video_mme_official_reading_differs_from_ours_on_a_lead_in(tmp_path):
    record = scored("video_mme", video_mme_with(tmp_path, "C"), lambda q: "Best answer: C")
    assert (value(record, "accuracy"), value(record, "accuracy_official")) == (100.0, 0.0)


# LVBench


def test_lvbench_counts_a_question_once_under_each_label_and_once_overall(tmp_path):
    official_files.lvbench(tmp_path)
    replies = {"1": "A", "2": "B", "3": "A", "4": "A"}  # right, right, wrong, wrong
    record = scored("lvbench", tmp_path, lambda q: replies[q.question_id])
    assert value(record, "accuracy") == value(record, "accuracy_official") == 50.0
    labels = {name: group["accuracy"]["value"] for name, group in record["groups"]["capability"].items()}
    assert labels == {"reasoning": 100.0, "entity recognition": 50.0, "summarization": 0.0}


def test_lvbench_official_wants_the_bare_letter_and_counts_an_empty_reply_as_wrong(tmp_path):
    official_files.lvbench(tmp_path)
    replies = {"1": "A", "2": "The answer is B.", "3": "", "4": "(D) White"}
    record = scored("lvbench", tmp_path, lambda q: replies[q.question_id])
    # ours: A, B, -, D = 3 of 4; official: the bare letter alone is right = 1 of 4;
    # after the cleaning helper: A right, "T" and "" wrong, D right = 2 of 4
    assert value(record, "accuracy") == pytest.approx(75.0)
    assert value(record, "accuracy_official") == pytest.approx(25.0)
    assert value(record, "accuracy_official_polished") == pytest.approx(50.0)


def test_lvbench_official_leaves_out_what_was_not_asked(run_scores, tmp_path):
    folder = tmp_path / "lvbench"
    official_files.lvbench(folder)
    broken = {"videos/bbbbbbbbbbb.mp4": "missing_video"}
    record = run_scores("lvbench", folder, lambda q: "A" if q.question_id == "1" else "", broken=broken)
    assert value(record, "accuracy_official") == pytest.approx(100 / 3)
    assert record["metrics"]["accuracy_official"]["n"] == 3


# MLVU


def mlvu_marks(item):
    marks = {"mlvu_sub_scene": (3.0, 4.0), "mlvu_summary": (2.0, 1.5)}[item.criterion]
    names = {
        "mlvu_sub_scene": ("score_accuracy", "score_relevance"),
        "mlvu_summary": ("score_completeness", "score_reliability"),
    }[item.criterion]
    reply = (
        "{" + ", ".join(f"'{name}': {mark}" for name, mark in zip(names, marks, strict=True)) + ", 'total_score': 9}"
    )
    return "ok", dict(zip(names, marks, strict=True)), reply


def test_mlvu_m_avg_is_macro_over_tasks_and_differs_from_micro(tmp_path):
    official_files.mlvu(tmp_path, {"1_plotQA": 4})
    # plotQA: 1 of 4 right; the six other choice tasks: their one question right
    record = scored(
        "mlvu",
        tmp_path,
        lambda q: "A" if q.question_id in ("1_plotQA/0", "1_plotQA/1", "1_plotQA/2") else "B",
        mlvu_marks,
    )
    assert value(record, "m_avg") == pytest.approx((25 + 6 * 100) / 7)
    assert value(record, "m_avg_micro") == pytest.approx(100 * 7 / 10)
    assert record["groups"]["task"]["plotQA"]["accuracy"]["value"] == 25.0


def test_mlvu_official_answer_check_rejects_a_dot(tmp_path):
    official_files.mlvu(tmp_path)
    replies = {"1_plotQA/0": "B.", "2_needle/0": "B) Blue", "3_ego/0": "(B) Blue", "4_count/0": " B"}
    record = scored("mlvu", tmp_path, lambda q: replies.get(q.question_id, "B"), mlvu_marks)
    assert value(record, "m_avg") == 100.0
    assert value(record, "m_avg_official") == pytest.approx(500 / 7)


def test_mlvu_g_avg_is_the_mean_of_two_tasks_out_of_ten(tmp_path):
    official_files.mlvu(tmp_path)
    record = scored("mlvu", tmp_path, lambda q: "B", mlvu_marks)
    assert value(record, "g_avg") == value(record, "g_avg_official") == pytest.approx((7.0 + 3.5) / 2)
    assert record["groups"]["task"]["subPlot"]["score"]["value"] == 7.0


def test_mlvu_unreadable_judgement_counts_zero_officially_and_is_unjudged_by_ours(tmp_path):
    official_files.mlvu(tmp_path, {"9_summary": 2})

    def verdict_of(item):
        return ("unparsed", None, "good") if item.item_id == "9_summary/1" else mlvu_marks(item)

    record = scored("mlvu", tmp_path, lambda q: "B", verdict_of)
    assert value(record, "g_avg") == pytest.approx((7.0 + 3.5) / 2)
    assert value(record, "g_avg_official") == pytest.approx((7.0 + 3.5 / 2) / 2)
    assert record["failures"]["unjudged"] == 1
    # the unjudged summary would have 2 at worst and 10 at best
    assert record["coverage"]["worst"]["g_avg"] == pytest.approx((7.0 + (3.5 + 2) / 2) / 2)
    assert record["coverage"]["best"]["g_avg"] == pytest.approx((7.0 + (3.5 + 10) / 2) / 2)


def test_mlvu_official_number_runs_to_the_next_comma():
    names = ("score_completeness", "score_reliability")

    def official(reply):
        return official_generation_value(Verdict("mlvu", "x", "mlvu_summary", "unparsed", None, reply), names)

    assert official("{'score_completeness': 3, 'score_reliability': 2, 'total_score': 5}") == 5.0
    assert official("{'score_completeness': 3, 'score_reliability': 2}") == 5.0  # no comma: all but the last character
    assert official("{'score_completeness': 3, 'score_reliability': 2} ") == 3.0  # "2}" is no number
    assert official("{'score_reliability': 2, 'total_score': 5}") == 2.0
    assert official("nothing") == 0.0


def test_mlvu_question_without_a_right_option_is_wrong_officially_and_withheld_by_ours(tmp_path):
    official_files.mlvu(tmp_path)
    file = tmp_path / "json/2_needle.json"
    (row,) = json.loads(file.read_text())
    official_files.write(file, [row, row | {"answer": "Pink"}])
    record = scored("mlvu", tmp_path, lambda q: "B", mlvu_marks)
    needle = record["groups"]["task"]["needle"]
    assert (needle["accuracy"]["value"], needle["accuracy"]["n"]) == (100.0, 1)
    assert (needle["accuracy_official"]["value"], needle["accuracy_official"]["n"]) == (50.0, 2)
    assert record["failures"]["withheld"] == 1


def test_mlvu_test_reads_letters_up_to_f(tmp_path):
    official_files.mlvu_test(tmp_path)
    record = scored("mlvu_test", tmp_path, lambda q: q.gold)
    assert value(record, "m_avg") == value(record, "m_avg_official") == 100.0


def test_mlvu_test_without_answers_has_no_score_and_is_counted_as_withheld(tmp_path):
    official_files.mlvu_test(tmp_path)
    (tmp_path / "test_answer.json").unlink()
    record = scored("mlvu_test", tmp_path, lambda q: "A")
    assert value(record, "m_avg") is None and record["failures"]["withheld"] == 2
    assert (record["coverage"]["worst"]["m_avg"], record["coverage"]["best"]["m_avg"]) == (0.0, 100.0)


# ScienceQA and NExT-QA


def test_scienceqa_official_takes_a_letter_or_one_statement_and_ours_reads_more(tmp_path):
    official_files.scienceqa_test(tmp_path)
    replies = {"4": "The answer is B.", "5": "(B)", "6": "E"}
    record = scored("scienceqa_test", tmp_path, lambda q: replies[q.question_id])
    assert value(record, "accuracy") == pytest.approx(200 / 3)
    assert value(record, "accuracy_official") == pytest.approx(100 / 3)
    contexts = {name: group["accuracy"]["n"] for name, group in record["groups"]["context"].items()}
    assert contexts == {"image": 1, "text": 1, "none": 1}
    assert set(record["groups"]["grade"]) == {"1-6", "7-12"}


def test_nextqa_has_one_accuracy_by_type_and_kind(tmp_path):
    official_files.nextqa_test(tmp_path)
    record = scored("nextqa_test", tmp_path, lambda q: "E. catch it")
    assert set(record["metrics"]) == {"accuracy"} and value(record, "accuracy") == 50.0
    assert set(record["groups"]["type"]) == {"CW", "TN"} and set(record["groups"]["kind"]) == {"causal", "temporal"}


# VideoHallucer


def test_videohallucer_final_needs_both_halves_and_overall_is_the_mean_of_categories(tmp_path):
    official_files.videohallucer(tmp_path, pairs=2)

    def replies(question):
        category, number, half = question.question_id.split("/")
        if category == "temporal":
            return "yes"  # basic right, hallucination wrong: 100, 0, 0
        if category == "object_relation" and number == "1":
            return "no"  # one of two pairs loses its basic half: 50, 100, 50
        return "yes" if half == "basic" else "no"

    record = scored("videohallucer", tmp_path, replies)
    assert value(record, "basic_accuracy") == pytest.approx((100 + 50 + 300) / 5)
    assert value(record, "halluc_accuracy") == pytest.approx((0 + 100 + 300) / 5)
    assert value(record, "accuracy") == pytest.approx((0 + 50 + 300) / 5)
    temporal = record["groups"]["category"]["temporal"]
    assert [temporal[name]["value"] for name in ("basic_accuracy", "halluc_accuracy", "accuracy")] == [100.0, 0.0, 0.0]


def test_videohallucer_reply_with_both_words_hits_both_officially_and_one_by_ours(tmp_path):
    official_files.videohallucer(tmp_path, pairs=1)
    record = scored("videohallucer", tmp_path, lambda q: "Yes, there is no doubt")
    assert value(record, "accuracy_official") == 100.0
    assert (value(record, "accuracy"), value(record, "basic_accuracy")) == (0.0, 100.0)


def test_videohallucer_counts_pairs_with_an_unreadable_reply(tmp_path):
    official_files.videohallucer(tmp_path, pairs=1)
    record = scored("videohallucer", tmp_path, lambda q: "perhaps")
    assert record["failures"]["unparsed"] == 5
    assert value(record, "accuracy") == value(record, "accuracy_official") == 0.0


def test_factual_and_nonfactual_pairs_are_resampled_together(tmp_path):
    official_files.videohallucer(tmp_path, pairs=1)
    adapter = benchmark("videohallucer")
    questions = adapter.load(tmp_path)
    answers = {q.question_id: Answer("videohallucer", q.question_id, "ok", "yes") for q in questions}
    clusters = {s.groups["category"][0]: s.cluster for s in adapter.samples(questions, answers, {})}
    assert clusters["external_factual"] == clusters["external_nonfactual"]
    assert len(set(clusters.values())) == 4


# Judged short answers


def test_short_answer_official_accuracy_and_truncated_score(tmp_path):
    official_files.msvd_qa(tmp_path, videos=2, each=2)
    marks = [("yes", 4.8), ("no", 1.0), ("Yes, partly", 3.2), ("maybe", 2.0)]

    def verdict_of(item):
        pred, number = marks[[f"v_clip{v}_0_10_{n}" for v in range(2) for n in range(2)].index(item.item_id)]
        return "ok", {"pred": pred, "score": number}, ""

    record = scored("msvd_qa", tmp_path, lambda q: "x", verdict_of)
    # official: yes, no, yes (substring), left out; int scores 4 + 1 + 3 + 2
    assert value(record, "accuracy_official") == pytest.approx(200 / 3)
    assert value(record, "score_official") == pytest.approx(10 / 4)
    # ours: only plain yes and no are judgements
    assert value(record, "accuracy") == pytest.approx(50.0)
    assert value(record, "score") == pytest.approx((4.8 + 1.0) / 2)
    assert record["failures"]["unjudged"] == 2
    assert (record["coverage"]["worst"]["accuracy"], record["coverage"]["best"]["accuracy"]) == (25.0, 75.0)


def test_official_verdict_looks_for_yes_before_no():
    verdict = Verdict("msvd_qa", "x", "qa", "ok", {"pred": "no, then yes", "score": 2.0})
    assert yes_no_values(verdict)["accuracy_official"] == 1.0


def test_activitynet_groups_free_types_together(tmp_path):
    official_files.activitynet_qa(tmp_path)

    def verdict_of(item):
        right = item.item_id == "v_abcdefghijk_1"
        return "ok", {"pred": "yes" if right else "no", "score": 5.0 if right else 0.0}, ""

    record = scored("activitynet_qa", tmp_path, lambda q: "x", verdict_of)
    assert record["groups"]["free"]["free"]["accuracy"]["value"] == 50.0
    assert record["groups"]["type"]["yes/no"]["accuracy"]["value"] == 0.0
    assert value(record, "accuracy") == pytest.approx(100 / 3)


# VCG-Bench


def test_vcg_score_is_the_mean_of_five_aspects_and_the_released_consistency_is_kept_apart(tmp_path):
    official_files.vcg_bench(tmp_path)
    marks = {
        "correctness": 3.0,
        "detail": 2.8,
        "context": 3.6,
        "temporal": 2.0,
        "consistency": 2.5,
        "consistency_released": 4.9,
    }
    record = scored("vcg_bench", tmp_path, lambda q: "x", lambda item: ("ok", {"score": marks[item.criterion]}, ""))
    assert value(record, "score") == pytest.approx((3.0 + 2.8 + 3.6 + 2.0 + 2.5) / 5)
    # official: cut to integers, and question 1 shown twice for consistency
    assert value(record, "score_official") == pytest.approx((3 + 2 + 3 + 2 + 4) / 5)
    assert record["groups"]["aspect"]["detail"]["score"] == {"value": 2.8, "low": 2.8, "high": 2.8, "n": 4}
    assert record["coverage"]["total"] == 3 * 4 + 2 + 2


def test_vcg_released_consistency_shows_question_1_twice_and_both_answers(tmp_path):
    official_files.vcg_bench(tmp_path)
    adapter = benchmark("vcg_bench")
    questions = adapter.load(tmp_path)
    answers = {q.question_id: Answer("vcg_bench", q.question_id, "ok", q.question_id[-1]) for q in questions}
    items = {item.criterion: item for item in adapter.judge_items(questions, answers)}
    ours, released = items["consistency"].fields, items["consistency_released"].fields
    assert (ours["question_1"], ours["question_2"]) == ("What is worn?", "Which clothes are seen?")
    assert (released["question_1"], released["question_2"]) == ("What is worn?", "What is worn?")
    assert (released["prediction_1"], released["prediction_2"]) == ("1", "2")


def test_a_vcg_pair_is_unanswered_when_one_of_its_answers_is(run_scores, tmp_path):
    folder = tmp_path / "vcg_bench"
    official_files.vcg_bench(folder)
    record = run_scores("vcg_bench", folder, lambda q: q.gold, broken={"Test_Videos/v_abcdefghijk.mp4": "unreadable"})
    assert record["coverage"]["answered"] == 8 and record["coverage"]["total"] == 16
    assert record["failures"]["unreadable"] == 8
    assert value(record, "score") == 5.0
    assert (record["coverage"]["worst"]["score"], record["coverage"]["best"]["score"]) == (2.5, 5.0)


# The whole record


def test_missing_videos_widen_the_bounds_and_leave_the_score(run_scores, tmp_path):
    folder = tmp_path / "video_mme"
    official_files.video_mme(folder, videos=4)
    broken = {"data/video000001.mp4": "missing_video"}
    record = run_scores("video_mme", folder, lambda q: q.gold, broken=broken)
    assert record["coverage"]["answered"] == 9 and record["coverage"]["total"] == 12
    assert record["failures"]["missing_video"] == 3
    assert value(record, "accuracy") == 100.0 and record["metrics"]["accuracy"]["n"] == 9
    assert (record["coverage"]["worst"]["accuracy"], record["coverage"]["best"]["accuracy"]) == (75.0, 100.0)
    assert record["judge"] is None


def test_a_judged_record_names_its_judge(run_scores, tmp_path):
    folder = tmp_path / "msvd_qa"
    official_files.msvd_qa(folder)
    record = run_scores("msvd_qa", folder, lambda q: f"It is {q.gold}.")
    assert record["judge"] == "rule" and value(record, "accuracy") == 100.0
    assert (record["run"], record["seed"], record["profile"]) == ("run", 0, "test")


def test_a_question_without_an_answer_line_stops_the_score(run_scores, tmp_path, config):
    from dynfocus.errors import UserError

    folder = tmp_path / "video_mme"
    official_files.video_mme(folder)
    run_scores("video_mme", folder, lambda q: "A")
    rows = read_lines(tmp_path / "answers.jsonl")
    args = (config, "run", 0, ["video_mme"])
    rest = (tmp_path / "verdicts.jsonl", tmp_path, tmp_path / "scores.json")
    write_lines(tmp_path / "few.jsonl", rows[1:])
    with pytest.raises(UserError, match="1 of 9 questions have no line"):
        score_run(*args, [tmp_path / "few.jsonl"], *rest)
    with pytest.raises(UserError, match="answered twice"):
        score_run(*args, [tmp_path / "answers.jsonl", tmp_path / "answers.jsonl"], *rest)
    write_lines(tmp_path / "more.jsonl", [*rows, rows[0] | {"question_id": "other"}])
    with pytest.raises(UserError, match="annotations lack"):
        score_run(*args, [tmp_path / "more.jsonl"], *rest)


def test_samples_file_has_a_line_per_sample_with_its_reply(run_scores, tmp_path):
    folder = tmp_path / "video_mme"
    official_files.video_mme(folder, videos=1)
    run_scores("video_mme", folder, lambda q: "A")
    rows = read_lines(tmp_path / "scores.samples.jsonl")
    assert len(rows) == 3
    assert {row["predicted"] for row in rows} == {"A"} and rows[0]["replies"] == ["A"]
    assert rows[0]["video"] == "data/video000000"


def test_scoring_does_not_import_torch():
    import subprocess
    import sys

    code = (
        "import sys; import dynfocus.evaluation.score, dynfocus.evaluation.judge, dynfocus.evaluation.answer; "
        "assert not {'torch', 'transformers', 'httpx', 'pandas'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
