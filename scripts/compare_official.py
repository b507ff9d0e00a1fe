"""Counts of the benchmarks' annotation files, and our official numbers beside the official scripts' own.

    .venv/bin/python scripts/compare_official.py --data DATA --mlvu ../MLVU --videohallucer ../VideoHallucer

DATA holds the annotation files as docs/benchmarks/LAYOUT.md says (videos are not needed); a benchmark that is not there
is left out, and one without the checkout of its scripts is counted alone. Every question gets a made-up reply in one of
100 forms, right or wrong by a seeded choice; ours and the official script score the same replies. Ends with status 1
where a number differs by more than the script prints.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

from checkouts import (
    add_options,
    function,
    given,
    run_lvbench,
    run_nextqa,
    run_scienceqa,
    run_video_mme,
)

from dynfocus.config.names import BENCHMARKS
from dynfocus.datasets.rows import read_object
from dynfocus.errors import UserError
from dynfocus.evaluation.annotations import first_file
from dynfocus.evaluation.benchmarks import benchmark, load_questions
from dynfocus.evaluation.benchmarks.lvbench import FILES as LVBENCH_FILES
from dynfocus.evaluation.parsing import LETTERS, option_letter
from dynfocus.evaluation.questions import Answer, Question
from dynfocus.evaluation.score import score

LEADS = (
    "{}", "Answer: {}", "The answer is {}", "Best answer: {}", "The correct option is {}",
    "Option: {}", "I think it is {}", "Based on the video, {}", "**{}**", "The answer: {}",
)  # fmt: skip
ENDS = ("{L}", "{L}.", "{L})", "({L})", "{L}. {text}", "({L}) {text}", "{l}", "{text}", "", "{L} and {M}")
FORMS = tuple(lead.format(end) for lead, end in product(LEADS, ENDS))
"""100 forms of a reply: the letter, another letter, its small form, the option's text."""
YES_NO = (
    "{w}", "{W}", "{W}.", "{W}, there is no doubt", "**{W}**",
    "The answer is {w}.", "It is not clear", "", "{W} {W}", "I would say {w}, not {v}",
)  # fmt: skip
ABSENT = 11
"""LVBench: every so manieth question has no prediction, which its script leaves out."""
MOST_LABELS = 12
"""Labels of a grouping up to which they are counted."""
RIGHT = 0.6
"""Share of the replies that name the right option."""
Replies = dict[str, str]
Numbers = dict[str, tuple[float | None, float | None]]
"""Name -> (ours, the official script's)."""


def main() -> None:
    """Print the counts and both numbers of every benchmark found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmarks' folders")
    add_options(parser, "--video-mme", "--lvbench", "--mlvu", "--videohallucer", "--llava", "--nextqa")
    options = parser.parse_args()
    files, different = given(options), False
    for name in BENCHMARKS:
        try:
            questions = load_questions(benchmark(name), options.data)
        except UserError as error:
            print(f"{name}: left out ({error})")
            continue
        videos = len({question.video for question in questions})
        print(f"{name}: {len(questions)} questions on {videos} videos; {groups_text(questions)}")
        if COMPARED_BY.get(name) in files:
            adapter = benchmark(name)
            choices = [question for question in questions if question.options is not None or name == "videohallucer"]
            script = files[COMPARED_BY[name]]
            try:
                numbers = COMPARISONS[name](choices, made_up(choices), script, options.data / adapter.data_set)
            except KeyError as error:
                sys.exit(f"{name}: {script} knows no label {error} of these annotations; take both of one revision")
            different |= not report(numbers)
    sys.exit(int(different))


def groups_text(questions: Sequence[Question]) -> str:
    """The number of questions by label of the first grouping with few labels."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for question in questions:
        for grouping, labels in question.groups.items():
            for label in labels:
                counts[grouping][label] += 1
    parts = [f"{grouping} " + ", ".join(f"{label} {n}" for label, n in by.items()) for grouping, by in counts.items()]
    return "; ".join(part for part, by in zip(parts, counts.values(), strict=True) if len(by) <= MOST_LABELS)


def made_up(questions: Sequence[Question]) -> Replies:
    """A reply to every question: form by its place, meaning by a choice seeded with its id."""
    replies = {}
    for place, question in enumerate(questions):
        rng = random.Random(question.question_id)
        if question.options is None:
            word = rng.choice(("yes", "no"))
            form = YES_NO[place % len(YES_NO)]
            replies[question.question_id] = form.format(w=word, W=word.capitalize(), v="no" if word == "yes" else "yes")
            continue
        letters = LETTERS[: len(question.options)]
        right = question.gold if question.gold in tuple(letters) else letters[0]
        letter = right if rng.random() < RIGHT else rng.choice(letters)
        other = rng.choice([known for known in letters if known != letter])
        text = question.options[letters.index(letter)]
        replies[question.question_id] = FORMS[place % len(FORMS)].format(L=letter, l=letter.lower(), M=other, text=text)
    return replies


def ours(name: str, questions: Sequence[Question], replies: Replies) -> dict:
    """Our score record of the replies."""
    adapter = benchmark(name)
    answers = {key: Answer(name, key, "ok", reply) for key, reply in replies.items()}
    return score(adapter, adapter.samples(questions, answers, {}), draws=2)


def grouped(record: dict, grouping: str, metric: str) -> dict[str, float | None]:
    """A metric by label of a grouping."""
    return {label: values[metric]["value"] for label, values in record["groups"][grouping].items() if metric in values}


