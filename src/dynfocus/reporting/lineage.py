"""Provenance records of the report: scores, items, claims and, through the manifests, what they were made from.

A score's manifest names the answers and verdicts, theirs the checkpoint and the data, the
checkpoint's its features and backbones. Each artefact is one record; records link to each other. A
file whose bytes are no longer those of its manifest is marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dynfocus.files import read_json
from dynfocus.steps.manifests import content_hash, manifest_path

LARGEST_CHECKED = 1 << 24
"""Bytes of a file up to which the page compares its content with its manifest."""


@dataclass(frozen=True)
class Record:
    """One artefact: its path as shown, its place on the page, a line about it, its inputs and its manifest.

    edited: what its content is now, where it is not what the manifest records.
    """

    path: str
    anchor: str
    summary: str
    edited: str
    inputs: tuple[tuple[str, str, str], ...]
    manifest: str


def anchor(path: str) -> str:
    """The place of an artefact's record on the page."""
    return "record-" + "".join(character if character.isalnum() else "-" for character in path)


def shown(path: Path, root: Path) -> str:
    """A path relative to the root where it lies below it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def lineage(files: Iterable[Path], root: Path) -> list[Record]:
    """Records of the files and of all artefacts with a manifest that they were made from, each once."""
    records: dict[str, Record] = {}
    waiting = list(files)
    while waiting:
        path = waiting.pop(0)
        name = shown(path, root)
        if name in records:
            continue
        manifest = read(path)
        inputs = manifest.get("inputs", {}) if manifest else {}
        known = {source: content for source, content in inputs.items() if manifest_path(Path(source)).exists()}
        waiting.extend(Path(source) for source in known)
        links = tuple(
            (shown(Path(source), root), str(content)[:12], anchor(shown(Path(source), root)) if source in known else "")
            for source, content in inputs.items()
        )
        records[name] = Record(
            name, anchor(name), summary(manifest), edited(manifest, path), links, text(manifest, path)
        )
    return list(records.values())


def edited(manifest: dict | None, path: Path) -> str:
    """The first digits of a file's content hash where the manifest records another; empty where equal or unchecked.

    Folders and large files are checked by the steps that read them.
    """
    recorded = (manifest or {}).get("content")
    if recorded is None or not path.is_file() or path.stat().st_size > LARGEST_CHECKED:
        return ""
    now = content_hash(path)
    return "" if now == recorded else now[:12]


def read(path: Path) -> dict | None:
    """The manifest of an artefact, None where it has none."""
    file = manifest_path(path)
    return read_json(file, dict, "run its step again") if file.exists() else None


def summary(manifest: dict | None) -> str:
    """Command, seed, device, wall time and code of a manifest in a line."""
    if manifest is None:
        return "no manifest"
    seed = manifest.get("seed")
    parts = [
        str(manifest.get("command", "")),
        "" if seed is None else f"seed {seed}",
        f"on {manifest.get('device')}",
        f"{manifest.get('wall_seconds')} s",
        f"code {str(manifest.get('commit') or 'not committed')[:10]}",
    ]
    return ", ".join(part for part in parts if part)


def text(manifest: dict | None, path: Path) -> str:
    """The manifest for reading; the inputs are shown apart."""
    if manifest is None:
        return f"{manifest_path(path).name} is missing: this file was not written by the workflow"
    rest = {key: value for key, value in manifest.items() if key != "inputs"}
    return json.dumps(rest, indent=1, ensure_ascii=False)
