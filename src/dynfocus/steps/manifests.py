"""Manifests: how an artefact was made, written beside it by whoever made it.

    with record(out, command="train-instruction", settings=..., inputs=[...], code=code_of([...])):
        train(...)

The manifest appears last and at once, so its existence says that the artefact is complete. It is
`manifest.json` inside a folder and `NAME.manifest.json` beside a file. Only `settings`, `seed`,
`inputs`, `code` and `content` identify an artefact; time and machine are for the reader.

A hidden twin of the manifest survives the workflow's removal of declared outputs. With its help
`kept` recognizes a finished artefact, so neither a file time nor a `git pull` makes one again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dynfocus import __version__
from dynfocus.errors import UserError
from dynfocus.files import hash_of, read_json, write_json
from dynfocus.machine.processor import machine, processor_name

PACKAGES = ("torch", "transformers", "deepspeed", "open_clip_torch", "av", "numpy")
NAME = "manifest.json"
KEYS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("artefact", "settings_hash", "content", "sample"), str),
    **dict.fromkeys(("settings", "inputs", "code", "also"), dict),
    "apart": list,
    "bytes": int,
    "seed": (int, type(None)),
}
CHUNK = 1 << 20
SMALL = 1 << 28
"""Bytes up to which whoever reads an artefact hashes all of it."""
BLOCK, BLOCKS = 1 << 16, 16


def manifest_path(artefact: Path) -> Path:
    """Where the manifest of a file or folder is; what is not there yet counts as a file if its name has a suffix."""
    is_file = artefact.is_file() or (artefact.suffix != "" and not artefact.is_dir())
    return artefact.with_name(f"{artefact.name}.{NAME}") if is_file else artefact / NAME


def _both(artefact: Path) -> tuple[Path, Path]:
    manifest = manifest_path(artefact)
    return manifest, manifest.with_name(f".{manifest.name}")


@contextmanager
def record(
    artefact: Path,
    *,
    command: str,
    settings: Mapping[str, Any],
    inputs: Iterable[Path] = (),
    also: Iterable[Path] = (),
    code: Mapping[str, str] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    apart: Iterable[str] = (),
) -> Iterator[None]:
    """Time the body and write the manifest of `artefact` when it ends well; an old manifest goes first.

    Args:
        inputs: artefacts or files read; the manifest stores the content hash of each.
        also: files beside `artefact` that belong to it; the manifest stores their hashes by name.
        code: module -> hash, of the modules that determine the result.
        apart: patterns of names inside a folder that do not count as content, such as logs with wall times.

    Raises:
        UserError: an input was changed during the body.
    """
    for old in _both(artefact):
        old.unlink(missing_ok=True)
    started = time.monotonic()
    made_of = {str(path): content_of(path) for path in inputs}
    yield
    for name, before in made_of.items():
        if content_of(Path(name)) != before:
            raise UserError(f"{artefact}: {name} was changed while it was read; make it again")
    manifest = {
        "artefact": artefact.name,
        "command": command,
        "argv": sys.argv[1:],
        "settings": dict(settings),
        "settings_hash": hash_of(dict(settings)),
        "seed": seed,
        "inputs": made_of,
        "code": dict(code or {}),
        "content": content_hash(artefact, apart),
        "also": {path.name: content_hash(path) for path in also},
        "bytes": size_of(artefact, apart),
        "sample": sample_hash(artefact, apart),
        "apart": list(apart),
        "versions": versions(),
        "commit": git_commit(),
        "device": device,
        "machine": machine(),
        "processor": processor_name(device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - started, 2),
    }
    write_manifest(artefact, manifest)


def write_manifest(artefact: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and its twin, each at once, the manifest last."""
    for target in reversed(_both(artefact)):
        write_json(target, manifest, indent=2)


def kept(artefact: Path, settings: Mapping[str, Any], inputs: Iterable[Path] = (), seed: int | None = None) -> bool:
    """Whether `artefact` is finished, unharmed and made from exactly these; its manifest then stands again.

    Code and versions are left out on purpose: only settings, seed and inputs make a finished artefact stale.
    """
    try:
        found = next((path for path in _both(artefact) if path.is_file()), None)
        manifest = read_json(found, dict) if found is not None else {}
    except UserError:
        manifest = {}
    if faults(manifest):
        return False
    same = (
        manifest["settings_hash"] == hash_of(json.loads(json.dumps(dict(settings))))
        and manifest["seed"] == seed
        and manifest["inputs"] == {str(path): content_of(path) for path in inputs}
        and artefact.exists()
        and manifest["content"] == content_hash(artefact, manifest.get("apart", ()))
    )
    if same:
        write_manifest(artefact, manifest)
    return same


