"""The vocabulary of an evaluation: a question, a thing to judge, and a scored sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AnswerStatus = Literal["ok", "missing_video", "unreadable"]
"""How a question ended: answered, video not there, or video there but not decodable."""
VerdictStatus = Literal["ok", "unparsed", "failed"]
"""How a judgement ended: marks, a reply without marks, or no reply."""


@dataclass(frozen=True)
class Question:
    """One question that a model answers.

    `video` (or an image) is relative to the folder of the data set and keys the feature store, None
    for text alone; `text` is the user turn of the language model; `encoder_prompt` the bare question
    for the text encoder; `gold` an option letter, a text, or None where the answer is withheld;
    `groups` maps a grouping (say `duration`) to the labels under which the question counts;
    `details` is what only its own benchmark needs, for example the scoring points of a summary;
    `unit` there names the pair that a question is half of.
    """

    benchmark: str
    question_id: str
    video: str | None
    text: str
    encoder_prompt: str
    gold: str | None
    options: tuple[str, ...] | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """(benchmark, question id): what every file of answers and verdicts is keyed by."""
        return self.benchmark, self.question_id


@dataclass(frozen=True)
class Answer:
    """What a model replied to one question, as read from an answer file."""

    benchmark: str
    question_id: str
    status: AnswerStatus
    reply: str


@dataclass(frozen=True)
class JudgeItem:
    """One call to a judge: a criterion, and the texts that its prompt needs.

    `item_id` with `criterion` is unique in a benchmark; `question_ids` are the answers that it marks.
    """

    benchmark: str
    item_id: str
    criterion: str
    question_ids: tuple[str, ...]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What `judge` said of one item: its raw reply, and the marks read from it (None unless "ok").

    `unparsed`: a reply came and could not be read; `failed`: no reply came.
    """

    benchmark: str
    item_id: str
    criterion: str
    status: VerdictStatus
    marks: Mapping[str, Any] | None
    reply: str = ""
    judge: str = ""


SampleStatus = Literal["ok", "missing_video", "unreadable", "unjudged", "withheld"]
"""How a sample ended; `withheld`: answered, but no right answer is known."""


@dataclass(frozen=True)
class Sample:
    """One row of the score: what is resampled, averaged and grouped.

    `values` maps a metric to its value on this row. None: with `status` "ok" the metric's own rule
    leaves the row out; with any other status the value is unknown and widens the bounds.
    `cluster` is the video: rows of one video are resampled together. `predicted` and `correct` are
    option letters (None: no letter found, or no options).
    """

    sample_id: str
    cluster: str
    question_ids: tuple[str, ...]
    status: SampleStatus
    values: Mapping[str, float | None]
    groups: Mapping[str, tuple[str, ...]]
    unparsed: bool = False
    predicted: str | None = None
    correct: str | None = None


@dataclass(frozen=True)
class Metric:
    """How samples become one number.

    The mean of `value` over the samples that carry it, times `scale`; with `macro`, the unweighted
    mean of the means of the labels of that grouping. `low` and `high` bound one sample's value.
    """

    name: str
    value: str
    scale: float = 100.0
    low: float = 0.0
    high: float = 1.0
    macro: str | None = None
