"""The check that each consumer makes of each input before it reads it.

What is made here must come from the wanted settings and from the inputs that are here now. What is
pulled must come from the wanted settings and be the published one. A mismatch is refused with the
two values named, so an edited learning rate never scores the old weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dynfocus.artefacts.index import read_index
from dynfocus.artefacts.ladder import is_pulled, require_fitting
from dynfocus.errors import UserError
from dynfocus.steps.catalogue import Artefact, all_answers, name_of, read_by
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import kept, manifest_path, verify, verify_content, verify_inputs

READ_WHOLE = frozenset({"backbones", "alignment", "checkpoints"})
"""Kinds whose bytes are hashed again before use: everything after them depends on a few files."""


def check(jobs: Jobs, artefacts: Iterable[Artefact]) -> None:
    """Raise UserError for the first artefact that must not be used with the configuration of `jobs`."""
    for artefact in artefacts:
        manifest = verify(artefact.path, artefact.settings)
        if artefact.seed != manifest["seed"]:
            raise UserError(
                f"{artefact.path}: made with seed = {manifest['seed']}, wanted with {artefact.seed}; make it again"
            )
        if is_pulled(jobs, artefact):
            require_published(jobs, artefact, manifest["content"])
        else:
            verify_inputs(artefact.path, manifest)
        if artefact.kind in READ_WHOLE:
            verify_content(artefact.path, manifest)


def require_published(jobs: Jobs, artefact: Artefact, content: str) -> None:
    """Raise UserError where the artefact here is not the published one."""
    published = read_index(jobs.layout.root).manifests.get(name_of(jobs, artefact))
    if published is None:
        raise UserError(f"{artefact.path}: not among the published artefacts; use an earlier start_from")
    if published["content"] != content:
        raise UserError(
            f"{artefact.path}: content {content[:12]} is here, {published['content'][:12]} is published; "
            "delete it to pull the published one, or use an earlier start_from"
        )


def is_kept(artefact: Artefact, inputs: Iterable[Path]) -> bool:
    """Whether an artefact need not be made: it is finished, unharmed, and from these settings and inputs."""
    if not kept(artefact.path, artefact.settings, inputs, artefact.seed):
        return False
    print(f"{artefact.path}: kept, made before from the same settings and inputs; delete it to make it again")
    return True


def check_item(jobs: Jobs, item: str) -> None:
    """Check everything that the notebook of a report item reads, and the answers behind its scores that are here."""
    require_fitting(jobs)
    answered = [shard for pair in jobs.item_evaluations(item) for shard in all_answers(jobs, *pair)]
    check(jobs, [shard for shard in answered if manifest_path(shard.path).is_file()])
    check(jobs, read_by(jobs, item))
