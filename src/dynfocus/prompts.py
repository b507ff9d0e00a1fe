"""Prompt templates: a record as the LLM's text, the spans that carry loss, and the text encoder's prompts.

    plain_guided    stage 1: the media token, the caption, a newline; the human text goes to the text encoder alone
    imgsp_v1        stage 2: Vicuna talk of several rounds, each with a media token and a prompt of its own
    vicuna_v1       evaluation: one open round

The templates are those of the released code. Its masks count tokens and rely on quirks of one tokenizer; here they
follow from the character offsets of a fast tokenizer, so that exactly the answers and their end tokens carry loss.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dynfocus.datasets.records import IMAGE_TOKEN, Record, media_path, rounds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORE = -100
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
Template = Literal["plain_guided", "imgsp_v1"]
Span = tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """A record as text. `answers`: character spans that carry loss; `prompts`: one per media token, in order."""

    text: str
    answers: tuple[Span, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """A tokenised sample, media tokens not yet expanded; `labels` is `IGNORE` outside the answers.

    All three are empty where nothing is left to learn.
    """

    input_ids: list[int]
    labels: list[int]
    prompts: tuple[str, ...]


def render(record: Record, template: Template, end: str, seed: int = 0) -> Rendered:
    """Apply a template.

    Args:
        record: the sample; `end`: the LLM's end-of-sequence text (`</s>` for Vicuna).
        seed: decides on which side of a later question its media token stands (`imgsp_v1`).
    """
    return plain_guided(record) if template == "plain_guided" else imgsp_v1(record, end, seed)


def plain_guided(record: Record) -> Rendered:
    """Stage 1: media token, caption, newline; the loss is on all but the media token. Only the first round is used."""
    question, answer = rounds(record)[0]
    slot = IMAGE_TOKEN if media_path(record) else ""
    text = f"{slot}{_bare(answer)}\n"
    return Rendered(text, ((len(slot), len(text)),), (encoder_prompt(question),) if slot else ())


def imgsp_v1(record: Record, end: str, seed: int = 0) -> Rendered:
    """Stage 2: every round has a media token, leading in the first and at a random side of the later questions.

    A round's loss starts at the blank after `ASSISTANT:`, which the model has to write too, and ends with `end`.
    """
    visual = media_path(record) is not None
    sides = random.Random(f"{seed}/{record['id']}")
    text, answers, prompts = f"{SYSTEM} ", [], []
    for number, (question, answer) in enumerate(rounds(record)):
        asked = _bare(question)
        if visual:
            leading = number == 0 or IMAGE_TOKEN in question or sides.random() < 0.5
            asked = f"{IMAGE_TOKEN}\n{asked}" if leading else f"{asked}\n{IMAGE_TOKEN}"
            prompts.append(encoder_prompt(question))
        text += f"USER: {asked} ASSISTANT:"
        start = len(text)
        text += f" {_bare(answer)}{end}"
        answers.append((start, len(text)))
    return Rendered(text, tuple(answers), tuple(prompts))


def evaluation_prompt(question: str, visual: bool = True) -> str:
    """Evaluation (`vicuna_v1`): the system sentence and one open round; no blank at its end.

    A question that holds the media word loses it, as in training; without `visual` there is no medium.
    """
    return f"{SYSTEM} USER: {f'{IMAGE_TOKEN}{chr(10)}' if visual else ''}{_bare(question)} ASSISTANT:"


def encoder_prompt(question: str) -> str:
    """What the text encoder reads of a human turn: its text without media token and newlines."""
    return " ".join(question.replace(IMAGE_TOKEN, " ").split())


def tokenize(rendered: Rendered, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> Tokens:
    """Token ids and labels of a rendered record, cut to `max_tokens` before any visual token is inserted.

    A token carries loss if its characters meet an answer span. What a cut leaves behind the last of these is dropped: a
    question whose answer is gone teaches nothing. So no media token is cut off from a question that is kept, since
    each stands beside a question whose answer follows; a sample whose first answer is cut off has no label at all.
    """
    encoded = tokenizer(rendered.text, return_offsets_mapping=True)
    ids = encoded["input_ids"][:max_tokens]
    slot = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    labels, spans = [], iter(rendered.answers)
    span = next(spans, None)
    for token, (start, stop) in zip(ids, encoded["offset_mapping"], strict=False):
        while span is not None and start >= span[1]:
            span = next(spans, None)
        answers = span is not None and stop > span[0] and stop > start and token != slot
        labels.append(token if answers else IGNORE)
    kept = max((place for place, label in enumerate(labels, 1) if label != IGNORE), default=0)
    return Tokens(ids[:kept], labels[:kept], rendered.prompts[: ids[:kept].count(slot)])


def _bare(text: str) -> str:
    """The text without media tokens and outer white space."""
    return " ".join(part.strip() for part in text.split(IMAGE_TOKEN) if part.strip())
