"""Add and push what a finished run made: all of it or nothing, and again without effect.

Everything is copied, added and pushed in a staging folder first. Only when the remote holds every object do the
`.dvc` files and the index of the repository change, so a server that dies, a full disk or a kill leaves the published
state as it was. The index is replaced last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynfocus.artefacts import places, store
from dynfocus.artefacts.packs import write_pack
from dynfocus.errors import UserError
from dynfocus.steps.index import NAME as INDEX
from dynfocus.steps.index import Index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import files_below, read_manifest, size_of, verify, verify_content, verify_inputs
from dynfocus.steps.step import Step
from dynfocus.steps.table import RenderReport, name_of, needed
from dynfocus.steps.times import recorded_seconds

PREDICTIONS = Path("packs", "predictions.tar.xz")


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
    steps = needed(jobs, [RenderReport()])
    chosen = [step for step in steps if step.group and places.is_chosen(jobs, places.labels(jobs, step))]
    require_finished(jobs, steps, chosen)
    with store.one_at_a_time(root):
        stage = (root / "work" / "publish").resolve()
        store.remove(stage)
        outs = fill(jobs, chosen, stage)
        sizes = {group: sum(size_of(stage / out) for out in paths) for group, paths in outs.items()}
        require_room(root, sum(sizes.values()))
        index_of(jobs, steps, chosen).write(stage)
        store.push_staged(stage, outs)
        changed = _install(stage, root, outs)
        local = store.local_store()
        if local is not None:
            store.drop_unused(local)
    return Published(sizes, changed)


def require_finished(jobs: Jobs, steps: Sequence[Step], chosen: Sequence[Step]) -> None:
    """Raise UserError for the first step whose result is missing, made from something else, or damaged."""
    if not jobs.layout.report.is_file():
        raise UserError(f"{jobs.layout.report} is missing: finish the run before it is published")
    for step in steps:
        manifest = verify(step.path(jobs), step.settings(jobs))
        verify_inputs(step.path(jobs), manifest)
        if step in chosen:
            verify_content(step.path(jobs), manifest)


def fill(jobs: Jobs, chosen: Iterable[Step], stage: Path) -> dict[str, list[Path]]:
    """Copy and pack what is published below `stage`; returns the outputs of each group, relative to the root."""
    root, layout = jobs.layout.root, jobs.layout
    outs: dict[str, dict[Path, None]] = {}
    packed: dict[Path, list[Path]] = {}
    for step in chosen:
        outs.setdefault(str(step.group), {})[places.out_of(jobs, step)] = None
        if pack := places.pack_of(step):
            packed.setdefault(pack, []).extend(places.members_of(jobs, step))
    if PREDICTIONS in packed and layout.judge_replies.is_dir():
        packed[PREDICTIONS].append(layout.judge_replies)
    if "results" in outs:
        outs["results"] |= {
            path.relative_to(root): None for name in places.REPORT if (path := layout.results / name).exists()
        }
    for pack, members in packed.items():
        write_pack(stage / pack, root, members)
    for out in (out for group in outs.values() for out in group if out not in packed):
        _copy(root / out, stage / out)
    return {group: sorted(outs[group]) for group in places.GROUPS if group in outs}


def index_of(jobs: Jobs, steps: Iterable[Step], chosen: Iterable[Step]) -> Index:
    """What the published run made, what of it is stored, and the seconds of its jobs."""
    steps = list(steps)
    seconds = {name_of(jobs, step): recorded_seconds(jobs, step) for step in steps}
    return Index(
        {name_of(jobs, step): read_manifest(step.path(jobs)) for step in steps},
        {name_of(jobs, step): read_manifest(step.path(jobs))["bytes"] for step in chosen},
        {name: time for name, time in seconds.items() if time is not None},
    )


def require_room(root: Path, size: int) -> None:
    """Raise UserError where the store in the repository would exceed its limit."""
    local = store.local_store()
    if local is None:
        return
    others = sum(store.tracked_bytes(file) for file in store.dvc_files() if file.parent.resolve() != root.resolve())
    if size + others > store.LIMIT:
        raise UserError(
            f"{local.name}: would hold {(size + others) / 1e6:.1f} MB, more than {store.LIMIT / 1e6:.0f} MB; "
            "leave something out (`published`), or publish elsewhere: dvc remote add --default NAME URL"
        )


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or of a folder what DVC looks at: no manifests, and nothing that names a machine."""
    files = [Path(name) for name in files_below(source)] if source.is_dir() else [Path()]
    for name in files:
        if not store.is_ignored(source / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _install(stage: Path, root: Path, groups: Iterable[str]) -> tuple[Path, ...]:
    """Move packs, `.dvc` files and, last, the index from the staging folder to the root."""
    if (stage / "packs").is_dir():
        store.remove(root / "packs")
        os.replace(stage / "packs", root / "packs")
    names = [f"{group}.dvc" for group in groups] + [INDEX]
    changed = [name for name in names if not _equal(stage / name, root / name)]
    for name in changed:
        os.replace(stage / name, root / name)
    shutil.rmtree(stage)
    return tuple(root / name for name in changed)


def _equal(new: Path, old: Path) -> bool:
    return old.is_file() and new.read_bytes() == old.read_bytes()
