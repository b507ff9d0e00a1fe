"""VideoHallucer: pairs of a basic and a hallucinated yes/no question in five categories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynfocus.datasets.rows import Row, read_rows
from dynfocus.evaluation import official
from dynfocus.evaluation.benchmarks.base import Answers, Benchmark, Verdicts, answer_status, cluster_of
from dynfocus.evaluation.parsing import yes_no
from dynfocus.evaluation.questions import Metric, Question, Sample

CATEGORIES = ("object_relation", "temporal", "semantic_detail", "external_factual", "external_nonfactual")
HALVES = ("basic", "hallucination")
PROMPT = "Answer the question using 'yes' or 'no'."
VALUES = ("basic_accuracy", "halluc_accuracy", "accuracy")


class VideoHallucer(Benchmark):
    """Five folders of pairs; "Overall" is the unweighted mean of the five categories.

    Layout: `{category}/{category}.json` for object_relation, temporal, semantic_detail,
    external_factual and external_nonfactual, rows `basic` and `hallucination` (each `video`,
    `question`, `answer`) and `type`. Videos `{category}/videos/{video}`.
    Prompt: the question and the official yes/no line. `basic_accuracy` and `halluc_accuracy` are the
    shares of right halves, `accuracy` ("Final") that of pairs with both right. Official: the gold word
    anywhere in the reply, so that a reply with both words is right on both halves; ours reads one word
    or none.
    Factual and non-factual pairs show the same videos and are resampled together.
    """

    name = "videohallucer"
    title = "VideoHallucer"
    data_set = "videohallucer"
    headline = "accuracy"
    video_folders = tuple(f"{category}/videos" for category in CATEGORIES)
    averaged_over = "category"
    metrics = tuple(
        Metric(value + suffix, value + suffix, macro="category")
        for value in ("accuracy", "basic_accuracy", "halluc_accuracy")
        for suffix in ("", "_official")
    )

    def load(self, folder: Path) -> list[Question]:
        return [
            self._question(row, category, number, half)
            for category in CATEGORIES
            for number, row in enumerate(read_rows(folder / category / f"{category}.json"))
            for half in HALVES
        ]

    def _question(self, row: Row, category: str, number: int, half: str) -> Question:
        inner = row.inner(half)
        if inner.text("answer") not in ("yes", "no"):
            raise inner.wrong("answer", '"yes" or "no"')
        text = inner.text("question")
        return Question(
            benchmark=self.name,
            question_id=f"{category}/{number}/{half}",
            video=f"{category}/videos/{inner.text('video')}",
            text=f"{text}\n{PROMPT}",
            encoder_prompt=text,
            gold=inner.text("answer"),
            groups={"category": (category,), "type": (row.text("type"),), "half": (half,)},
            details={"unit": f"{category}/{number}"},
        )

    def samples(self, questions: Sequence[Question], answers: Answers, verdicts: Verdicts) -> list[Sample]:
        pairs: dict[str, dict[str, Question]] = {}
        for question in questions:
            pairs.setdefault(self.unit_of(question), {})[question.groups["half"][0]] = question
        basic, hallucination = HALVES
        return [self._sample(pair, halves[basic], halves[hallucination], answers) for pair, halves in pairs.items()]

    def _sample(self, pair: str, basic: Question, hallucination: Question, answers: Answers) -> Sample:
        ids = (basic.question_id, hallucination.question_id)
        status = answer_status(answers, ids)
        values: dict[str, float | None] = {metric.value: None for metric in self.metrics}
        unparsed = False
        if status == "ok":
            replies = [answers[question_id].reply for question_id in ids]
            golds = (basic.gold or "", hallucination.gold or "")
            read = [yes_no(reply) for reply in replies]
            unparsed = None in read
            strict = [word == gold for word, gold in zip(read, golds, strict=True)]
            theirs = [official.videohallucer(*both) for both in zip(replies, golds, strict=True)]
            for suffix, hits in (("", strict), ("_official", theirs)):
                for value, hit in zip(VALUES, (*hits, all(hits)), strict=True):
                    values[value + suffix] = float(hit)
        return Sample(
            sample_id=pair,
            cluster=cluster_of(basic).replace("external_nonfactual/", "external_factual/"),
            question_ids=ids,
            status=status,
            values=values,
            groups={key: basic.groups[key] for key in ("category", "type")},
            unparsed=unparsed,
        )