def video_mme(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """Overall accuracy, and by domain and task."""
    metric = "accuracy_official"
    videos: dict[str, dict] = {}
    for question in questions:
        labels = {key: question.groups[key][0] for key in ("duration", "domain", "sub_category")}
        video = videos.setdefault(question.video or "", {**labels, "missing": False, "questions": []})
        asked = {"task_type": question.groups["task_type"][0], "answer": question.gold}
        video["questions"].append({**asked, "response": replies[question.question_id]})
    theirs, record = run_video_mme(file, list(videos.values())), ours("video_mme", questions, replies)
    numbers = {"overall": (record["metrics"][metric]["value"], theirs["Overall"])}
    for grouping in ("domain", "task_type"):
        for label, value in grouped(record, grouping, metric).items():
            numbers[label] = (value, theirs[label])
    return numbers


def lvbench(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """Overall accuracy and by capability, without the questions that have no prediction."""
    asked = [question for place, question in enumerate(questions) if place % ABSENT]
    replies = {question.question_id: replies[question.question_id] for question in asked}
    theirs = run_lvbench(file, first_file(folder, LVBENCH_FILES), replies)
    record = ours("lvbench", asked, replies)
    numbers = {"overall": (record["metrics"]["accuracy_official"]["value"], 100 * theirs["acc"])}
    for label, value in grouped(record, "capability", "accuracy_official").items():
        numbers[label] = (value, 100 * theirs[label])
    return numbers


def mlvu(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """Accuracy by task and M-Avg, from the official check of each reply with the official gold text."""
    check, right = function(file, "check_ans"), defaultdict(list)
    for question in questions:
        right[question.groups["task"][0]].append(check(replies[question.question_id], f"({question.gold}) text"))
    theirs = {task: 100 * sum(hits) / len(hits) for task, hits in right.items()}
    record = ours("mlvu", questions, replies)
    numbers = {"M-Avg": (record["metrics"]["m_avg_official"]["value"], sum(theirs.values()) / len(theirs))}
    return numbers | {
        task: (value, theirs[task]) for task, value in grouped(record, "task", "accuracy_official").items()
    }


def videohallucer(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """The three accuracies of every category and their unweighted means."""
    cal_score, pairs = function(file, "cal_score"), defaultdict(lambda: defaultdict(dict))
    for question in questions:
        category, _, half = question.question_id.split("/")
        unit = pairs[category][question.details["unit"]]
        unit[half] = {"answer": question.gold, "predict": replies[question.question_id]}
    theirs = {category: cal_score(list(by_unit.values())) for category, by_unit in pairs.items()}
    record, numbers = ours("videohallucer", questions, replies), {}
    for value in ("basic_accuracy", "halluc_accuracy", "accuracy"):
        mean = sum(scores[value] for scores in theirs.values()) / len(theirs)
        numbers[f"all {value}"] = (record["metrics"][f"{value}_official"]["value"], 100 * mean)
        for category, ours_value in grouped(record, "category", f"{value}_official").items():
            numbers[f"{category} {value}"] = (ours_value, 100 * theirs[category][value])
    return numbers


def scienceqa(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """Accuracy over the split."""
    rows = read_object(folder / "problems.json")
    problems = {question.question_id: rows.inner(question.question_id).values for question in questions}
    theirs = run_scienceqa(file, problems, replies)["acc"]
    return {"overall": (ours("scienceqa_test", questions, replies)["metrics"]["accuracy_official"]["value"], theirs)}


def nextqa(questions: Sequence[Question], replies: Replies, file: Path, folder: Path) -> Numbers:
    """Accuracy by type, by kind and over all; the script compares indices, so it gets those that we read."""
    predictions = {}
    for question in questions:
        letter = option_letter(replies[question.question_id], question.options or ())
        answer = LETTERS.index(question.gold or "A")
        predicted = -1 if letter is None else LETTERS.index(letter)
        predictions[question.question_id] = {"answer": answer, "prediction": predicted}
    theirs, record = run_nextqa(file, folder / "test.csv", predictions), ours("nextqa_test", questions, replies)
    numbers = {"overall": (record["metrics"]["accuracy"]["value"], theirs["Acc"])}
    for grouping in ("type", "kind"):
        for label, value in grouped(record, grouping, "accuracy").items():
            numbers[label] = (value, theirs[label])
    return numbers


def report(numbers: Mapping[str, tuple[float | None, float | None]], printed: float = 0.0501) -> bool:
    """Print both numbers of each name; whether they agree to what the scripts print."""
    agree = True
    for name, (mine, theirs) in numbers.items():
        same = abs((mine or 0.0) - (theirs or 0.0)) <= printed
        agree &= same
        print(f"    {name:40} ours {mine or 0.0:7.3f}   official {theirs or 0.0:7.3f}   {'' if same else 'DIFFERENT'}")
    return agree


COMPARED_BY = {
    "video_mme": "video-mme",
    "lvbench": "lvbench",
    "mlvu": "mlvu",
    "videohallucer": "videohallucer",
    "scienceqa_test": "llava",
    "nextqa_test": "nextqa",
}
"""Benchmark -> the checkout whose script scores it."""
COMPARISONS: dict[str, Callable[[Sequence[Question], Replies, Path, Path], Numbers]] = {
    "video_mme": video_mme,
    "lvbench": lvbench,
    "mlvu": mlvu,
    "videohallucer": videohallucer,
    "scienceqa_test": scienceqa,
    "nextqa_test": nextqa,
}


if __name__ == "__main__":
    main()
