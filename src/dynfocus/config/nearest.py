"""The valid name that is most like an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from dynfocus.errors import UserError

ALIKE = 0.6
NAMED = 12
"""Valid names that a message lists where none is like the one that was given."""


def closest(name: str, known: Sequence[str], alike: float = ALIKE) -> str | None:
    """The known name most like `name`, whatever their case; None where none is as like it as `alike` (0 to 1)."""
    folded = {other.casefold(): other for other in known}
    return next((folded[near] for near in difflib.get_close_matches(name.casefold(), folded, 1, alike)), None)


def nearest(name: str, known: Sequence[str]) -> str:
    """Which of the known names is most like an unknown one, in words; with some others where none is very like it."""
    if not known:
        return "there is none"
    best = closest(name, known, ALIKE if len(known) > 1 else 0.0)
    if best is not None:
        return f"the nearest one is {best}"
    others = f"{', '.join(known[:NAMED])}{', …' if len(known) > NAMED else ''}"
    return f"the nearest one is {closest(name, known, 0.0)}, of {others}"


def require_known(where: str, names: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise a UserError for the first of `names` that is not `known`, with the nearest one that is."""
    choices = list(known)
    for name in names:
        if name not in choices:
            raise UserError(f"{where}: no {kind} is named {name}; {nearest(name, choices)}")
