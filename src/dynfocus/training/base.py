"""A model without the LLM that it shares with its backbones folder.

Stage 1 leaves the LLM as it was, and its checkpoint names it by content instead of holding its 14 GB once more, 16
times for the paper's tables. Held is all else: the connector, and the LLM's tables of words where one was added.

    trained.safetensors     every tensor but those of the LLM that lie in the backbones folder
    base.json               the content of that folder, which must be there to go on
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from dynfocus.errors import UserError
from dynfocus.files import read_json, read_tensors
from dynfocus.steps.manifests import content_of
from dynfocus.training.checkpoints import write_json

TRAINED, BASE = "trained.safetensors", "base.json"
LLM = "language_model."
TRAIN_AGAIN = "train stage 1 again, or pull it"


def save_without_llm(model: Any, llm: Path, folder: Path) -> None:
    """Write a model whose LLM learned nothing as its configuration, `trained.safetensors` and `base.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    shared = _shared(model, llm)
    kept = {name: value.contiguous() for name, value in model.state_dict().items() if name not in shared}
    save_file(_untied(kept), folder / TRAINED, metadata={"format": "pt"})
    write_json(folder / BASE, {"llm": content_of(llm)})


def is_without_llm(folder: Path) -> bool:
    """Whether a checkpoint leaves its LLM to a backbones folder."""
    return (folder / BASE).is_file()


def weights(folder: Path, llm: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """All weights of a checkpoint that leaves its LLM to the folder `llm`.

    Raises:
        UserError: the LLM is not there, or is another one.
    """
    if not (llm / "config.json").is_file():
        raise UserError(
            f"{folder}: goes on from the LLM of {llm}, which is not there; `dynfocus prepare-llm` fetches it"
        )
    wanted, found = read_json(folder / BASE, dict, TRAIN_AGAIN).get("llm"), content_of(llm)
    if not isinstance(wanted, str):
        raise UserError(f"{folder / BASE}: does not name its LLM; {TRAIN_AGAIN}")
    if wanted != found:
        raise UserError(
            f"{folder}: was trained on the LLM with content {wanted[:12]}, {llm} has content {found[:12]}; "
            "bring that LLM back, or train stage 1 again"
        )
    base = AutoModelForCausalLM.from_pretrained(llm, dtype=dtype).state_dict()
    return {f"{LLM}{name}": value for name, value in base.items()} | read_tensors(folder / TRAINED, TRAIN_AGAIN)


def _shared(model: Any, llm: Path) -> set[str]:
    """Names of the LLM's tensors that its folder holds: all, but the tables of words where a word was added."""
    names = {name for name in model.state_dict() if name.startswith(LLM)}
    if AutoConfig.from_pretrained(llm).vocab_size == model.config.get_text_config().vocab_size:
        return names
    tables = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return names - {name for name, value in model.named_parameters(remove_duplicate=False) if id(value) in tables}


def _untied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which no two share memory, as a safetensors file wants them."""
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        own[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return own
