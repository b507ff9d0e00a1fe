"""What is made of a video before any question, kept for the next question, epoch or model.

`FrameEncoder.without_question` has no weights in it, so it depends on the features and on a few settings alone. A cache
holds it by the name of the medium, on the host, up to a number of bytes; the longest unused goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

DEFAULT_BYTES = 1 << 30


class QuestionFreeCache:
    """Question-free parts by the name of their medium."""

    def __init__(self, limit: int = DEFAULT_BYTES):
        """`limit`: bytes of all tensors held; what is larger alone is not kept."""
        self.limit, self.size = limit, 0
        self.hits = self.misses = 0
        self._held: OrderedDict[Hashable, Any] = OrderedDict()

    def of(self, names: Sequence[Hashable], make: Callable[[list[int]], list[Any]]) -> list[Any]:
        """The parts of the named media in their order; `make` makes those of the places that are missing."""
        missing = [place for place, name in enumerate(names) if name not in self._held]
        made = dict(zip(missing, make(missing) if missing else [], strict=True))
        self.hits, self.misses = self.hits + len(names) - len(missing), self.misses + len(missing)
        parts = []
        for place, name in enumerate(names):
            if place not in made:
                self._held.move_to_end(name)
            parts.append(made[place] if place in made else self._held[name])
        for place, part in made.items():
            self._keep(names[place], on_host(part))
        return parts

    def _keep(self, name: Hashable, part: Any) -> None:
        need = nbytes(part)
        if need > self.limit or name in self._held:
            return
        self._held[name] = part
        self.size += need
        while self.size > self.limit:
            self.size -= nbytes(self._held.popitem(last=False)[1])


def tensors(part: Any) -> list[Tensor]:
    """All tensors in a tensor or a (nested) dataclass of them."""
    if isinstance(part, Tensor):
        return [part]
    inside = [getattr(part, field.name) for field in fields(part)] if is_dataclass(part) else []
    return [tensor for value in inside for tensor in tensors(value)]


def nbytes(part: Any) -> int:
    """Bytes of all tensors of a part."""
    return sum(tensor.nbytes for tensor in tensors(part))


def on_host(part: Any) -> Any:
    """A part with its tensors on the host."""
    if isinstance(part, Tensor):
        return part.detach().cpu()
    if not is_dataclass(part):
        return part
    kind: Any = type(part)
    return kind(*(on_host(getattr(part, field.name)) for field in fields(part)))
