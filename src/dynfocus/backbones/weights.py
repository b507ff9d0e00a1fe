"""Tensors of published checkpoints, read without running anything that a file may hold.

Safetensors files are read tensor by tensor. Pickled ones (`.pth`, `.pt`, `.bin`) are opened with torch's restricted
reader, which refuses every object that is not a tensor or a plain container.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from dynfocus.errors import UserError
from dynfocus.files import read_json, read_tensors
from dynfocus.machine.faults import reason_of

PICKLED = (".pth", ".pt", ".bin")
PICKLE = b"\x80"
"""First byte of a pickle, which checkpoints from before torch 1.6 are."""
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
WRAPPERS = ("model", "state_dict", "module")
"""Keys under which training scripts put the state dict."""
AGAIN = "download it again"

Wanted = Callable[[str], bool]


def read_checkpoint(file: Path, where: str) -> dict[str, Tensor]:
    """All tensors of a checkpoint file; `where` is the setting that names it, for messages.

    Raises:
        UserError: no such file, not a checkpoint, or one that holds more than tensors.
    """
    if not file.is_file():
        raise UserError(f"{where}: {file} is not there; give the path of the downloaded checkpoint")
    try:
        if file.suffix not in PICKLED:
            return read_tensors(file, AGAIN)
        if not (zipped := zipfile.is_zipfile(file)) and _first_byte(file) != PICKLE:
            raise UserError(f"{where}: {file} is not a checkpoint; {AGAIN}")
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        raise UserError(
            f"{where}: {file} holds Python objects besides tensors and is not opened: they could run anything; "
            "take the published file, or a safetensors copy"
        ) from error
    except (RuntimeError, SafetensorError, EOFError, ValueError) as error:
        raise UserError(f"{where}: {file} is not a checkpoint ({reason_of(error)}); {AGAIN}") from error
    return state_dict_of(content, file, where)


def _first_byte(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(1)


def state_dict_of(content: Any, file: Path, where: str) -> dict[str, Tensor]:
    """The named tensors inside what a checkpoint file held, out of the wrapping of a training script."""
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors:
        raise UserError(f"{where}: {file} holds no named tensors; is it the right file?")
    return tensors


def first_fault(error: RuntimeError) -> str:
    """What torch says of the first tensors that do not fit, shortened."""
    text = " ".join(str(error).splitlines()[1:2]).strip() or str(error)
    return text if len(text) <= 160 else f"{text[:159]}…"


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> the shard that holds it, of the index of a Hugging Face model."""
    found = read_json(index, dict, "download the model again").get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(shard, str) for shard in found.values()):
        raise UserError(f"{index}: no `weight_map` of tensors to files; download the model again")
    return found


def read_parts(locate: Callable[[str], Path | None], wanted: Wanted) -> dict[str, Tensor]:
    """Wanted tensors of a Hugging Face model, from those of its shards that hold any.

    `locate` gives the local path of a file of the model, fetching it if need be, and None where there is none.
    """
    index = locate(INDEX)
    if index is None:
        single = locate(SINGLE)
        return {} if single is None else read_tensors(single, AGAIN, wanted)
    shards: Iterable[str] = dict.fromkeys(shard for name, shard in _weight_map(index).items() if wanted(name))
    found: dict[str, Tensor] = {}
    for shard in shards:
        path = locate(shard)
        if path is None:
            raise UserError(f"{index}: names {shard}, which is not there; download the model again")
        found |= read_tensors(path, AGAIN, wanted)
    return found


def split_revision(name: str) -> tuple[str, str | None]:
    """A hub id with an optional commit, `owner/model@commit`; a path that exists is left whole."""
    if Path(name).exists():
        return name, None
    repo, _, revision = name.partition("@")
    return repo, revision or None


def locator(name: str) -> Callable[[str], Path | None]:
    """Finds files of a model by hub id (with an optional `@commit`) or folder."""
    if Path(name).is_dir():
        return lambda file: path if (path := Path(name) / file).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repo, revision = split_revision(name)

    def locate(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(repo, file, revision=revision))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None

    return locate
