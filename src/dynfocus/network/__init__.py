"""The DynFocus network as a `transformers` model; importing it registers the auto classes."""

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)

from dynfocus.network.build import build_model
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.explanation import Explanation
from dynfocus.network.modeling import DynFocusForConditionalGeneration
from dynfocus.network.processing import DynFocusProcessor, add_image_token, expand_image_tokens, pad_ids, pad_videos
from dynfocus.network.vision import load_vision_tower
from dynfocus.tokens import num_visual_tokens

AutoConfig.register(DynFocusConfig.model_type, DynFocusConfig, exist_ok=True)
for auto_class in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
    auto_class.register(DynFocusConfig, DynFocusForConditionalGeneration, exist_ok=True)
AutoProcessor.register(DynFocusConfig, DynFocusProcessor, exist_ok=True)

__all__ = [
    "DynFocusConfig",
    "DynFocusForConditionalGeneration",
    "DynFocusProcessor",
    "Explanation",
    "add_image_token",
    "build_model",
    "expand_image_tokens",
    "load_vision_tower",
    "num_visual_tokens",
    "pad_ids",
    "pad_videos",
]
