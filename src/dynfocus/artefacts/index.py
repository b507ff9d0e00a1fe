"""`artefacts.json` below the root: the manifest of every artefact of the published run, kept in git.

With it a setting that does not fit is refused before anything is downloaded, and the cost of every
step is known from the run that was published.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.errors import UserError

NAME = "artefacts.json"


@dataclass(frozen=True)
class Index:
    """`manifests`: name -> manifest; `packs`: pack -> bytes; `seconds`: report item -> wall time of its notebook."""

    manifests: Mapping[str, Mapping[str, Any]]
    packs: Mapping[str, int]
    seconds: Mapping[str, float]

    def text(self) -> str:
        """The file, equal for equal content."""
        values = {"manifests": dict(self.manifests), "packs": dict(self.packs), "seconds": dict(self.seconds)}
        return json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def write(self, root: Path) -> None:
        """Replace the index below `root` at once."""
        partial = root / f".{NAME}.partial"
        partial.write_text(self.text(), encoding="utf-8")
        os.replace(partial, root / NAME)


def find_index(root: Path) -> Index | None:
    """The index below `root`; None where nothing was published."""
    file = root / NAME
    try:
        return Index(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: cannot be read as an index of artefacts: {error}; restore it from git") from None


def read_index(root: Path) -> Index:
    """The index below `root`; UserError where nothing was published."""
    index = find_index(root)
    if index is None:
        raise UserError(f"{root / NAME}: nothing is published for this profile; use start_from: scratch")
    return index
