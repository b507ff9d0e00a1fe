"""What of the model may be loaded with fewer bits, or elsewhere: the language model, which holds most of the weights.

The vision tower and the connector decide which frames are read. They compare distances and scores: with 8 bits these
tie, clusters change, and the answer is about other frames. And both multiply weights without calling the layers that
hold them, so a weight that is fetched only when its layer is called is not there.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from dynfocus.errors import UserError

WHOLE = ("vision_tower", "connector")
UNQUANTISED = (*WHOLE, "language_model.lm_head")
LEFT_OUT = ("llm_int8_skip_modules", "modules_to_not_convert")
"""The names under which bitsandbytes, and the other libraries, are told what to leave out."""


def language_model_alone(settings: Any) -> Any:
    """A copy of a quantisation config (an object or a dictionary) that leaves the rest of the model as it is.

    One that names what it leaves out, and one of a kind that has no such name, comes back as it was.
    """
    if isinstance(settings, dict):
        name = LEFT_OUT[0] if str(settings.get("quant_method", "bitsandbytes")) == "bitsandbytes" else LEFT_OUT[1]
        return settings if settings.get(name) is not None else {**settings, name: list(UNQUANTISED)}
    for name in LEFT_OUT:
        if hasattr(settings, name) and getattr(settings, name) is None:
            settings = copy.copy(settings)
            setattr(settings, name, list(UNQUANTISED))
    return settings


def refuse_offloaded(model: nn.Module) -> None:
    """Raise UserError where `device_map` left a part on the disk or in host memory that must be on its device."""
    for part in WHOLE:
        module = getattr(model, part)
        if module is not None and any(weight.is_meta for weight in module.parameters()):
            size = sum(weight.nbytes for weight in module.parameters()) / 2**20
            raise UserError(
                f"device_map: {part} is offloaded, and only layers of the language model can be; give max_memory for "
                f"its {size:.0f} MiB"
            )


def refuse_uneven_blocks(model: nn.Module) -> None:
    """Raise UserError where bitsandbytes would stop in the middle of a pass on a CPU.

    With AVX512-BF16 its layers of 4 bits are packed by rows there, and a row must be whole blocks.
    """
    for name, layer in model.named_modules():
        state = getattr(getattr(layer, "weight", None), "quant_state", None)
        packs = getattr(layer, "support_avx512bf16_for_cpu", False) and layer.weight.device.type == "cpu"
        if state is not None and packs and layer.in_features % state.blocksize:
            raise UserError(
                f"4 bits on this CPU: {name} reads {layer.in_features} values, no multiple of {state.blocksize}; add "
                f"{name.rpartition('.')[2]!r} to llm_int8_skip_modules, beside {', '.join(UNQUANTISED)}"
            )
