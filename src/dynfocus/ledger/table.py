"""The ledger as a table: what each set is, how it comes, how large it is, and what is here of it."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from dynfocus.ledger.entries import Entry, Ledger
from dynfocus.ledger.pins import Pins, read_parts
from dynfocus.ledger.prepare import missing

COLUMNS = ("set", "status", "samples", "media", "download", "parts", "checksums", "licence", "from")


def table(ledger: Ledger, pins: Pins, data: Path | None) -> Table:
    """One row per set; `data` is the profile's folder of real files, None where it holds the mini world."""
    made = Table(*COLUMNS, title=escape(f"Data sets ({data or 'this profile uses the mini world'})"))
    for name, entry in ledger.sets.items():
        made.add_row(*map(escape, row(name, entry, pins, data and data / name)))
    return made


def row(name: str, entry: Entry, pins: Pins, folder: Path | None) -> tuple[str, ...]:
    """The cells of a set."""
    here = f"{sum(not missing(part, folder) for part in entry.parts)} of " if folder else ""
    automatic = [part for part in entry.parts if not part.by_hand]
    held = {record.origin for record in (read_parts(folder) if folder else []) if record.files}
    known = sum(_checked(part.source.origin, part.download.sha256, pins, held, part.source.kind) for part in automatic)
    return (
        name,
        entry.status,
        f"{entry.samples:,}" if entry.samples else "?",
        f"{entry.media:,}" if entry.media else "?",
        download(entry),
        f"{here}{len(entry.parts)}",
        f"{known} of {len(automatic)}",
        entry.licence,
        ", ".join(dict.fromkeys(part.source.kind for part in entry.parts)),
    )


def download(entry: Entry) -> str:
    """Size of the downloads as far as it is published."""
    known = f"{entry.download_bytes / 1e9:,.1f} GB" if entry.download_bytes else "?" if entry.unknown_sizes else "-"
    return f"{known} + ?" if entry.download_bytes and entry.unknown_sizes else known


def _checked(origin: str, sha256: str | None, pins: Pins, held: set[str], kind: str) -> bool:
    """Whether a download of a part can be checked: the hub states hashes, else a published or recorded checksum."""
    return kind == "hub" or sha256 is not None or origin in pins or origin in held
