"""Does a training fit into the memory of its devices? An estimate before anything is loaded.

Model states follow the ZeRO paper's count (Rajbhandari et al. 2020, 3): in bf16, 2 bytes a parameter for weights, 2 of
gradients (4 where several micro batches are summed) and 12 of optimizer (fp32 weights and the two moments of AdamW);
ZeRO 1 and 2 divide optimizer and gradients among the devices. Activations follow Korthikanti et al. 2022 (34 bytes per
token, channel and layer in bf16, attention matrices not stored). Vicuna-7B with ZeRO-0, the setting of Table 11, needs
about 108 GB for its states alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dynfocus.config.schema import Stage
from dynfocus.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from dynfocus.training.contract import Plan

GB = 1e9
# Share of a device left for the CUDA context, communication buckets and fragmentation.
RESERVE = 0.08
ACTIVATION_BYTES = 34
LOGIT_COPIES = 3
PACKED_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Of a weight in nf4: a scale of 8 bits for 64 weights, one of 32 bits for 256 scales (QLoRA, 3)."""
ZERO_STAGES = 3
"""ZeRO 0, 1 and 2. ZeRO-3 takes weights away between their uses, and the loss touches those of unused parts."""


@dataclass(frozen=True)
class Transformer:
    """Shape of a transformer: `layers`, width `hidden`."""

    layers: int
    hidden: int


@dataclass(frozen=True)
class ModelSize:
    """What the estimate needs to know of a model.

    `parameters`: all, `trainable`: those that learn; `llm`, `qformer`: shapes; `vocabulary`: of the LLM; `packed`: of
    the parameters, those of four bits.
    """

    parameters: int
    trainable: int
    llm: Transformer
    qformer: Transformer
    vocabulary: int
    packed: int = 0


@dataclass(frozen=True)
class Load:
    """One sample's share of a batch: `tokens` of the LLM, `frames` times `frame_tokens` of the text encoder."""

    tokens: int
    frames: int
    frame_tokens: int


@dataclass(frozen=True)
class Division:
    """How a stage is divided: the settings that the estimate may change; `global_batch`: None for one of one pass."""

    world: int
    micro_batch: int
    zero_stage: int
    precision: str = "bf16"
    gradient_checkpointing: bool = True
    global_batch: int | None = None

    @property
    def gradient_width(self) -> int:
        """Bytes of a gradient: bf16 ones are summed in fp32 over several micro batches."""
        several = self.global_batch is not None and self.global_batch > self.world * self.micro_batch
        return 4 if self.precision == "fp32" or several else 2


