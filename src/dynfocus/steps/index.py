"""`artefacts.json` below the root: the manifest of everything that the published run made, kept in git.

With it a setting that does not fit is known before anything is downloaded, and so is the time of every step. Values
that many manifests repeat, settings and code, stand once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError
from dynfocus.files import hash_of, read_text, write_text
from dynfocus.steps.manifests import faults

NAME = "artefacts.json"
REPEATED = ("settings", "code", "versions", "machine")


@dataclass(frozen=True)
class Index:
    """`manifests`: name -> manifest; `stored`: what can be pulled -> bytes; `seconds`: name -> of the whole job."""

    manifests: Mapping[str, Mapping[str, Any]]
    stored: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """The file, equal for equal content."""
        values: dict[str, Any] = {}

        def short(manifest: Mapping[str, Any]) -> dict[str, Any]:
            references = {key: hash_of(manifest[key]) for key in REPEATED if key in manifest}
            values.update({references[key]: manifest[key] for key in references})
            return {**manifest, **references}

        manifests = {name: short(manifest) for name, manifest in self.manifests.items()}
        content = {"manifests": manifests, "values": values, "stored": self.stored, "seconds": self.seconds}
        return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str) -> Index:
        """The index of a file; AttributeError, KeyError, TypeError or ValueError where it is none."""
        content = json.loads(text)
        if not all(type(size) is int and size >= 0 for size in content["stored"].values()):
            raise ValueError("a size that is no number of bytes")
        if not all(type(seconds) in (int, float) for seconds in content["seconds"].values()):
            raise ValueError("a time that is no number")

        def long(manifest: Mapping[str, Any]) -> dict[str, Any]:
            return {**manifest, **{key: content["values"][manifest[key]] for key in REPEATED if key in manifest}}

        manifests = {name: long(manifest) for name, manifest in content["manifests"].items()}
        for name, manifest in manifests.items():
            if lacking := faults(manifest):
                raise ValueError(f"{name} lacks {', '.join(lacking)}")
        return cls(manifests, content["stored"], content["seconds"])

    def write(self, root: Path) -> None:
        """Replace the index below `root` at once."""
        write_text(root / NAME, self.text())


_READ: dict[Path, tuple[int, Index]] = {}
"""Parsed once for each state of the file: a command asks for every artefact that it reads."""


def find_index(root: Path) -> Index | None:
    """The index below `root`; None where nothing was published."""
    file = root / NAME
    try:
        changed = file.stat().st_mtime_ns
        if file not in _READ or _READ[file][0] != changed:
            _READ[file] = (changed, Index.parse(read_text(file)))
        return _READ[file][1]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as an index of artefacts: {error!r}; restore it from git") from None


def read_index(root: Path) -> Index:
    """The index below `root`; UserError where nothing was published."""
    index = find_index(root)
    if index is None:
        raise UserError(f"{root / NAME}: nothing is published for this profile; make it here, with start_from: scratch")
    return index
