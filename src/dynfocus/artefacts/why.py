"""The state of every artefact, with the reason why a job would make it."""

from __future__ import annotations

from collections.abc import Iterator

from dynfocus.artefacts.ladder import is_pulled, is_used
from dynfocus.errors import UserError
from dynfocus.steps.bindings import require_published
from dynfocus.steps.catalogue import Artefact, demanded, name_of
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import manifest_path, module_hash, read_manifest, verify, verify_inputs

FINISHED = "finished"


def explain(jobs: Jobs, contains: str = "") -> Iterator[str]:
    """One line per artefact that this configuration uses and whose name contains a text."""
    states: dict[str, str] = {}
    for artefact in demanded(jobs):
        if is_used(jobs, artefact):
            states[str(artefact.path)] = line = state(jobs, artefact, states)
            if contains in str(artefact.path):
                yield f"{name_of(jobs, artefact)}: {line}"


def state(jobs: Jobs, artefact: Artefact, states: dict[str, str]) -> str:
    """`finished`, or what is wrong; `states` are those of the artefacts made before."""
    if not manifest_path(artefact.path).is_file():
        return "missing: will be pulled" if is_pulled(jobs, artefact) else "missing: will be made"
    try:
        manifest = verify(artefact.path, artefact.settings)
        if is_pulled(jobs, artefact):
            require_published(jobs, artefact, manifest["content"])
        else:
            verify_inputs(artefact.path, manifest)
    except UserError as error:
        return str(error).removeprefix(f"{artefact.path}: ")
    waiting = [source for source in manifest["inputs"] if states.get(source, FINISHED).split(";")[0] != FINISHED]
    if waiting and not is_pulled(jobs, artefact):
        return f"{FINISHED} from {waiting[0]}, which is not; made again only if that changes"
    changed = changed_code(artefact)
    return (
        f"{FINISHED}; the code of {', '.join(changed)} is another one now, which starts no job" if changed else FINISHED
    )


def changed_code(artefact: Artefact) -> list[str]:
    """The modules recorded in a manifest whose source is another one now."""
    return [name for name, before in read_manifest(artefact.path)["code"].items() if module_hash(name) != before]