@dataclass(frozen=True)
class Estimate:
    """Bytes per device."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / GB:.1f}" for name, value in vars(self).items())
        return f"{self.total / GB:.1f} GB ({parts})"


@dataclass(frozen=True)
class Verdict:
    """What a training needs, whether that fits, and both in words with the nearest plan that fits."""

    need: Estimate
    fits: bool
    text: str


def estimate(model: ModelSize, division: Division, load: Load) -> Estimate:
    """Memory per device of a training step."""
    width = 2 if division.precision == "bf16" else 4
    shared = [division.world if division.zero_stage >= stage else 1 for stage in (2, 1)]
    in_place = division.precision == "fp32" and division.zero_stage == 0
    return Estimate(
        weights=width * (model.parameters - model.packed) + PACKED_BYTES * model.packed,
        gradients=division.gradient_width * model.trainable / shared[0],
        optimizer=(8 if in_place else 12) * model.trainable / shared[1],
        activations=_activations(model, division, load),
    )


def nearest_fit(
    model: ModelSize, division: Division, load: Load, global_batch: int, capacity: float
) -> Division | None:
    """The division closest to the one asked for that fits `capacity` bytes per device; None if none does.

    A step of distance is one more ZeRO stage or half the micro batch; at equal distance ZeRO changes first.
    The global batch stays, so the training is the same.
    """
    share = global_batch // division.world
    micros = [micro for micro in range(division.micro_batch, 0, -1) if share % micro == 0]
    options = [
        replace(division, zero_stage=stage, micro_batch=micro)
        for stage in range(division.zero_stage, ZERO_STAGES)
        for micro in micros
        if estimate(model, replace(division, zero_stage=stage, micro_batch=micro), load).total <= usable(capacity)
    ]
    return min(options, key=lambda option: _distance(division, option), default=None)


def judge(model: ModelSize, division: Division, load: Load, global_batch: int, capacity: float) -> Verdict:
    """Whether a division fits devices of `capacity` bytes, and in words why not and what does."""
    need = estimate(model, division, load)
    if need.total <= usable(capacity):
        return Verdict(need, True, f"fits: {need} per device of {usable(capacity) / GB:.1f} GB usable")
    offer = nearest_fit(model, division, load, global_batch, capacity)
    text = (
        f"zero_stage {division.zero_stage} with micro_batch {division.micro_batch} on {division.world} device(s) needs "
        f"{need} per device, {usable(capacity) / GB:.1f} GB are usable; {_offer(model, offer, load)}"
    )
    return Verdict(need, False, text)


def check(model: ModelSize, division: Division, load: Load, global_batch: int, capacity: float) -> Estimate:
    """The estimate of a division that fits.

    Raises:
        UserError: it does not fit; names the nearest division that does.
    """
    verdict = judge(model, division, load, global_batch, capacity)
    if not verdict.fits:
        raise UserError(verdict.text)
    return verdict.need


def usable(capacity: float) -> float:
    """Bytes of a device that a plan may fill."""
    return capacity * (1 - RESERVE)


def size_of(model: Any) -> ModelSize:
    """`ModelSize` of a network, on any device (also meta)."""
    text, qformer = model.config.text_config, model.config.qformer_config
    weights = list(model.parameters())
    return ModelSize(
        parameters=sum(map(weights_in, weights)),
        trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
        llm=Transformer(text.num_hidden_layers, text.hidden_size),
        qformer=Transformer(qformer.num_hidden_layers, qformer.hidden_size),
        vocabulary=text.vocab_size,
        packed=sum(weights_in(weight) for weight in weights if is_packed(weight)),
    )


def is_packed(weight: Tensor) -> bool:
    """Whether a weight has four bits."""
    return getattr(weight, "quant_state", None) is not None


def weights_in(weight: Tensor) -> int:
    """How many weights a parameter holds; four bits each are packed by two."""
    return weight.numel() * (2 if is_packed(weight) else 1)


def check_device(model: Any, stage: Stage, plan: Plan, load: Load, beside: int = 0) -> Estimate:
    """`check` for a network on the GPU of this process; `beside` it, the bytes of a visual encoder."""
    import torch

    division = Division(
        plan.world,
        stage.micro_batch,
        stage.zero_stage,
        stage.precision,
        stage.gradient_checkpointing,
        stage.global_batch,
    )
    capacity = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory - beside
    return check(size_of(model), division, load, stage.global_batch, capacity)


def _activations(model: ModelSize, division: Division, load: Load) -> float:
    width = 2 if division.precision == "bf16" else 4
    logits = LOGIT_COPIES * 4 * load.tokens * model.vocabulary
    parts = ((model.llm, load.tokens), (model.qformer, load.frames * load.frame_tokens))
    inner = sum(_transformer(shape, tokens, division.gradient_checkpointing) for shape, tokens in parts)
    return division.micro_batch * (inner * width / 2 + logits)


def _transformer(shape: Transformer, tokens: int, checkpointing: bool) -> float:
    """Stored activations in bytes, 2 a value; checkpointing keeps the inputs of all layers and one layer's inside."""
    inside = ACTIVATION_BYTES * tokens * shape.hidden
    return 2 * tokens * shape.hidden * shape.layers + inside if checkpointing else inside * shape.layers


def _distance(asked: Division, option: Division) -> tuple[float, int]:
    stages = option.zero_stage - asked.zero_stage
    return stages + 2 * (asked.micro_batch / option.micro_batch - 1), stages


def _offer(model: ModelSize, offer: Division | None, load: Load) -> str:
    if offer is None:
        return "no ZeRO stage and micro batch fits: use more or larger devices"
    return (
        f"nearest plan that fits: zero_stage {offer.zero_stage}, micro_batch {offer.micro_batch}, "
        f"{estimate(model, offer, load).total / GB:.1f} GB"
    )
