"""The model's configuration: the sub-models' configurations and every field of the `network` section."""

from __future__ import annotations

from typing import Any, cast

from transformers import AutoConfig, InstructBlipQFormerConfig, PreTrainedConfig

from dynfocus.config.schema import Network
from dynfocus.errors import UserError
from dynfocus.tokens import num_visual_tokens, star_side


class DynFocusConfig(PreTrainedConfig):
    """Configuration of `DynFocusForConditionalGeneration`.

    text_config: configuration of any causal LM; qformer_config: `InstructBlipQFormerConfig`;
    num_query_tokens: query tokens of the Q-Former (32); vision_width: d (1408); vision_config: None, or the open_clip
    vision tower inside the model as {"model": open_clip's model configuration, "layer": block, "mean", "std": of the
    pixels it was trained with}; image_token_id: the
    `<image>` token of the LLM's tokenizer; network fields: as in `dynfocus.config.schema.Network`, with its defaults.
    Raises UserError for a network field that the schema refuses.
    """

    model_type = "dynfocus"
    sub_configs = {"text_config": AutoConfig, "qformer_config": InstructBlipQFormerConfig}  # noqa: RUF012

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        qformer_config: InstructBlipQFormerConfig | dict[str, Any] | None = None,
        num_query_tokens: int = 32,
        vision_width: int = 1408,
        vision_config: dict[str, Any] | None = None,
        image_token_id: int = 32000,
        max_prompt_tokens: int = 256,
        **kwargs: Any,
    ):
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name in Network.model_fields}
        try:
            network = Network(**fields)
        except ValueError as error:
            raise UserError(f"network configuration: {error}") from error
        if network.grid % network.pooled_grid:
            raise UserError(
                f"network.pooled_grid: {network.pooled_grid} does not divide network.grid {network.grid}; "
                "pooling needs whole squares"
            )
        if network.encoder == "flash_vstream" and network.grid % star_side(network):
            raise UserError(
                f"network.grid: {network.grid} is no multiple of {star_side(network)}, the side of a whole frame in "
                "flash_vstream's memory"
            )
        for name in Network.model_fields:
            setattr(self, name, getattr(network, name))
        self.text_config = _sub_config(text_config, "llama")
        self.qformer_config = cast(InstructBlipQFormerConfig, _sub_config(qformer_config, "instructblip_qformer"))
        self.num_query_tokens = num_query_tokens
        self.vision_width = vision_width
        self.vision_config = vision_config
        self.image_token_id = image_token_id
        self.max_prompt_tokens = max_prompt_tokens
        kwargs.setdefault("tie_word_embeddings", getattr(self.text_config, "tie_word_embeddings", False))
        super().__init__(**kwargs)

    @classmethod
    def from_sections(
        cls,
        network: Network,
        text_config: PreTrainedConfig,
        qformer_config: InstructBlipQFormerConfig,
        vision_width: int,
        **kwargs: Any,
    ) -> DynFocusConfig:
        """Configuration from a run's `network` section and the configurations of its backbones."""
        return cls(
            text_config=text_config,
            qformer_config=qformer_config,
            vision_width=vision_width,
            **network.model_dump(),
            **kwargs,
        )

    def num_visual_tokens(self, frames: int) -> int:
        """Visual tokens of a video of `frames` frames."""
        return num_visual_tokens(self, frames)


def _sub_config(config: PreTrainedConfig | dict[str, Any] | None, default: str) -> PreTrainedConfig:
    """A configuration object from an object, a saved dictionary, or the defaults of a model type."""
    if isinstance(config, PreTrainedConfig):
        return config
    values = dict(config or {})
    model_type = values.pop("model_type", default)
    if model_type == "instructblip_qformer":
        return InstructBlipQFormerConfig(**values)
    return AutoConfig.for_model(model_type, **values)
