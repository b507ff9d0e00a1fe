"""How often readings of free replies are right: ours, the official scripts' and lmms-eval's, on one table.

    .venv/bin/python scripts/compare_extraction.py --video-mme ../parse_answer --mlvu ../MLVU --lmms-eval ../lmms-eval

The table is tests/evaluation/replies.yaml: replies with the meaning that a careful person gives them. Each reading is
right (the meaning, or nothing where nothing is meant), wrong (another letter, or a letter where nothing is meant) or
misses a meaning. A checkout that is not named is left out. docs/benchmarks/extraction.md holds the last result.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from checkouts import (
    add_options,
    given,
    lmms_eval_reader,
    mlvu_reader,
    scienceqa_letters,
    video_mme_reader,
    without_thoughts,
)

from dynfocus.evaluation.parsing import option_letter

TABLE = Path(__file__).resolve().parent.parent / "tests" / "evaluation" / "replies.yaml"
Case = tuple[str, Sequence[str], str, str | None]
"""Kind, options, reply, meaning."""


def cases(file: Path) -> list[Case]:
    """The replies of the table."""
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [(group["kind"], group["options"], *pair) for group in groups for pair in group["replies"]]


def readings(table: Sequence[Case], files: dict[str, Path]) -> dict[str, list[str | None]]:
    """What each reader makes of every reply."""
    replies = [reply for _, _, reply, _ in table]
    counts = [len(options) for _, options, _, _ in table]
    found: dict[str, list[str | None]] = {"ours": [option_letter(reply, options) for _, options, reply, _ in table]}
    for name, title in (("video-mme", "Video-MME official"), ("video-mme-first", "Video-MME official, first revision")):
        if name in files:
            found[title] = list(map(video_mme_reader(files[name]), replies))
    if "lvbench" in files:
        found["LVBench official"] = [reply if reply in tuple("ABCDEF") else None for reply in replies]
    if "mlvu" in files:
        found["MLVU official"] = list(map(mlvu_reader(files["mlvu"]), replies))
    if "llava" in files:
        found["ScienceQA (LLaVA)"] = scienceqa_letters(files["llava"], replies, counts)
    if "lmms-eval" in files:
        extract, strip = lmms_eval_reader(files["lmms-eval"]), without_thoughts(files["lmms-eval"])
        found["lmms-eval"] = list(map(extract, replies, counts))
        found["lmms-eval, thoughts stripped"] = list(map(extract, map(strip, replies), counts))
    return found


def outcome(found: str | None, meaning: str | None) -> str:
    """`right`, `wrong` or `missed`."""
    return "right" if found == meaning else "missed" if found is None else "wrong"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(map(str, row)) for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def summary(table: Sequence[Case], found: dict[str, list[str | None]]) -> str:
    """Right, wrong and missed of each reader, and its errors as a share of all replies."""
    rows = []
    for name, letters in found.items():
        counts = Counter(outcome(letter, case[3]) for letter, case in zip(letters, table, strict=True))
        errors = counts["wrong"] + counts["missed"]
        rows.append((name, counts["right"], counts["wrong"], counts["missed"], f"{100 * errors / len(table):.1f} %"))
    return markdown(("reading", "right", "wrong", "missed", "errors"), rows)


def by_kind(table: Sequence[Case], found: dict[str, list[str | None]]) -> str:
    """Errors of each reader by kind of reply."""
    kinds = list(dict.fromkeys(kind for kind, *_ in table))
    rows = []
    for kind in kinds:
        places = [place for place, case in enumerate(table) if case[0] == kind]
        rows.append(
            (
                kind,
                len(places),
                *(sum(letters[place] != table[place][3] for place in places) for letters in found.values()),
            )
        )
    return markdown(("kind", "replies", *found), rows)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="replies with their meanings")
    add_options(parser, "--video-mme", "--video-mme-first", "--lvbench", "--mlvu", "--llava", "--lmms-eval")
    options = parser.parse_args()
    table = cases(options.table)
    found = readings(table, given(options))
    print(f"{len(table)} replies, {sum(case[3] is None for case in table)} of them without a meaning\n")
    print(summary(table, found), by_kind(table, found), sep="\n\n")


if __name__ == "__main__":
    main()
