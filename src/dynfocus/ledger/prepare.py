"""All parts of a set below `data/{set}/`, in their official layout.

What is there already is kept: a finished part by its record, files that somebody put in place by what the part
provides. Downloads wait in `.downloads/` until their part is finished, so that a kill loses no byte. Nothing is
fetched before the parts that only a person can get are in place.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NoReturn

import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from dynfocus.datasets.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dynfocus.errors import UserError
from dynfocus.files import read_json
from dynfocus.ledger import http, hub
from dynfocus.ledger.archives import Choice, require_space, unpack
from dynfocus.ledger.entries import Entry, HubSource, ManualSource, Part, Renaming, UrlSource
from dynfocus.ledger.http import Unavailable
from dynfocus.ledger.pins import Check, FileRecord, PartRecord, Pins, read_parts, write_parts

DOWNLOADS = ".downloads"
BY_HAND = "by hand"
MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
PARALLEL = 4
"""Files downloaded at once."""
COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)


Faults = list[tuple[Part, UserError]]
"""What went wrong with which part."""


@dataclass(frozen=True)
class Task:
    """One file to fetch: its address without commit, and where it waits."""

    part: Part
    url: str
    waiting: Path
    expected: http.Expected
    hub_file: hub.HubFile | None = None


def prepare(name: str, entry: Entry, pins: Pins, out: Path) -> None:
    """Download, verify and unpack what a set lacks, and write its `source.json`.

    Args:
        pins: what earlier downloads recorded.
        out: `data/{name}`.

    Raises:
        UserError: a part that a person has to get is missing (standard error says what to do), or a download failed;
            all others are finished first.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished = {(record.origin, record.to): record for record in read_parts(out) if record.origin != BY_HAND}
    known = {(source.origin, part.to) for part in entry.parts for source in part.sources}
    stale = {to for _, to in finished.keys() - known}
    for part in entry.parts:
        rename(part.rename, out)
    records = {part.key: None if part.to in stale else _kept(part, finished, out) for part in entry.parts}
    left = [part for part in entry.parts if records[part.key] is None]
    _require_manual(name, entry, [part for part in left if part.by_hand], out)
    faults: Faults = []
    while left:
        require_space(out, _space(left), name)
        failed: Faults = []
        with _downloads(name, left, pins, out, failed) as fetched:
            for part, files in fetched:
                try:
                    records[part.key] = _install(part, files, out)
                except UserError as error:
                    failed.append((part, error))
                write_parts(out, name, [record for record in records.values() if record is not None])
        left = _other_sources(name, failed, faults)
    if faults:
        _explain(name, entry, faults, out)
    write_parts(out, name, [record for record in records.values() if record is not None])
    shutil.rmtree(out / DOWNLOADS, ignore_errors=True)


def rename(renaming: Renaming | None, out: Path) -> int:
    """Give files named by number the names of their set; returns how many were renamed.

    Raises:
        UserError: a JSON file lacks a field of the name.
    """
    count = 0
    if renaming is None:
        return count
    for file in sorted(out.glob(renaming.files)):
        fields = read_json(file, dict, "download it again")
        media = [path for path in file.parent.glob(f"{file.stem}.*") if path.suffix.lower() in MEDIA_SUFFIXES]
        try:
            target = out / renaming.to.format(**fields)
        except KeyError as lacking:
            raise UserError(
                f"{file}: has no field {lacking}, which names its medium ({renaming.to}); download again with that "
                "column saved, or rename the files yourself"
            ) from None
        if not target.resolve().is_relative_to(out.resolve()):
            raise UserError(f"{file}: its fields name {target}, outside the set's folder; not from a download tool")
        for medium in media:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(medium, target.with_name(target.name + medium.suffix))
            count += 1
    return count


def _other_sources(name: str, failed: Faults, faults: Faults) -> list[Part]:
    """The parts whose source does not have them, from their next one; all other failures go to `faults`."""
    again: dict[str, Part] = {}
    for part, error in failed:
        rest = part.without_first()
        if isinstance(error, Unavailable) and rest is not None and not rest.by_hand:
            print(f"{name}: {error}; taking {rest.source.origin} instead", file=sys.stderr)
            again[part.key] = rest
        else:
            faults.append((rest if isinstance(error, Unavailable) and rest is not None else part, error))
    return list(again.values())


def _explain(name: str, entry: Entry, faults: Faults, out: Path) -> NoReturn:
    """Say what failed, and what a person can do where that would help."""
    parts = list({part.key: part for part, _ in faults}.values())
    if entry.status == "gated" or any(part.by_hand for part in parts):
        print(instructions(name, entry, parts, out), file=sys.stderr)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    for _, fault in faults[1:]:
        print(f"{name}: {fault}", file=sys.stderr)
    raise UserError(f"{name}: {faults[0][1]}{more}")


def missing(part: Part, out: Path) -> list[str]:
    """What a part should provide and does not."""
    return [pattern for pattern in part.expected if next(_matches(out, pattern), None) is None]


