"""Tables 9 and 10: the training data, as counted from the files."""

from __future__ import annotations

from dynfocus.config.names import TRAINING_SETS
from dynfocus.datasets.registry import training_set
from dynfocus.reporting.session import Session
from dynfocus.reporting.tables import Table, plain_table

STAGE_SETS = {
    "table_9": ("videochatgpt", "webvid_qa", "clevrer", "nextqa", "llava_625k", "scienceqa"),
    "table_10": ("webvid_cap", "llava_video_cap", "llava_cc3m"),
}
"""The sets of each table in its order; sets that the paper does not have follow in Table 9."""
COLUMNS = ("Modality", "Task", "Samples", "Videos or images", "Rounds", "Question words", "Answer words")


def data_table(session: Session, table: str, title: str) -> Table:
    """Table 9 (instruction tuning) or Table 10 (alignment): one row a source, and the total.

    Counts of media and words are per set; a set of several sources shows them in a row of its own.
    """
    listed = {name for names in STAGE_SETS.values() for name in names}
    further = [name for name in TRAINING_SETS if name not in listed] if table == "table_9" else []
    shown = session.experiments.items["training_data"].datasets
    names = [name for name in [*STAGE_SETS[table], *further] if name in shown]
    found = session.measurement("training_data")
    rows: list[tuple[tuple[str], tuple[str, ...]]] = []
    notes: list[str] = []
    total = 0
    for name in names:
        counted = found.get("sets", {}).get(name)
        if counted is None:
            entry = training_set(name)
            rows.append(((entry.title,), (entry.modality, entry.task, "missing", "", "", "", "")))
            notes.append(f"{entry.title}: {found.get('gaps', {}).get(name, 'was not counted')}")
            continue
        by_source = {tuple(source[:3]): source[3] for source in counted["sources"]}
        totals = counted["total"]
        total += totals["samples"]
        rows += source_rows(name, by_source, totals)
    task = "Captioning" if table == "table_10" else "Mixture"
    known = f"at least {total:,}" if notes else f"{total:,}"
    rows.append((("Total",), ("Vision-Language", task, known, *[""] * 4)))
    notes.append("The paper's table names the sets; its counts are not in the text at hand.")
    return plain_table(table, title, ("Dataset",), COLUMNS, rows, notes=notes)


def source_rows(
    name: str, by_source: dict[tuple[str, str, str], int], totals: dict[str, int]
) -> list[tuple[tuple[str], tuple[str, ...]]]:
    """Rows of one set: one with all counts, or one per source under a row for the whole set."""
    counts = tuple(f"{totals[key]:,}" for key in ("media", "rounds", "question_words", "answer_words"))
    if len(by_source) == 1:
        ((modality, title, task), samples), *_ = by_source.items()
        return [((title,), (modality, task, f"{samples:,}", *counts))]
    entry = training_set(name)
    rows: list[tuple[tuple[str], tuple[str, ...]]] = [
        ((entry.title,), (entry.modality, entry.task, f"{totals['samples']:,}", *counts))
    ]
    for (modality, title, task), samples in sorted(by_source.items()):
        rows.append(((f"    of these {title}",), (modality, task, f"{samples:,}", *[""] * 4)))
    return rows
