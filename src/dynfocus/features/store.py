"""Shards of features: written medium by medium, in the safetensors format, continued after a kill, and read.

The format puts a header with every name, shape and place before the data. Here the room for it is set aside at the
start, the data is appended as it comes, and the header is written last, so that a shard of any size needs no memory and
no second copy. A journal beside the unfinished file says which media are in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dynfocus.errors import UserError
from dynfocus.features.precision import unpack
from dynfocus.files import writing

FRAMES = ".frames"
SCALE = ".scale"
UNREADABLE = "unreadable"
NAMES = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
ALIGNMENT = 8
ENTRY = 112
"""Bytes of the header set aside per tensor, besides its name."""
FIXED = 4096
LARGEST_HEADER = 100_000_000
"""The format's own limit."""
MESSAGE = 200
"""Bytes kept of the message about a medium that cannot be read: its share of the header has room for them."""


@dataclass
class State:
    """What an unfinished shard holds: tensors by name, their bytes, and the media that this start could not read."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: int = 0
    faults: dict[str, str] = field(default_factory=dict)


class ShardWriter:
    """Writes `out`; `identity` says what made the features, so that only the same work is continued."""

    def __init__(self, out: Path, media: Iterable[str], identity: str):
        self.out = out
        self._partial = out.with_suffix(".partial")
        self._journal = out.with_suffix(".journal")
        self._room = _room(media)
        if self._room > LARGEST_HEADER:
            raise UserError(f"{out}: too many media for one file; raise feature_shards")
        self.state = State()
        out.parent.mkdir(parents=True, exist_ok=True)
        if not self._resume(identity):
            self._partial.write_bytes(b"")
            self._journal.write_text(json.dumps({"identity": identity, "room": self._room}) + "\n", encoding="utf-8")
        self._data = self._partial.open("r+b")
        self._data.truncate(self._room + self.state.size)
        self._data.seek(self._room + self.state.size)
        self._log = self._journal.open("a", encoding="utf-8")

    @property
    def finished(self) -> set[str]:
        """Media that need no work any more, readable or not."""
        return set(_media(self.state.entries)) | set(self.state.faults)

    @property
    def count(self) -> int:
        """Number of media that need no work any more."""
        return len(self.finished)

    def add(self, medium: str, features: Tensor, frames: Tensor, scale: Tensor | None = None) -> None:
        """Append the features (T, N, d) of a medium, the indices (T,) of their frames, and of 8 bits the scale."""
        tensors = {medium + FRAMES: frames.long(), medium: features}
        if scale is not None:
            tensors[medium + SCALE] = scale
        with writing(self._partial):
            entries = {name: self._append(tensor) for name, tensor in tensors.items()}
            self._data.flush()
            self.state.entries |= entries
            self._note({"entries": entries, "size": self.state.size})

    def fault(self, medium: str, message: str) -> None:
        """Record that a medium cannot be read; the next start tries it again."""
        plain = message.replace('"', "'").replace("\\", "/")
        self.state.faults[medium] = plain.encode()[:MESSAGE].decode(errors="ignore")

    def finish(self) -> None:
        """Write the header and give the shard its name; the faults are in its metadata."""
        header = {
            "__metadata__": {UNREADABLE: json.dumps(list(self.state.faults.values()), ensure_ascii=False)},
            **self.state.entries,
        }
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        length = self._room - 8
        assert len(text) <= length, "the header outgrew its room"
        with writing(self._partial):
            self._data.seek(0)
            self._data.write(length.to_bytes(8, "little") + text.ljust(length))
            self._data.flush()
            os.fsync(self._data.fileno())
            self.close()
        self._partial.replace(self.out)
        self._journal.unlink()

    def close(self) -> None:
        """Close the files; what was added stays for the next start."""
        try:
            self._data.close()
        finally:
            self._log.close()

    def _append(self, tensor: Tensor) -> dict[str, Any]:
        content = tensor.cpu().contiguous()
        size = content.numel() * content.element_size()
        if size % ALIGNMENT:
            raise ValueError(
                f"a tensor of {size} bytes would break the alignment; "
                f"patches x width must be divisible by {ALIGNMENT // content.element_size()}"
            )
        self._data.write(content.view(-1).view(torch.uint8).numpy().data if size else b"")
        begin, self.state.size = self.state.size, self.state.size + size
        shape = list(tensor.shape)
        return {"dtype": NAMES[tensor.dtype], "shape": shape, "data_offsets": [begin, self.state.size]}

    def _note(self, line: dict[str, Any]) -> None:
        self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._log.flush()

    def _resume(self, identity: str) -> bool:
        """Take over an unfinished shard of the same work, up to the last medium that is whole in it."""
        if not (self._partial.is_file() and self._journal.is_file()):
            return False
        text = self._journal.read_bytes().decode(errors="replace")
        lines = [f"{line}\n" for line in text.split("\n")[:-1]]  # a name may hold what Unicode takes for a line's end
        if not lines or _parsed(lines[0]) != {"identity": identity, "room": self._room}:
            return False
        kept = lines[:1]
        for text in lines[1:]:
            line = _parsed(text)
            if line is None or self._room + line["size"] > self._partial.stat().st_size:
                break
            self.state.entries |= line["entries"]
            self.state.size = line["size"]
            kept.append(text)
        self._journal.write_text("".join(kept), encoding="utf-8")
        return True


class FeatureStore:
    """The features of one set, read from memory-mapped shards."""

    def __init__(self, folder: Path | str):
        self._folder = Path(folder)
        self._shards = [_opened(path) for path in sorted(self._folder.glob("*.safetensors"))]
        self._where = {key: shard for shard in self._shards for key in _media(shard.keys())}

    def __contains__(self, medium: str) -> bool:
        return medium in self._where

    def ids(self) -> list[str]:
        """Every medium in the store."""
        return list(self._where)

    def get(self, medium: str) -> Tensor:
        """Features (T, N, d) of a medium, in the type of `precision.READ`."""
        shard = self._shard(medium)
        stored = shard.get_tensor(medium)
        return unpack(stored, shard.get_tensor(medium + SCALE) if stored.dtype == torch.uint8 else None)

    def frames(self, medium: str) -> Tensor:
        """Indices (T,) of the frames that the features belong to."""
        return self._shard(medium).get_tensor(medium + FRAMES)

    def _shard(self, medium: str):
        if medium not in self._where:
            raise UserError(f"{self._folder}: no features of {medium}; run `dynfocus extract-features` for this set")
        return self._where[medium]


def _media(names: Iterable[str]) -> list[str]:
    """The media among the names of a shard's tensors: every one has its frames."""
    return [name.removesuffix(FRAMES) for name in names if name.endswith(FRAMES)]


def _opened(shard: Path) -> Any:
    try:
        return safe_open(shard, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{shard}: no readable shard ({error}); remove it and run the step again") from error


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of the journal; None for one that a kill cut."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _room(media: Iterable[str]) -> int:
    """Bytes before the data: the header's length and room for three tensors, or a fault, per medium."""
    names = sum(3 * (len(json.dumps(medium, ensure_ascii=False).encode()) + len(FRAMES) + ENTRY) for medium in media)
    return -(-(8 + FIXED + names) // ALIGNMENT) * ALIGNMENT