def instructions(name: str, entry: Entry, parts: Iterable[Part], out: Path) -> str:
    """What a person has to do for a set, and where the files go."""
    heads = {
        "open": f"{entry.title} is open: `dynfocus prepare-data --dataset {name}` downloads it.",
        "withdrawn": f"{entry.title} was withdrawn by its publisher and is never downloaded.",
        "gated": f"{entry.title} is open only to those who accept its terms: {entry.home}",
    }
    lines = [f"{name}: {heads.get(entry.status, f'{entry.title} has files that you have to fetch yourself.')}"]
    for number, part in enumerate(parts, start=1):
        lines += [f"  {number}. {_what_to_do(part)}", *(f"     -> {out / path}" for path in part.expected)]
    if entry.substitute:
        lines.append(f"  Substitute: {entry.substitute}")
    lines += [f"  Licence: {entry.licence}", f"  Page: {entry.home}"]
    return "\n".join(lines)


def _what_to_do(part: Part) -> str:
    if isinstance(part.source, ManualSource):
        return " ".join(part.source.how.split())
    if isinstance(part.source, HubSource):
        access = hub.ACCESS.format(page=hub.page(part.source))
        return (
            f"{access[0].upper()}{access[1:]} and run the command again; or put {part.source.path} in place yourself."
        )
    return f"Downloaded from {part.source.origin}."


def _require_manual(name: str, entry: Entry, parts: list[Part], out: Path) -> None:
    if not parts:
        return
    print(instructions(name, entry, parts, out), file=sys.stderr)
    lacking = list(chain.from_iterable(missing(part, out) for part in parts))
    state = "withdrawn" if entry.status == "withdrawn" else "not downloadable"
    raise UserError(
        f"{name}: {state}; {out / lacking[0]} is missing{f' (and {len(lacking) - 1} more)' if lacking[1:] else ''}; "
        "put the files where the lines above say and run the command again"
    )


def _kept(part: Part, finished: dict[tuple[str, str], PartRecord], out: Path) -> PartRecord | None:
    """The record of a part that needs no work; None for one to fetch."""
    if missing(part, out):
        return None
    for source in part.sources:
        if record := finished.get((source.origin, part.to)):
            wanted = source.revision if isinstance(source, HubSource) else None
            return record if wanted is None or {file.commit for file in record.files} == {wanted} else None
    if any(_waiting(part, out).glob("*")):
        return None
    found = [path for pattern in part.expected for path in _files(out, pattern)]
    return PartRecord(BY_HAND, part.to, [], len(found), sum(path.stat().st_size for path in found))


@contextmanager
def _downloads(
    name: str, parts: list[Part], pins: Pins, out: Path, faults: Faults
) -> Iterator[Iterator[tuple[Part, list[tuple[Path, FileRecord]]]]]:
    """The parts with all of their files, as they arrive; a part with a failed file goes to `faults`."""
    tasks = {id(part): _tasks(part, pins, out, faults) for part in parts}
    sizes = [task.expected.bytes for group in tasks.values() for task in group]
    total = sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
    with (
        httpx.Client() as client,
        ThreadPoolExecutor(PARALLEL) as pool,
        Progress(*COLUMNS, refresh_per_second=1, disable=not sizes) as progress,
    ):
        bar = progress.add_task(name, total=total)
        stopped = threading.Event()

        def advance(count: int) -> None:
            if stopped.is_set():
                raise UserError("stopped; run the command again to go on")
            progress.update(bar, advance=count)

        waiting = [
            (part, [pool.submit(_fetch, client, task, advance) for task in tasks[id(part)]])
            for part in parts
            if tasks[id(part)]
        ]

        def arrived() -> Iterator[tuple[Part, list[tuple[Path, FileRecord]]]]:
            for part, futures in waiting:
                failures = [error for future in futures if (error := future.exception()) is not None]
                for error in failures:
                    if not isinstance(error, UserError):
                        raise _explained(error, out) from error
                    faults.append((part, error))
                if not failures:
                    yield part, [future.result() for future in futures]

        try:
            yield arrived()
        except BaseException:
            stopped.set()
            raise


def _tasks(part: Part, pins: Pins, out: Path, faults: Faults) -> list[Task]:
    """The files of a part; one whose hub repository cannot be read goes to `faults`."""
    try:
        return list(_hub_tasks(part, pins, out) if isinstance(part.source, HubSource) else _url_tasks(part, pins, out))
    except UserError as error:
        faults.append((part, error))
        return []


def _url_tasks(part: Part, pins: Pins, out: Path) -> Iterator[Task]:
    assert isinstance(part.source, UrlSource)
    for number, url in enumerate(part.source.urls):
        pin = pins.get(url)
        expected = http.Expected(part.source.bytes, part.source.sha256)
        if pin and not part.source.sha256:
            expected = http.Expected(pin.bytes, pin.sha256, "the first download")
        name = PurePosixPath(httpx.URL(url).path).name or "file"
        yield Task(part, url, _waiting(part, out) / f"{number:03d}-{name}", expected)


