"""Counts of a training mixture: the numbers behind the paper's Tables 9 and 10."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from dynfocus.datasets.records import Record, media_path, modality, rounds
from dynfocus.datasets.registry import training_set

# Sources inside LLaVA-625K by the first folder of the image path, with the title and task of Table 9.
LLAVA_SOURCES = {
    "coco": ("COCO", "Captioning"),
    "vg": ("Visual Genome", "Captioning"),
    "gqa": ("GQA", "VQA"),
    "ocr_vqa": ("OCRQA", "VQA"),
    "textvqa": ("TextVQA", "VQA"),
}


@dataclass
class Counts:
    """Totals over some records; `tokens` is 0 when no counter was given."""

    samples: int = 0
    media: int = 0
    rounds: int = 0
    longest_talk: int = 0
    question_words: int = 0
    answer_words: int = 0
    tokens: int = 0


def statistics(
    records: Iterable[Record], count_tokens: Callable[[str], int] | None = None
) -> dict[str, dict[str, int]]:
    """Counts by modality (`video`, `image`, `text`) and in `total`.

    Args:
        records: of one set or of a mixture.
        count_tokens: number of LLM tokens of a text; None leaves tokens at 0.
    """
    counts: dict[str, Counts] = {}
    seen: dict[str, set[str]] = {}
    for record in records:
        for group in (modality(record), "total"):
            _add(counts.setdefault(group, Counts()), seen.setdefault(group, set()), record, count_tokens)
    return {group: asdict(count) for group, count in sorted(counts.items())}


def sources(set_name: str, records: Iterable[Record]) -> dict[tuple[str, str, str], int]:
    """Samples by (modality, dataset, task) as Tables 9 and 10 list them; LLaVA-625K is split by image source."""
    entry = training_set(set_name)
    rows: dict[tuple[str, str, str], int] = {}
    for record in records:
        title, task = entry.title, entry.task
        if set_name == "llava_625k":
            folder = (media_path(record) or "").split("/")[0]
            title, task = LLAVA_SOURCES.get(folder, (f"other ({folder})", "Mixture"))
        row = (entry.modality, title, task)
        rows[row] = rows.get(row, 0) + 1
    return rows


def _add(counts: Counts, seen: set[str], record: Record, count_tokens: Callable[[str], int] | None) -> None:
    pairs = rounds(record)
    path = media_path(record)
    if path is not None and path not in seen:
        seen.add(path)
        counts.media += 1
    counts.samples += 1
    counts.rounds += len(pairs)
    counts.longest_talk = max(counts.longest_talk, len(pairs))
    counts.question_words += sum(len(question.split()) for question, _ in pairs)
    counts.answer_words += sum(len(answer.split()) for _, answer in pairs)
    if count_tokens is not None:
        counts.tokens += sum(count_tokens(text) for pair in pairs for text in pair)
