"""Published results put in their places, each checked against the index before it counts as finished."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dynfocus.artefacts import places, store
from dynfocus.artefacts.cache import obstacle, unlike
from dynfocus.artefacts.packs import unpack
from dynfocus.errors import UserError
from dynfocus.steps.index import Index, find_index, read_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_hash, manifest_path, read_manifest, write_manifest
from dynfocus.steps.step import Step
from dynfocus.steps.table import RenderReport, TestClaims, name_of, needed

NEAREST = 3


def published_steps(jobs: Jobs) -> dict[str, Step]:
    """Everything that is published below this root and that this configuration knows, by name."""
    stored = read_index(jobs.layout.root).stored
    steps = {name_of(jobs, step): step for step in needed(jobs, [RenderReport(), TestClaims()])}
    return {name: step for name, step in steps.items() if name in stored}


def published_step(jobs: Jobs, name: str) -> Step:
    """The step whose published result is called `name`.

    Raises:
        UserError: there is none; names the nearest, or how to make it.
    """
    known = {name_of(jobs, step): step for step in needed(jobs, [RenderReport(), TestClaims()])}
    step = known.get(name)
    if step is None:
        near = difflib.get_close_matches(name, published_steps(jobs), n=NEAREST, cutoff=0.3)
        raise UserError(f"{name}: nothing of that name is published; the nearest: {', '.join(near) or 'none'}")
    reason = obstacle(jobs, read_index(jobs.layout.root), step)
    if reason is not None:
        raise UserError(f"{name}: {reason}; make it with: snakemake {step.outputs(jobs)[0]}")
    return step


def pull(jobs: Jobs, steps: Iterable[Step]) -> list[Path]:
    """Put the published results of `steps` in their places, in one call to DVC; returns what was not there before.

    Raises:
        UserError: the store lacks something, or holds something else than the index says.
    """
    root, index = jobs.layout.root, read_index(jobs.layout.root)
    with store.one_at_a_time(root):
        lacking = [step for step in steps if not _adopt(jobs, index, step)]
        store.fetch(root, {places.out_of(jobs, step) for step in lacking})
        _unpack(jobs, lacking)
        for step in lacking:
            if not _adopt(jobs, index, step):
                name = name_of(jobs, step)
                raise UserError(
                    f"{step.path(jobs)}: the pulled content is not the published one, "
                    f"{index.manifests[name]['content'][:12]}; bring {step.group}.dvc and artefacts.json to one commit"
                )
    return [step.path(jobs) for step in lacking]


def adopt_pulled(jobs: Jobs) -> None:
    """Give what a plain `dvc pull` brought its manifest, where it is what is published with these settings.

    Snakemake takes a file that is there for done; DVC brings no manifest, by which the next step checks it.
    """
    index = find_index(jobs.layout.root)
    if index is not None:
        for step in needed(jobs, [RenderReport(), TestClaims()]):
            path = step.path(jobs)
            lacking = path.exists() and not manifest_path(path).exists()
            if lacking and unlike(jobs, index, step) is None:
                _adopt(jobs, index, step)


def _unpack(jobs: Jobs, steps: Iterable[Step]) -> None:
    root = jobs.layout.root
    wanted: dict[Path, list[Path]] = {}
    for step in steps:
        if pack := places.pack_of(step):
            wanted.setdefault(pack, []).extend(places.members_of(jobs, step)[:-1])
    for pack, members in wanted.items():
        replies = [jobs.layout.judge_replies] if not jobs.layout.judge_replies.exists() else []
        unpack(root / pack, root, [*members, *replies])


def _adopt(jobs: Jobs, index: Index, step: Step) -> bool:
    """Whether the published result of a step is here; its manifest then stands beside it."""
    path, published = step.path(jobs), index.manifests[name_of(jobs, step)]
    if not path.exists() or not _is_equal(jobs, step, published):
        return False
    if not manifest_path(path).is_file() or read_manifest(path) != published:
        write_manifest(path, published)
    return True


def _is_equal(jobs: Jobs, step: Step, published: Mapping[str, Any]) -> bool:
    files = step.also(jobs)
    if not all(file.is_file() and content_hash(file) == published["also"].get(file.name) for file in files):
        return False
    return content_hash(step.path(jobs), published["apart"]) == published["content"]