def _hub_tasks(part: Part, pins: Pins, out: Path) -> Iterator[Task]:
    """Files of a hub part, at the commit of the ledger, else at the one recorded, else at the head."""
    source = part.source
    assert isinstance(source, HubSource)
    known = [
        pin.commit for url, pin in pins.items() if url.startswith(f"{source.origin.partition('*')[0]}") and pin.commit
    ]
    for file in hub.find(source, source.revision or next(iter(known), None)):
        url = f"hub:{source.repo}/{file.path}"
        pin = pins.get(url)
        recorded = pin.sha256 if pin and pin.commit == file.commit else None
        expected = http.Expected(file.bytes, source.sha256 or recorded or file.sha256)
        yield Task(part, url, _waiting(part, out), expected, file)


def _fetch(client: httpx.Client, task: Task, advance: http.Advance) -> tuple[Path, FileRecord]:
    """Download one file; one that waits finished from an earlier run is checked instead."""
    part, expected = task.part, task.expected
    if task.hub_file is not None:
        assert isinstance(part.source, HubSource)
        path, checksum = hub.fetch(part.source, task.hub_file, task.waiting, advance)
        if expected.sha256 not in (None, checksum):
            http.check(path, task.url, expected)
        record = FileRecord(task.url, path.stat().st_size, checksum, "published", task.hub_file.commit)
        return path, record
    if task.waiting.exists():
        checksum = http.check(task.waiting, task.url, expected)
        advance(task.waiting.stat().st_size)
    else:
        checksum = http.fetch(client, task.url, task.waiting, expected, advance)
    source = part.download
    held: Check = "published" if source.sha256 else "recorded" if expected.sha256 else "first download"
    return task.waiting, FileRecord(task.url, task.waiting.stat().st_size, checksum, held, source.revision)


def _install(part: Part, files: list[tuple[Path, FileRecord]], out: Path) -> PartRecord:
    """Move or unpack the files of a part to their place and drop the downloads."""
    target, records = out / part.to, [record for _, record in files]
    try:
        source = part.download
        if source.unpack:
            archives = [[path] for path, _ in files] if source.kind == "hub" else [[path for path, _ in files]]
            choice = Choice(source.strip, source.below, source.keep, source.only)
            done = [unpack(pieces, target, choice) for pieces in _joined(archives)]
            members, size = sum(one.members for one in done), sum(one.bytes for one in done)
        else:
            members, size = len(files), sum(record.bytes for record in records)
            for path, _ in files:
                place = _place(part, path, out)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, place)
    except OSError as error:
        raise _explained(error, out) from error
    rename(part.rename, out)
    if lacking := missing(part, out):
        raise Unavailable(
            f"{records[0].url}: came, but does not provide {out / lacking[0]}; the publisher changed its layout: "
            "correct `to`, `strip` or `provides` in the ledger"
        )
    shutil.rmtree(_waiting(part, out), ignore_errors=True)
    return PartRecord(part.source.origin, part.to, records, members, size)


def _place(part: Part, path: Path, out: Path) -> Path:
    """Where a file goes: `to` itself, or for a pattern of the hub its path below the pattern's fixed folder."""
    if not isinstance(part.source, HubSource) or "*" not in part.source.path:
        return out / part.to
    fixed = part.source.path.partition("*")[0].rpartition("/")[0]
    return out / part.to / path.relative_to(_waiting(part, out)).relative_to(fixed)


def _joined(archives: list[list[Path]]) -> list[list[Path]]:
    """Pieces of one archive (`x.zip.001`, `x.tar.part-aa`) brought together; whole archives stay alone."""
    groups: dict[Path, list[Path]] = {}
    for pieces in archives:
        first = pieces[0]
        piece = len(pieces) == 1 and first.suffix.lower() not in (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2")
        groups.setdefault(first.with_suffix("") if piece else first, []).extend(pieces)
    return [sorted(pieces) if len(pieces) > 1 else pieces for pieces in groups.values()]


def _space(parts: list[Part]) -> int:
    """Disk for the parts: the download, and the same again for what comes out of an archive."""
    return sum((part.download_bytes or 0) * (2 if part.download.unpack else 1) for part in parts if not part.by_hand)


def _waiting(part: Part, out: Path) -> Path:
    """Where downloads of a part wait; parts never share it."""
    name = "".join(char if char.isalnum() else "-" for char in f"{part.source.origin}--{part.to}")
    return out / DOWNLOADS / name[-120:]


def _matches(out: Path, pattern: str) -> Iterator[Path]:
    """Files and folders that are not empty, by a path or pattern."""
    for path in out.glob(pattern) if pattern != "." else [out]:
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            yield path


def _files(out: Path, pattern: str) -> Iterator[Path]:
    for path in _matches(out, pattern):
        yield from [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())


def _explained(error: BaseException, out: Path) -> BaseException:
    """A full disk as one line; anything else as it is."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(
            f"{out}: the disk is full; make room and run the command again, downloads go on where they stopped"
        )
    return error
