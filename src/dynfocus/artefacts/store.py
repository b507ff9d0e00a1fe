"""DVC, as little of it as needed: push a staged set of packs, pull packs, and keep the store in the repository small.

A group is one `.dvc` file at the profile's root, and its outputs lie at their real paths (`artefacts.places`).
The default remote is the folder `dvcstore` of the repository, so a clone can pull without an account.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.files import read_json, read_yaml
from dynfocus.machine.locks import open_lock, take

LIMIT = 40_000_000
"""Bytes that the store in the repository may hold: every clone carries them."""
IGNORED = Path(".dvcignore")
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
RESTORE, PULL_AGAIN = "restore it from git", "remove it, and pull again"


def dvc_file(root: Path, group: str) -> Path:
    return root / f"{group}.dvc"


def is_ignored(file: Path) -> bool:
    """Whether DVC leaves a file out: manifests travel in the index, TensorBoard's files name the machine."""
    return "tensorboard" in file.parts or file.name.endswith("manifest.json")


def dvc(arguments: Sequence[str], folder: Path = Path()) -> str:
    """Run DVC in a folder; UserError with its last message where it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UserError(f"dvc {' '.join(arguments[:2])}: {lines[0].removeprefix('ERROR: ') if lines else 'failed'}")
    return done.stdout


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Wait for other processes that work with the packs of this root."""
    with open_lock(root / "work" / "locks" / "packs.lock") as stream:
        take(stream, wait=True)
        yield


def fetch(root: Path, outs: Iterable[Path]) -> None:
    """Pull outputs of `.dvc` files, given relative to `root`, from the default remote, all in one call.

    DVC verifies the hash of each file that it writes.
    """
    targets = [str(root / out) for out in sorted(outs)]
    if targets:
        dvc(["pull", "--force", *targets])


def push_staged(stage: Path, outs: Mapping[str, Sequence[Path]]) -> None:
    """Add the outputs of each group below `stage` to the cache and push them, where a failure changes nothing.

    Leaves `{stage}/{group}.dvc`, ready to be moved to the root.
    """
    (stage / ".dvc").mkdir()
    (stage / ".dvc" / "config").write_text(_settings(), encoding="utf-8")
    if IGNORED.is_file():
        shutil.copyfile(IGNORED, stage / IGNORED)
    names = [f"{group}.dvc" for group in outs]
    for name, paths in zip(names, outs.values(), strict=True):
        lines = "".join(f"- path: {path.as_posix()}\n" for path in paths)
        (stage / name).write_text(f"outs:\n{lines}", encoding="utf-8")
    dvc(["commit", "--force", *names], stage)
    dvc(["push", *names], stage)


def local_store() -> Path | None:
    """The folder of the default remote where it lies inside the repository; None for any other remote."""
    name, remotes = _remotes()
    url = remotes.get(name, {}).get("url", "")
    store = Path(url)
    inside = "://" not in url and store.resolve().is_relative_to(Path().resolve())
    return store if name and inside else None


def store_size(store: Path) -> int:
    """Bytes of all objects of a store."""
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def dvc_files() -> Iterator[Path]:
    """The `.dvc` files of the repository."""
    for folder, below, files in os.walk("."):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in files if name.endswith(".dvc"))


def tracked_bytes(file: Path) -> int:
    """Bytes that a `.dvc` file names."""
    return sum(out.get("size", 0) for out in outs_of(file))


def outs_of(file: Path) -> list[dict[str, Any]]:
    """The outputs that a `.dvc` file names: their path, MD5 and size; none where there is no such file."""
    if not file.is_file():
        return []
    return _checked(read_yaml(file, repair=RESTORE).get("outs", []), "path", file, RESTORE)


def objects_of(files: Iterable[Path], store: Path) -> Iterator[str]:
    """The names, in the store, of every object that `.dvc` files name, as far as the lists of folders are there."""
    for out in (out for file in files for out in outs_of(file)):
        if out["md5"].endswith(".dir"):
            yield _object(out["md5"])
        yield from (place.relative_to(store).as_posix() for _, place in files_of(out, store))


def files_of(out: Mapping[str, Any], store: Path) -> Iterator[tuple[str, Path]]:
    """The path of every file of an output and its object; of a folder, as far as its list is in the store."""
    place = store / _object(out["md5"])
    if not out["md5"].endswith(".dir"):
        yield out["path"], place
    elif place.is_file():
        for entry in _checked(read_json(place, list, PULL_AGAIN), "relpath", place, PULL_AGAIN):
            yield f"{out['path']}/{entry['relpath']}", store / _object(entry["md5"])


def _checked(entries: Any, name: str, file: Path, repair: str) -> list[dict[str, Any]]:
    for entry in entries if isinstance(entries, list) else [entries]:
        md5 = entry.get("md5") if isinstance(entry, dict) else None
        if not isinstance(md5, str) or not MD5.fullmatch(md5):
            raise UserError(f"{file}: an output without its md5; {repair}")
        if not isinstance(entry.get(name), str):
            raise UserError(f"{file}: an output without its {name}; {repair}")
        size = entry.get("size", 0)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise UserError(f"{file}: a `size` that is no number of bytes; {repair}")
    return entries


def _object(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def drop_unused(store: Path) -> None:
    """Remove from the store in the repository, and from the cache, what no `.dvc` file of the workspace names.

    A publication that was killed may have left such objects, so each one looks for them.
    """
    used = {store / name for name in objects_of(dvc_files(), store)}
    if any(file.is_file() and file not in used for file in store.rglob("*")):
        dvc(["gc", "--workspace", "--cloud", "--force"])


def _settings() -> str:
    """The remotes and the cache of this repository as the configuration of another one, paths made absolute."""
    name, remotes = _remotes()
    if not name:
        raise UserError(".dvc/config: no default remote; set one: dvc remote add --default NAME URL")
    lines = ["[core]", f"    remote = {name}", "    no_scm = true", "    analytics = false"]
    for remote, options in remotes.items():
        lines += [f"['remote \"{remote}\"']", *(f"    {key} = {value}" for key, value in options.items())]
    lines += ["[cache]", f"    dir = {Path('.dvc', 'cache').resolve()}"]
    return "\n".join(lines) + "\n"


def _remotes() -> tuple[str, dict[str, dict]]:
    """The name of the default remote, and the options of each; local addresses are absolute."""
    from dvc.config import Config

    if not Path(".dvc").is_dir():
        raise UserError(".dvc is missing: run this at the root of the repository")
    values = Config(str(Path(".dvc").resolve()), validate=True)
    return values["core"].get("remote", ""), {name: dict(options) for name, options in values["remote"].items()}


def remove(path: Path) -> None:
    """Remove a folder with everything in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
