"""Low-rank adapters (Hu et al. 2022) in the LLM, for cards on which its weights fit and its optimizer does not.

Adapters learn beside the frozen linear maps of the LLM and are added to them when the stage ends: its checkpoint
is a model like any other. They come from peft. For smaller cards the maps of an LLM that does not learn have four bits,
nf4 with quantised scales (QLoRA, Dettmers et al. 2023), by bitsandbytes. Adapters are then added to the maps beside
which they learned, those that the four bits say.
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from dynfocus.config.schema import Stage
from dynfocus.errors import UserError
from dynfocus.training.memory import is_packed

PART = "lora"
"""The trainable part that stands for the LLM's adapters."""


def choose_what_learns(model: Any, stage: Stage, device: str) -> None:
    """Let the parts of a stage learn, and bring the LLM, where it does not, into the form that the stage asks for."""
    model.set_trainable(set(stage.trainable) - {PART})
    if stage.four_bits:
        quantise(model, device)
    if PART in stage.trainable:
        add_adapters(model, stage.lora_rank, stage.lora_alpha)


def add_adapters(model: Any, rank: int, alpha: float) -> None:
    """Put adapters of `rank` beside every linear map of the LLM but its output layer; they learn, it does not."""
    from peft import LoraConfig, inject_adapter_in_model

    llm = model.language_model
    targets = [name for name, _ in maps(llm)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=cast(int, alpha), target_modules=targets), llm)


def quantise(model: Any, device: str) -> None:
    """Put every linear map of the LLM but its output layer in nf4, one after the other, on `device`.

    A rolling checkpoint does not hold them: they are made again from what the stage starts from.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise UserError(
            f"frozen_llm nf4 needs bitsandbytes ({error}); pip install '.[qlora]', or set frozen_llm: full"
        ) from error

    class Frozen4bit(Linear4bit):
        def _save_to_state_dict(self, *args: Any) -> None:
            pass

        def _load_from_state_dict(self, *args: Any) -> None:
            pass

    llm = model.language_model
    for name, layer in maps(llm):
        shape = (layer.in_features, layer.out_features, layer.bias is not None)
        made = Frozen4bit(*shape, layer.weight.dtype, device="meta")
        made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=made)
        made.bias = layer.bias
        _put(llm, name, made.to(device))
    llm.is_loaded_in_4bit = True  # peft asks before it puts an adapter beside such a map


def merge_adapters(model: Any) -> None:
    """Add the adapters to the weights beside which they learned, and take them out of the model."""
    from peft.tuners.lora import LoraLayer

    layers: list[tuple[str, Any]] = [
        (name, part) for name, part in model.named_modules() if isinstance(part, LoraLayer)
    ]
    for name, layer in layers:
        base = layer.get_base_layer()
        if is_packed(base.weight):
            base = _unpacked(base)
            (adapter,) = layer.active_adapters
            base.weight.data += layer.get_delta_weight(adapter).to(base.weight)
        else:
            layer.merge()
        _put(model, name, base)
    if getattr(model.language_model, "is_loaded_in_4bit", False):
        del model.language_model.is_loaded_in_4bit


def maps(llm: Any) -> list[tuple[str, nn.Linear]]:
    """Name and module of every linear map of an LLM but its output layer."""
    output = llm.get_output_embeddings()
    return [(name, part) for name, part in llm.named_modules() if isinstance(part, nn.Linear) and part is not output]


def _unpacked(layer: Any) -> nn.Linear:
    """A map of four bits as a plain one, in host memory, where all of them have room."""
    from bitsandbytes.functional import dequantize_4bit

    plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, "meta")
    plain.weight = nn.Parameter(dequantize_4bit(layer.weight.data, layer.weight.quant_state).cpu(), False)
    plain.bias = layer.bias
    return plain


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
