"""Add and push what a finished run made: all of it or nothing, and again without effect.

Everything is packed, added and pushed in a staging folder first. Only when the remote holds every
object do the `.dvc` files and the index of the repository change, so a server that dies, a full disk
or a kill leaves the published state as it was. The index is replaced last.
"""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from dynfocus.artefacts import store
from dynfocus.artefacts.index import NAME as INDEX
from dynfocus.artefacts.index import Index
from dynfocus.artefacts.packs import write_pack
from dynfocus.errors import UserError
from dynfocus.steps import catalogue
from dynfocus.steps.catalogue import Artefact, demanded, name_of
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import manifest_path, read_manifest, verify, verify_content, verify_inputs

IN_OTHER_PACKS = frozenset({"answers", "verdicts", "scores", "judge_replies"})


@dataclass(frozen=True)
class Published:
    """What a call did: bytes of each group, and the files to be committed to git (none where nothing changed)."""

    bytes: dict[str, int]
    changed: tuple[Path, ...]


def publish(jobs: Jobs) -> Published:
    """Publish the finished run of a configuration.

    Raises:
        UserError: something is missing, stale or damaged, the store would grow too large, or the push failed.
    """
    root = jobs.layout.root
    artefacts = demanded(jobs)
    require_finished(jobs, artefacts)
    with store.one_at_a_time(root):
        stage = (root / "work" / "publish").resolve()
        store.remove(stage)
        packs = write_packs(jobs, artefacts, stage)
        sizes = {name: store.pack_file(stage, name).stat().st_size for name in packs}
        require_room(root, sizes)
        index = Index(
            {name_of(jobs, artefact): read_manifest(artefact.path) for artefact in artefacts},
            sizes,
            notebook_seconds(jobs),
        )
        index.write(stage)
        groups = [group for group in catalogue.GROUPS if any(name.startswith(f"{group}/") for name in packs)]
        store.push_staged(stage, groups)
        changed = _install(stage, root, groups)
        local = store.local_store()
        if local is not None and changed:
            store.drop_unused(local)
    return Published({group: sum(size for name, size in sizes.items() if name.startswith(f"{group}/"))
                      for group in groups}, changed)  # fmt: skip


def require_finished(jobs: Jobs, artefacts: list[Artefact]) -> None:
    """Raise UserError for the first artefact that is missing, made from something else, or damaged."""
    if not jobs.layout.report.is_file():
        raise UserError(f"{jobs.layout.report} is missing: finish the run before it is published")
    for artefact in artefacts:
        manifest = verify(artefact.path, artefact.settings)
        verify_inputs(artefact.path, manifest)
        if artefact.pack is not None:
            verify_content(artefact.path, manifest)


def write_packs(jobs: Jobs, artefacts: list[Artefact], stage: Path) -> list[str]:
    """Pack what the configuration publishes below `stage`; returns the names of the packs."""
    members: dict[str, list[Path]] = {}
    for artefact in artefacts:
        if artefact.pack:
            members.setdefault(artefact.pack, []).extend(files_of(artefact))
    layout = jobs.layout
    report = (path for path in layout.results.iterdir() if path.name not in IN_OTHER_PACKS)
    members[catalogue.REPORT] = [*report, layout.config, layout.experiments]
    if layout.judge_replies.is_dir():
        members[catalogue.REPLIES] = [layout.judge_replies]
    chosen = [name for name in members if is_chosen(jobs, name)]
    for name in chosen:
        write_pack(store.pack_file(stage, name), layout.root, members[name])
    return chosen


def is_chosen(jobs: Jobs, pack: str) -> bool:
    """Whether `published` names a pack; one of stage 1 also goes by the runs that start stage 2 from it."""
    group, _, key = pack.partition("/")
    runs = jobs.alignment_runs(key) if group == "stage1" else []
    names = [pack, *(f"{group}/{run}" for run in runs)]
    return any(fnmatch(name, pattern) for name in names for pattern in jobs.config.published)


def files_of(artefact: Artefact) -> list[Path]:
    """The files and folders of an artefact, its manifest among them."""
    if artefact.path.is_dir():
        return [artefact.path]
    return [artefact.path, *artefact.also, manifest_path(artefact.path)]


def require_room(root: Path, sizes: dict[str, int]) -> None:
    """Raise UserError where the store in the repository would exceed its limit."""
    local = store.local_store()
    if local is None:
        return
    others = sum(store.tracked_bytes(file) for file in store.dvc_files() if file.parent.resolve() != root.resolve())
    total = sum(sizes.values()) + others
    if total > store.LIMIT:
        raise UserError(
            f"{local.name}: would hold {total / 1e6:.1f} MB, more than {store.LIMIT / 1e6:.0f} MB; "
            "leave something out (`published`), or publish elsewhere: dvc remote add --default NAME URL"
        )


def notebook_seconds(jobs: Jobs) -> dict[str, float]:
    """Wall time of each report item, from Snakemake's records."""
    found = {}
    for item in jobs.items:
        file = jobs.layout.root / "logs" / "benchmarks" / "execute_notebook" / f"{item}.tsv"
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as stream:
                found[item] = round(float(next(csv.DictReader(stream, delimiter="\t"))["s"]), 1)
    return found


def _install(stage: Path, root: Path, groups: list[str]) -> tuple[Path, ...]:
    """Move packs, `.dvc` files and, last, the index from the staging folder to the root."""
    for group in groups:
        target = root / store.PACKS / group
        store.remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / store.PACKS / group, target)
    names = [f"{group}.dvc" for group in groups] + [INDEX]
    changed = [name for name in names if not _equal(stage / name, root / name)]
    for name in changed:
        os.replace(stage / name, root / name)
    shutil.rmtree(stage)
    return tuple(root / name for name in changed)


def _equal(new: Path, old: Path) -> bool:
    return old.is_file() and new.read_bytes() == old.read_bytes()
