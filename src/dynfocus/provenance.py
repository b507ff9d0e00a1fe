"""Manifests: how an artefact was made, written beside it by whoever made it.

    with record(out, command="train-instruction", settings=..., inputs=[...], modules=["dynfocus.network"]):
        train(...)

The manifest appears last and at once, so its existence says that the artefact is complete. It is
`manifest.json` inside a folder and `NAME.manifest.json` beside a file. Only `settings`, `inputs`,
`code` and `content` identify an artefact; time and machine are for the reader.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynfocus import __version__
from dynfocus.config.slices import hash_of
from dynfocus.errors import UserError

PACKAGES = ("torch", "transformers", "deepspeed", "open_clip_torch", "av", "numpy")
NAME = "manifest.json"
CHUNK = 1 << 20


def manifest_path(artefact: Path) -> Path:
    """Where the manifest of a file or folder is."""
    return artefact.with_name(f"{artefact.name}.{NAME}") if artefact.is_file() else artefact / NAME


@contextmanager
def record(
    artefact: Path,
    *,
    command: str,
    settings: Mapping[str, Any],
    inputs: Iterable[Path] = (),
    modules: Iterable[str] = (),
    seed: int | None = None,
    device: str = "cpu",
    covers: Iterable[str] | None = None,
) -> Iterator[None]:
    """Time the body and write the manifest of `artefact` when it ends well; an old manifest goes first.

    Args:
        inputs: artefacts or files read; the manifest stores the content hash of each.
        modules: importable names of the packages that determine the result.
        covers: names inside a folder that `content` is computed from; None: every file.
    """
    manifest_path(artefact).unlink(missing_ok=True)
    started = time.monotonic()
    yield
    manifest = {
        "artefact": artefact.name,
        "command": command,
        "argv": sys.argv[1:],
        "settings": dict(settings),
        "settings_hash": hash_of(dict(settings)),
        "seed": seed,
        "inputs": {str(path): content_of(path) for path in inputs},
        "code": {name: module_hash(name) for name in modules},
        "content": content_hash(artefact, covers),
        "versions": versions(),
        "commit": git_commit(),
        "device": device,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - started, 2),
    }
    target = manifest_path(artefact)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, target)


def read_manifest(artefact: Path) -> dict[str, Any]:
    """The manifest of an artefact; UserError where there is none or it cannot be read."""
    path = manifest_path(artefact)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{artefact}: no finished artefact here ({path} is missing); make it first") from None
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a manifest: {error}; make the artefact again") from None


def verify(artefact: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of `artefact`, after checking that `settings` are those that made it.

    Raises:
        UserError: naming the first setting that differs, with both values.
    """
    manifest = read_manifest(artefact)
    made, wanted = manifest["settings"], json.loads(json.dumps(dict(settings)))
    if manifest["settings_hash"] == hash_of(wanted):
        return manifest
    key, before, now = next(_differences(made, wanted), ("settings", manifest["settings_hash"], hash_of(wanted)))
    raise UserError(f"{artefact}: made with {key} = {before!r}, wanted with {now!r}; make it again or undo the change")


def _differences(made: Any, wanted: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(made, dict) and isinstance(wanted, dict):
        for key in sorted({*made, *wanted}):
            yield from _differences(made.get(key), wanted.get(key), f"{path}.{key}" if path else key)
    elif made != wanted:
        yield path, made, wanted


def content_of(path: Path) -> str:
    """What identifies an input: the recorded content of an artefact with a manifest, else the hash of the file."""
    recorded = manifest_path(path)
    if recorded.is_file():
        return read_manifest(path)["content"]
    return content_hash(path)


def content_hash(path: Path, covers: Iterable[str] | None = None) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder, manifests left out."""
    if path.is_file():
        return _file_hash(path)
    names = sorted(covers) if covers is not None else sorted(_files_below(path))
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{_file_hash(path / name)}\n".encode())
    return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.endswith((NAME, f"{NAME}.partial")):
            yield file.relative_to(folder).as_posix()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def module_hash(name: str) -> str:
    """SHA-256 of the source files of a module or package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source found for module {name}")
    if not spec.submodule_search_locations:
        return _file_hash(Path(spec.origin))
    folder = Path(spec.origin).parent
    sources = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    return content_hash(folder, sources)


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that can change a result, as far as installed."""
    found = {"dynfocus": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The checked-out commit, with `+changes` where the working tree differs; None outside a repository."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
