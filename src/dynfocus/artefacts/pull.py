"""Published artefacts put back in their places, each checked against the index before it counts as finished."""

from __future__ import annotations

from pathlib import Path

from dynfocus.artefacts import store
from dynfocus.artefacts.index import Index, read_index
from dynfocus.artefacts.ladder import is_pulled, require_published_with
from dynfocus.artefacts.packs import unpack
from dynfocus.config.experiments import require_known
from dynfocus.errors import UserError
from dynfocus.steps import catalogue
from dynfocus.steps.catalogue import Artefact, demanded, name_of
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_hash, manifest_path, read_manifest


def pull(jobs: Jobs, name: str) -> Path:
    """Put the published artefact `name` (its path below the root) in its place; returns that place.

    Whatever else this configuration pulls and lacks comes in the same call to DVC.
    """
    known = {name_of(jobs, artefact): artefact for artefact in demanded(jobs) if artefact.pack}
    require_known("pull-artefact", [name], known, "published artefact")
    artefact, root = known[name], jobs.layout.root
    index = read_index(root)
    require_published_with(jobs, index, artefact)
    with store.one_at_a_time(root):
        lacking = [
            other.pack for other in known.values() if is_pulled(jobs, other) and not manifest_path(other.path).is_file()
        ]
        wanted = dict.fromkeys([artefact.pack, *lacking, *_replies(index, artefact)])
        store.fetch(root, [pack for pack in wanted if not _is_here(root, index, pack)])
        if not _place(jobs, index, artefact):
            store.fetch(root, [artefact.pack])
            if not _place(jobs, index, artefact):
                raise UserError(
                    f"{artefact.path}: the pulled content is not the published one, "
                    f"{index.manifests[name]['content'][:12]}; bring {artefact.pack.split('/')[0]}.dvc and "
                    "artefacts.json back to one commit"
                )
        for pack in _replies(index, artefact):
            if not jobs.layout.judge_replies.exists():
                unpack(store.pack_file(root, pack), root, [jobs.layout.judge_replies])
    return artefact.path


def _place(jobs: Jobs, index: Index, artefact: Artefact) -> bool:
    """Unpack an artefact; False, with nothing that counts as finished left, where its content is another one."""
    root = jobs.layout.root
    pack = store.pack_file(root, artefact.pack)
    published = index.manifests[name_of(jobs, artefact)]
    manifest = manifest_path(artefact.path)
    folder = manifest.is_relative_to(artefact.path)
    unpack(pack, root, [artefact.path] if folder else [artefact.path, *artefact.also, manifest])
    if not (artefact.path.exists() and manifest.is_file()):
        return False
    made = read_manifest(artefact.path)
    if content_hash(artefact.path, made.get("apart", ())) == made["content"] == published["content"]:
        return True
    manifest.unlink()
    return False


def _is_here(root: Path, index: Index, pack: str) -> bool:
    file = store.pack_file(root, pack)
    return file.is_file() and file.stat().st_size == index.packs.get(pack)


def _replies(index: Index, artefact: Artefact) -> list[str]:
    return [catalogue.REPLIES] if artefact.kind == "answers" and catalogue.REPLIES in index.packs else []
