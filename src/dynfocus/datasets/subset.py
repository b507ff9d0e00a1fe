"""A part of a training set, for a first run: whole films with all of their talks, chosen by a fixed order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dynfocus.datasets.records import Record, media_path


def subset(name: str, records: Sequence[Record], most: int | None) -> list[Record]:
    """About `most` records of set `name` at most, in the order of its files; all where there is no limit.

    Media come in the order of a hash of their names, each with all of its records, until `most` is reached: the
    features of few films serve many talks, a larger limit keeps what a smaller one took, and nothing else decides.
    """
    if most is None or len(records) <= most:
        return list(records)
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(media_path(record) or record["id"], []).append(index)
    order = sorted(groups, key=lambda medium: hashlib.sha256(f"{name}/{medium}".encode()).digest())
    taken: list[int] = []
    for medium in order:
        if len(taken) >= most:
            break
        taken += groups[medium]
    return [records[index] for index in sorted(taken)]
