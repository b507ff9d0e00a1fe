"""How a step is done: its inputs checked, finished work kept, GPUs and a lock taken, and a manifest written.

    perform(jobs, PrepareData("msvd_qa"), lambda out: prepare(jobs.config, "msvd_qa", out))

What is made here must come from the wanted settings and from the inputs that are here now. What was pulled must come
from the wanted settings and be the published one. A mismatch is refused with the two values named, so an edited
learning rate never scores the old weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.machine.gpus import take_gpus
from dynfocus.machine.locks import only_one
from dynfocus.steps.code import code_of
from dynfocus.steps.index import find_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import kept, record, verify, verify_content, verify_inputs
from dynfocus.steps.step import Step
from dynfocus.steps.table import ExtractFeatures, input_paths, name_of


def perform(jobs: Jobs, step: Step, make: Callable[[Path], object]) -> None:
    """Check what a step reads and let `make` write its path, unless that is finished already.

    Raises:
        UserError: an input is missing, damaged, or made from something else than wanted.
    """
    if is_ready(jobs, step):
        take_gpus(jobs.config, step.gpus(jobs), step.command())
        with recording(jobs, step):
            make(step.path(jobs))


def is_ready(jobs: Jobs, step: Step) -> bool:
    """Whether a step has to be done: its inputs are as they must be, and it is not finished."""
    check(jobs, step.inputs(jobs))
    path = step.path(jobs)
    if step.keeps and kept(path, step.settings(jobs), input_paths(jobs, step), step.training_seed(jobs)):
        print(f"{path}: kept, made before from the same settings and inputs; delete it to make it again")
        return False
    return True


@contextmanager
def recording(jobs: Jobs, step: Step) -> Iterator[None]:
    """Hold the lock of a step while the body does it, and write the manifest when it ends well."""
    making = record(
        step.path(jobs),
        command=step.command(),
        settings=step.settings(jobs),
        inputs=input_paths(jobs, step),
        also=step.also(jobs),
        code=code_of(step.modules(jobs)),
        seed=step.training_seed(jobs),
        device=jobs.config.hardware.device if step.gpus(jobs) else "cpu",
        apart=step.apart(jobs),
    )
    with only_one(jobs.layout.lock(step.rule(), step.name.replace("/", "-")), str(step)), making:
        yield


def check(jobs: Jobs, steps: Iterable[Step]) -> None:
    """Raise UserError for the first step whose result must not be used with this configuration."""
    for step in steps:
        path = step.path(jobs)
        manifest = verify(path, step.settings(jobs))
        if step.training_seed(jobs) != manifest["seed"]:
            raise UserError(
                f"{path}: made with seed = {manifest['seed']}, wanted with {step.training_seed(jobs)}; make it again"
            )
        _require_own(jobs, step, manifest)
        if isinstance(step, ExtractFeatures):
            _require_alone(path, step.shards)
        if not is_published(jobs, step, manifest):
            verify_inputs(path, manifest)
        verify_content(path, manifest, step.whole)


def _require_own(jobs: Jobs, step: Step, manifest: Mapping[str, Any]) -> None:
    """Raise UserError where a manifest is that of the same step for another run or set, moved here with its result.

    Shards count by their folder: how many there are changes no result.
    """
    if manifest["artefact"] != step.path(jobs).name:
        raise UserError(f"{step.path(jobs)}: was made as {manifest['artefact']}, but moved here; make or pull it again")
    recorded = [f"/{name}/" for name in manifest["inputs"]]
    for before in step.inputs(jobs):
        name = name_of(jobs, before)
        wanted = name.rpartition("/")[0] if hasattr(before, "shard") else name
        if not any(f"/{wanted}/" in text for text in recorded):
            raise UserError(f"{step.path(jobs)}: was not made from {wanted}, but moved here; make or pull it again")


def _require_alone(path: Path, shards: int) -> None:
    """Raise UserError where features lie beside others of another number of shards: readers open all that is there."""
    others = sorted(file.name for file in path.parent.glob("*.safetensors") if not file.stem.endswith(f"-of-{shards}"))
    if others:
        raise UserError(
            f"{path.parent}: holds {others[0]} beside shards of {shards}, and its features would be read in their "
            "place; remove it, and all others of its number"
        )


def is_published(jobs: Jobs, step: Step, manifest: Mapping[str, Any]) -> bool:
    """Whether the result of a step that is here is the published one, whose inputs need not be here."""
    index = find_index(jobs.layout.root)
    published = index.manifests.get(name_of(jobs, step)) if index is not None else None
    return published is not None and published["content"] == manifest["content"]
