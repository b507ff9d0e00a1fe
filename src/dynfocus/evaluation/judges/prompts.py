"""Judge prompts: two messages per call, in the structure of the official scripts.

The short-answer and VCG-Bench prompts have the parts of Video-ChatGPT's (role, task, rules; then the
pair, the output rule and an example reply), the MLVU ones those of its generation evaluation (task,
criteria, steps, output form). The wording is this project's; a score made with it is comparable to
others of this project, and to published ones as far as the judge model is. `texts.py` reads official ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]


@dataclass(frozen=True)
class Criterion:
    """What a judge looks at: its system text, the range of each mark, and the tokens its reply may need."""

    system: str
    marks: Mapping[str, tuple[float, float]]
    reply_tokens: int = 64


def _system(task: str, rules: tuple[str, ...]) -> str:
    lines = "\n".join(f"- {rule}" for rule in rules)
    return f"You evaluate the answers of a model to questions about videos. {task}\n------\nRules:\n{lines}"


_SCORE = {"score": (0.0, 5.0)}

CRITERIA: dict[str, Criterion] = {
    "qa": Criterion(
        _system(
            "You are given a question, its correct answer and a predicted answer. "
            "Decide whether the prediction means the same as the correct answer.",
            (
                "Compare the meaning of the two answers.",
                "A synonym or a paraphrase is a match.",
                "Judge the prediction by the correct answer alone.",
            ),
        ),
        _SCORE,
    ),
    "correctness": Criterion(
        _system(
            "Rate the factual accuracy of a predicted answer against the correct one.",
            (
                "The prediction must agree with the facts of the correct answer and hold no misinformation.",
                "Synonyms and paraphrases are valid.",
                "Rate how far the facts agree.",
            ),
        ),
        _SCORE,
    ),
    "detail": Criterion(
        _system(
            "Rate the level of detail of a predicted answer against the correct one.",
            (
                "Completeness: the prediction covers all main points of the correct answer.",
                "Specificity: it gives details of this video and not only generic statements.",
                "Synonyms and paraphrases are valid. Give one score for both together.",
            ),
        ),
        _SCORE,
    ),
    "context": Criterion(
        _system(
            "Rate how well a predicted answer fits the overall context of the video, as the correct answer gives it.",
            (
                "The prediction must not be out of context or misread the content.",
                "It must catch the main themes and the sentiment.",
                "Synonyms and paraphrases are valid.",
            ),
        ),
        _SCORE,
    ),
    "temporal": Criterion(
        _system(
            "Rate the temporal understanding of a predicted answer against the correct one.",
            (
                "The order of events must agree with that of the correct answer.",
                "Synonyms and paraphrases are valid if the order is kept.",
                "Rate how far the temporal content agrees.",
            ),
        ),
        _SCORE,
    ),
    "consistency": Criterion(
        _system(
            "Two questions of nearly the same meaning share one correct answer. Rate how consistent two predicted "
            "answers are.",
            (
                "Both predictions must agree with each other and with the correct answer.",
                "Synonyms and paraphrases are valid if the meaning is the same.",
                "Rate the consistency of the two predictions.",
            ),
        ),
        _SCORE,
    ),
    "mlvu_sub_scene": Criterion(
        "##TASK: rate a respondent's answer by a question and a list of scoring points, with two marks from 1 to 5.\n"
        "##ACCURACY, for each scoring point: 1, the answer misses it; 3, the answer mentions something related that "
        "is not quite right; 5, the answer states it correctly. The mark is the mean over the points.\n"
        "##RELEVANCE: 1, off the topic; 2, partly related with much that is not; 3, on the topic but unsure; "
        "4, mostly on the topic and sure; 5, only on the topic and fully sure. Correctness plays no part here.\n"
        "##STEPS: 1. Give reasons and mark the accuracy. 2. Give reasons and mark the relevance. 3. End with a dict: "
        "{'score_accuracy': accuracy, 'score_relevance': relevance, 'total_score': accuracy + relevance}",
        {"score_accuracy": (1.0, 5.0), "score_relevance": (1.0, 5.0)},
        reply_tokens=1024,
    ),
    "mlvu_summary": Criterion(
        "##TASK: rate a respondent's summary of a video by a reference summary, with two marks from 1 to 5.\n"
        "##COMPLETENESS: 1, none of the main points of the reference; 2, few; 3, about half; 4, most; 5, all.\n"
        "##RELIABILITY: 1, contradicts the reference throughout; 2, several contradictions or inventions; 3, some; "
        "4, hardly any; 5, none.\n"
        "##STEPS: 1. Give reasons and mark the completeness. 2. Give reasons and mark the reliability. 3. End with a "
        "dict: {'score_completeness': completeness, 'score_reliability': reliability, 'total_score': completeness + "
        "reliability}",
        {"score_completeness": (1.0, 5.0), "score_reliability": (1.0, 5.0)},
        reply_tokens=1024,
    ),
}
CRITERIA["consistency_released"] = CRITERIA["consistency"]


def reply_schema(criterion: str) -> dict[str, Any]:
    """The JSON schema of a structured reply: reasons first where the prompt asks for them, then the marks."""
    marks = CRITERIA[criterion].marks
    score: dict[str, Any] = {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]}
    properties: dict[str, Any] = (
        {"score": score}
        if marks is _SCORE
        else {"reasons": {"type": "string"}, **{mark: {"type": "number"} for mark in marks}}
    )
    if criterion == "qa":
        properties = {"pred": {"type": "string", "enum": ["yes", "no"]}, **properties}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_SCORE_ONLY = (
    "Give the score only, an integer from 0 to 5 where 5 is the best. Reply with a Python dict string whose key "
    "'score' holds the score as an INTEGER, not a string, and with nothing else. For example: {'score': 4}"
)


def messages(criterion: str, fields: Mapping[str, Any]) -> list[Message]:
    """System and user message of one judge call."""
    if criterion == "qa":
        user = _short_answer(fields)
    elif criterion.startswith("mlvu_"):
        user = _mlvu(criterion, fields)
    else:
        user = _aspect(fields)
    return [
        {"role": "system", "content": CRITERIA[criterion].system},
        {"role": "user", "content": user},
    ]


def _short_answer(fields: Mapping[str, Any]) -> str:
    return (
        "Evaluate this question-answer pair about a video:\n\n"
        f"Question: {fields['question']}\n"
        f"Correct Answer: {fields['answer']}\n"
        f"Predicted Answer: {fields['prediction']}\n\n"
        "Give yes or no, and a score: an integer from 0 to 5 where 5 is the best match. Reply with a Python dict "
        "string with the keys 'pred' ('yes' or 'no') and 'score' (an INTEGER, not a string), and with nothing else. "
        "For example: {'pred': 'yes', 'score': 4}"
    )


def _aspect(fields: Mapping[str, Any]) -> str:
    if "question_2" in fields:
        pair = (
            f"Question 1: {fields['question_1']}\n"
            f"Question 2: {fields['question_2']}\n"
            f"Correct Answer: {fields['answer']}\n"
            f"Predicted Answer to Question 1: {fields['prediction_1']}\n"
            f"Predicted Answer to Question 2: {fields['prediction_2']}"
        )
    else:
        pair = (
            f"Question: {fields['question_1']}\n"
            f"Correct Answer: {fields['answer']}\n"
            f"Predicted Answer: {fields['prediction_1']}"
        )
    return f"Evaluate this question-answer pair about a video:\n\n{pair}\n\n{_SCORE_ONLY}"


def _mlvu(criterion: str, fields: Mapping[str, Any]) -> str:
    if criterion == "mlvu_sub_scene":
        points = "\n".join(f"{number}. {point}" for number, point in enumerate(fields["scoring_points"], 1))
        material = (
            f"Question: {fields['question']}\nScoring Points:\n{points}\nRespondent's Answer: {fields['prediction']}"
        )
    else:
        material = f"Reference Summary: {fields['answer']}\nRespondent's Summary: {fields['prediction']}"
    return f"Mark the respondent by the steps, and end with the dict of the marks.\n{material}"