def read_manifest(artefact: Path) -> dict[str, Any]:
    """The manifest of an artefact; UserError where there is none or it cannot be read."""
    path = manifest_path(artefact)
    if not path.is_file():
        raise UserError(f"{artefact}: no finished artefact here ({path} is missing); make it first")
    manifest = read_json(path, dict, repair="make the artefact again")
    lacking = faults(manifest)
    if lacking:
        raise UserError(f"{path}: a manifest without {', '.join(lacking)}; make the artefact again")
    return manifest


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """The keys that a manifest lacks, or has with a value of another type."""
    return sorted(key for key, kind in KEYS.items() if not isinstance(manifest.get(key, ...), kind))


def verify(artefact: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of `artefact`, after checking that `settings` are those that made it.

    Raises:
        UserError: naming the first setting that differs, with both values.
    """
    manifest = read_manifest(artefact)
    for key, before, now in differences(manifest["settings"], settings):
        raise UserError(
            f"{artefact}: made with {key} = {before!r}, wanted with {now!r}; make it again or undo the change"
        )
    return manifest


def verify_inputs(artefact: Path, manifest: Mapping[str, Any]) -> None:
    """Check that the inputs of an artefact, as far as they are here, are still those that it was made from.

    Raises:
        UserError: naming the first input that differs, with both contents.
    """
    for name, before in manifest["inputs"].items():
        source = Path(name)
        if not (source.is_file() or manifest_path(source).is_file()):
            continue
        now = content_of(source)
        if now != before:
            raise UserError(
                f"{artefact}: made from {name} with content {before[:12]}, which now has content {now[:12]}; "
                "make it again or bring the input back"
            )


def verify_content(artefact: Path, manifest: Mapping[str, Any], whole: bool = True) -> None:
    """Check that an artefact holds what its manifest records.

    All of its bytes count where it is small or `whole`. Of a large one, sizes and some blocks of every file: reading
    terabytes again would cost more than the step that uses them.

    Raises:
        UserError: with what is there and what is recorded.
    """
    apart = manifest.get("apart", ())
    for name, before in manifest.get("also", {}).items():
        file = artefact.with_name(name)
        _require_equal(file, content_hash(file) if file.is_file() else "none", before)
    size = size_of(artefact, apart)
    if size != manifest["bytes"]:
        raise UserError(_damaged(artefact, f"{size} bytes", f"{manifest['bytes']} bytes"))
    if whole or size <= SMALL:
        _require_equal(artefact, content_hash(artefact, apart), manifest["content"])
    else:
        _require_equal(artefact, sample_hash(artefact, apart), manifest["sample"])


def _require_equal(artefact: Path, now: str, before: str) -> None:
    if now != before:
        raise UserError(_damaged(artefact, f"content {now[:12]}", before[:12]))


def _damaged(artefact: Path, now: str, before: str) -> str:
    what = "it" if artefact.is_dir() else f"it and {manifest_path(artefact)}"
    return f"{artefact}: damaged or edited: {now}, its manifest records {before}; delete {what}, make or pull again"


def differences(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key path, value made with, value wanted) of each setting that differs."""
    return list(_differences(dict(made), json.loads(json.dumps(dict(wanted)))))


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


def content_hash(path: Path, apart: Iterable[str] = ()) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder but manifests and those `apart`."""
    if path.is_file():
        return _file_hash(path)
    return hash_of_files({name: _file_hash(path / name) for name in _counted(path, apart)})


def size_of(path: Path, apart: Iterable[str] = ()) -> int:
    """Bytes of what `content_hash` covers."""
    if path.is_file():
        return path.stat().st_size
    return sum((path / name).stat().st_size for name in _counted(path, apart))


def sample_hash(path: Path, apart: Iterable[str] = ()) -> str:
    """SHA-256 of names, sizes and up to `BLOCKS` blocks, evenly spread, of each file that `content_hash` covers."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else [path / name for name in sorted(_counted(path, apart))]
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()}\0{size}\n".encode())
        with file.open("rb") as stream:
            for place in sorted({round(number * max(0, size - BLOCK) / (BLOCKS - 1)) for number in range(BLOCKS)}):
                stream.seek(place)
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()


def _counted(folder: Path, apart: Iterable[str]) -> list[str]:
    patterns = tuple(apart)
    return [name for name in files_below(folder) if is_counted(name, patterns)]


def is_counted(name: str, apart: Iterable[str]) -> bool:
    """Whether a file inside a folder counts as its content, `apart` being the patterns of those that do not."""
    return not any(fnmatch(name, pattern) for pattern in apart)


def hash_of_files(hashes: Mapping[str, str]) -> str:
    """The content hash of a folder: SHA-256 over the names of its files and the hash of each."""
    digest = hashlib.sha256()
    for name in sorted(hashes):
        digest.update(f"{name}\0{hashes[name]}\n".encode())
    return digest.hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Names, relative to the folder, of its files but manifests."""
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.endswith((NAME, f"{NAME}.partial")):
            yield file.relative_to(folder).as_posix()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of this package, Python and the libraries that can change a result, as far as installed."""
    found = {"dynfocus": __version__, "python": platform.python_version()}
    for package in packages:
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
