"""Whether what is published is what this checkout would publish: one rule, for the command and for the tests.

    dynfocus why --published

Settings, seeds and files of the repository must be those of the checkout, for every step. So must the code of every
step that is done again at no cost to finished work: verdicts, scores, notebooks, report, and the templates that they
fill. Doing them again is a matter of minutes, and what comes out equal is published under the code that made it last.

What keeps finished work is another matter: films and their coverage, features, weights, answers and measurements stay
as they were made, since no edit of code starts a training. An edit there may leave the result as it is or not, which
nobody knows without making it again; the edited modules and the results behind them are named and counted, not refused.

Where the store lies in the repository, every published file is also compared with the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.artefacts import places, store
from dynfocus.artefacts.cache import difference
from dynfocus.artefacts.packs import SUFFIX as PACK_SUFFIX
from dynfocus.artefacts.packs import members
from dynfocus.steps.code import code_of, current_hash
from dynfocus.steps.index import Index, read_index
from dynfocus.steps.jobs import Jobs
from dynfocus.steps.manifests import content_hash, content_of, hash_of_files, is_counted
from dynfocus.steps.step import Step
from dynfocus.steps.table import RenderReport, name_of, needed

SHOWN = 3


@dataclass(frozen=True)
class Freshness:
    """What must be made and published again, why (name -> reason), and what other code made that is kept."""

    stale: Mapping[str, str]
    forced: tuple[str, ...]
    kept: Mapping[str, tuple[str, ...]]

    def lines(self) -> Iterator[str]:
        """For people: a line per reason, then one on kept results, then the command that mends it."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.stale.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            yield f"{_first(names)}: {reason}"
        if self.kept:
            modules = sorted({module for found in self.kept.values() for module in found})
            yield (
                f"kept, by code that has been edited since, which may or may not matter: {len(self.kept)} results, "
                f"such as {_first(list(self.kept))}; edited: {', '.join(modules)}"
            )
        yield f"out of date; mend it with: {self.repair()}" if self.stale else "what is published is up to date"

    def repair(self) -> str:
        """The command that makes what is stale and publishes it; settings start their jobs by themselves."""
        forced = f" --forcerun {' '.join(self.forced)}" if self.forced else ""
        return f"snakemake{forced} && make publish"


def freshness(jobs: Jobs) -> Freshness:
    """Compare what is published below the root of `jobs` with the settings, files and code that are here.

    Raises:
        UserError: nothing is published there.
    """
    index = read_index(jobs.layout.root)
    steps = {name_of(jobs, step): step for step in needed(jobs, [RenderReport()])}
    stale = {
        name: "published, but no longer part of this configuration" for name in index.manifests if name not in steps
    }
    kept: dict[str, tuple[str, ...]] = {}
    forced: dict[str, None] = {}
    keeping = [step for step in steps.values() if step.keeps]
    kept_work = {*keeping, *(before for step in keeping for before in step.inputs(jobs))}
    for name, step in steps.items():
        reason = difference(jobs, index, step) or _other_file(jobs, index, step)
        edited = _edited(jobs, step, index.manifests[name]) if name in index.manifests else ()
        if reason is not None:
            stale[name] = reason
        elif edited and step in kept_work:
            kept[name] = edited
        elif edited:
            stale[name] = f"published by other code: {_first(edited)}"
            forced[step.rule()] = None
    for name in _unlike_the_index(jobs, index, steps):
        stale.setdefault(name, f"the store holds something else than {jobs.layout.root / 'artefacts.json'} says")
    return Freshness(stale, tuple(forced), kept)


def _other_file(jobs: Jobs, index: Index, step: Step) -> str | None:
    """Why a step read other files of the repository than those that are here."""
    recorded = index.manifests[name_of(jobs, step)]["inputs"]
    made = {before.path(jobs).as_posix() for before in step.inputs(jobs)}
    ours = {str(file): content_of(file) for file in step.files(jobs)}
    theirs = {name: content for name, content in recorded.items() if name not in made}
    other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return f"published from another {_first(other)}" if other else None


def _edited(jobs: Jobs, step: Step, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules and files whose content is another one now; new ones count where a step is done again."""
    code = manifest["code"]
    edited = {name for name, made in code.items() if current_hash(name) != made}
    added = set() if step.keeps else set(code_of(step.modules(jobs))) - set(code)
    return tuple(sorted(edited | added))


def _unlike_the_index(jobs: Jobs, index: Index, steps: Mapping[str, Step]) -> Iterator[str]:
    """Names of what the store in the repository holds with another content than the manifest records, or lacks."""
    folder = store.local_store()
    if folder is None:
        return
    hashes = dict(_stored_hashes(jobs.layout.root, folder))
    for name, step in steps.items():
        manifest = index.manifests.get(name)
        inside = {file.removeprefix(f"{name}/"): value for file, value in hashes.items() if file.startswith(f"{name}/")}
        if manifest is None or not (inside or name in hashes or name in index.stored):
            continue
        counted = {file: value for file, value in inside.items() if is_counted(file, manifest["apart"])}
        beside = {path.name: hashes.get(str(path.relative_to(jobs.layout.root))) for path in step.also(jobs)}
        if hashes.get(name, hash_of_files(counted)) != manifest["content"] or beside != manifest["also"]:
            yield name


def _stored_hashes(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """The path below the root of every file that is published, those in packs too, and its SHA-256."""
    for out in (out for group in places.GROUPS for out in store.outs_of(store.dvc_file(root, group))):
        for name, place in store.files_of(out, folder):
            if name.endswith(PACK_SUFFIX):
                yield from members(place).items()
            elif place.is_file():
                yield name, content_hash(place)


def _first(names: Iterable[str]) -> str:
    """The first few of some names, and the number of the others."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
