"""Low-rank adapters (Hu et al. 2022) in the LLM, for cards on which its weights fit and its optimizer does not.

Adapters learn beside the frozen linear maps of the LLM and are added to them when the stage ends: its checkpoint
is a model like any other. They come from peft.
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

PART = "lora"
"""The trainable part that stands for the LLM's adapters."""


def add_adapters(model: Any, rank: int, alpha: float) -> None:
    """Put adapters of `rank` beside every linear map of the LLM but its output layer; they learn, it does not."""
    from peft import LoraConfig, inject_adapter_in_model

    llm = model.language_model
    output = llm.get_output_embeddings()
    targets = [name for name, part in llm.named_modules() if isinstance(part, nn.Linear) and part is not output]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=cast(int, alpha), target_modules=targets), llm)


def merge_adapters(model: Any) -> None:
    """Add the adapters to the weights beside which they learned, and take them out of the model."""
    from peft.tuners.lora import LoraLayer

    for name, layer in [(name, part) for name, part in model.named_modules() if isinstance(part, LoraLayer)]:
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
