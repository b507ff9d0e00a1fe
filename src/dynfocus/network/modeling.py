"""DynFocus as a `transformers` model: visual tokens in place of the image token of any causal LM.

    model = AutoModelForCausalLM.from_pretrained(folder)      # after `import dynfocus.network`
    batch = AutoProcessor.from_pretrained(folder)(text=[...], prompts=[...], video_features=[...])
    model.generate(**batch, max_new_tokens=64)

`generate` makes the visual tokens once per answer and hands the LLM embeddings; the KV cache does the rest.

What is made of a video before any question (prototypes, clusters) has no weights in it: `model.remember()` keeps it by
the `video_names` of a batch, so that further questions, epochs and batches on the same videos do not make it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from dynfocus.errors import UserError
from dynfocus.network.batch import Prompts, Videos, on_the_host
from dynfocus.network.cache import DEFAULT_BYTES, QuestionFreeCache
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.distances import on_host
from dynfocus.network.encoders import DynFocusEncoder, FrameEncoder, TextGuidedEncoder, TwoTokenEncoder
from dynfocus.network.explanation import Explanation, explain_encoding
from dynfocus.network.loading import language_model_alone, refuse_offloaded, refuse_uneven_blocks
from dynfocus.network.rivals import BlindEncoder, StarMemoryEncoder, UniviEncoder
from dynfocus.network.vision import VisionTower, build_vision_tower

ENCODERS: dict[str, type[FrameEncoder]] = {
    "dynfocus": DynFocusEncoder,
    "two_token": TwoTokenEncoder,
    "llama_vid": TwoTokenEncoder,
    "flash_vstream": StarMemoryEncoder,
    "chat_univi": UniviEncoder,
    "blind": BlindEncoder,
}
PROJECTORS = ("connector.fine_projector.", "connector.coarse_projector.")
IGNORED_LABEL = -100
ALIGNMENT = 64
"""Bytes to whose multiples torch allocates on a CPU."""
VISUAL_INPUTS = (
    "video_features",
    "pixel_values_videos",
    "video_mask",
    "prompt_input_ids",
    "prompt_attention_mask",
    "prompt_video",
    "video_names",
)


class DynFocusForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Connector (`connector`), language model (`language_model`) and, where configured, the vision tower.

    Inputs of `forward` and `generate`: `input_ids` (B, S) in which every image slot is already num_visual_tokens(T)
    image tokens, `attention_mask` (B, S), `video_features` (V, T, N, d) or `pixel_values_videos` (V, T, 3, H, W),
    `video_mask` (V, T) bool, `prompt_input_ids` and `prompt_attention_mask` (Q, W), `prompt_video` (Q,): prompts in the
    row-major order of the image slots. V = Q = 0, or no visual input at all, for text alone. `video_names`: V names by
    which `remember` keeps what it can.
    """

    config: DynFocusConfig
    config_class = DynFocusConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules: Any = (*(encoder.__name__ for encoder in ENCODERS.values()), VisionTower.__name__)
    """Are on one device under `device_map` (`network.loading`)."""
    _keep_in_fp32_modules: Any = ("connector.selection",)
    input_modalities: Any = ("video", "image", "text")
    output_modalities = ("text",)

    def __init__(self, config: DynFocusConfig, language_model: PreTrainedModel | None = None):
        """A model with new weights, around `language_model` where one is given."""
        super().__init__(config)
        self.vision_tower = None if config.vision_config is None else build_vision_tower(config.vision_config)
        self.connector: FrameEncoder = ENCODERS[config.encoder](config)
        if language_model is None:
            language_model = AutoModelForCausalLM.from_config(
                config.text_config, attn_implementation=config._attn_implementation
            )
        self.language_model = language_model
        self.known: QuestionFreeCache | None = None
        taken = inspect.signature(self.language_model.forward).parameters
        self._takes_positions, self._keeps_logits = "position_ids" in taken, "logits_to_keep" in taken
        self.post_init()
        self.set_trainable({"projectors", "dpe_cce", "llm"})

    @classmethod
    def from_pretrained(cls, *args: Any, quantization_config: Any = None, **kwargs: Any) -> Any:
        """As `PreTrainedModel.from_pretrained`; equal weights give equal logits, wherever they lay in their file.

        A `quantization_config` that does not say what it leaves out quantises the language model alone. Raises
        UserError for bits or places that would stop the first pass (`network.loading`).
        """
        if quantization_config is not None:
            kwargs["quantization_config"] = language_model_alone(quantization_config)
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        refuse_offloaded(model)
        refuse_uneven_blocks(model)
        align(model)
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        """torch's own initialisation for the connector's layers; sub-models initialise themselves."""
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()

    def get_input_embeddings(self) -> nn.Module:
        """Word embeddings of the LLM."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the LLM."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Output layer of the LLM."""
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output layer of the LLM."""
        self.language_model.set_output_embeddings(value)

    def remember(self, limit: int = DEFAULT_BYTES) -> None:
        """Keep up to `limit` bytes of what is made of videos before any question, by their `video_names`."""
        self.known = QuestionFreeCache(limit) if self.connector.question_free else None

    def num_visual_tokens(self, frames: int) -> int:
        """Visual tokens of a video of `frames` frames: 40·K + 2·(T − K)."""
        return self.config.num_visual_tokens(frames)

    def parts(self) -> dict[str, list[str]]:
        """Parameter names per trainable part. In none: the vision tower, and what no output depends on."""
        idle: set[str] = set()
        if isinstance(self.connector, TextGuidedEncoder):
            idle = {f"connector.text_encoder.{name}" for name in self.connector.text_encoder.idle_parameters()}
        parts: dict[str, list[str]] = {"projectors": [], "dpe_cce": [], "llm": []}
        for name, _ in self.named_parameters():
            if name.startswith("language_model."):
                parts["llm"].append(name)
            elif name.startswith(PROJECTORS):
                parts["projectors"].append(name)
            elif name.startswith("connector.") and name not in idle:
                parts["dpe_cce"].append(name)
        return parts

    def set_trainable(self, parts: set[str]) -> None:
        """Let exactly the named parts learn ({"projectors", "dpe_cce", "llm"}); freeze everything else."""
        names = self.parts()
        unknown = set(parts) - set(names)
        if unknown:
            raise UserError(f"set_trainable: unknown part {sorted(unknown)[0]!r}; parts are {', '.join(names)}")
        learning = {name for part in parts for name in names[part]}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in learning)

    def visual_tokens(
        self,
        video_features: Tensor | None,
        pixel_values_videos: Tensor | None,
        video_mask: Tensor | None,
        prompt_input_ids: Tensor,
        prompt_attention_mask: Tensor | None,
        prompt_video: Tensor,
        video_names: Sequence[Hashable] | None = None,
    ) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts of a batch, in one pass."""
        videos, prompts = self.read_visual_inputs(
            video_features, pixel_values_videos, video_mask, prompt_input_ids, prompt_attention_mask, prompt_video
        )
        if self.known is None or video_names is None:
            return self.connector(videos, prompts)
        if len(video_names) != len(videos.lengths):
            raise UserError(f"video_names: {len(video_names)} names for {len(videos.lengths)} videos; give one each")
        # Made of a video alone and not of the batch: what is kept must not depend on where it was first met.
        make = self.connector.without_question
        known = self.known.of(video_names, lambda missing: make(videos.at(missing)))
        return self.connector(videos, prompts, known)

    def read_visual_inputs(
        self,
        video_features: Tensor | None,
        pixel_values_videos: Tensor | None,
        video_mask: Tensor | None,
        prompt_input_ids: Tensor,
        prompt_attention_mask: Tensor | None,
        prompt_video: Tensor,
    ) -> tuple[Videos, Prompts]:
        """Packed videos and prompts; pixels go through the vision tower. Raises UserError on wrong shapes."""
        if video_features is None:
            if self.vision_tower is None:
                raise UserError("pixel_values_videos: this model has no vision tower; give video_features instead")
            video_features = self.vision_tower.videos(cast(Tensor, pixel_values_videos))
        if video_mask is None:
            video_mask = torch.ones(video_features.shape[:2], dtype=torch.bool)
        expected = (self.config.grid**2, self.config.vision_width)
        if tuple(video_features.shape[2:]) != expected:
            raise UserError(
                f"video_features: patches x width is {tuple(video_features.shape[2:])}, the model expects {expected}; "
                "check network.grid and the visual encoder"
            )
        mask, owners = on_the_host(video_mask.bool(), prompt_video)
        videos = Videos.from_padded(video_features, mask)
        return videos, Prompts(prompt_input_ids, prompt_attention_mask, tuple(owners.tolist()))

    def embed(self, input_ids: Tensor, **visual: Any) -> Tensor:
        """LLM embeddings (B, S, D) with the visual tokens in their slots; `visual` as in VISUAL_INPUTS."""
        slots = input_ids == self.config.image_token_id
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(slots, 0))
        prompts = visual.get("prompt_input_ids")
        if prompts is None or prompts.shape[0] == 0:
            expected, tokens = 0, self._idle_tokens(embeddings)
        else:
            given: dict[str, Any] = {name: visual.get(name) for name in VISUAL_INPUTS}
            tokens = self.visual_tokens(**given)
            expected = tokens.shape[0]
        if not on_host(slots):  # without waiting for the device
            torch._assert_async(slots.sum() == expected, "input_ids: not as many image tokens as the videos give")
        elif int(slots.sum()) != expected:
            raise UserError(
                f"input_ids hold {int(slots.sum())} image tokens, the videos give {expected}; "
                "expand every <image> to num_visual_tokens(T) copies"
            )
        if expected == 0 or tokens is None:
            return embeddings if tokens is None else embeddings + 0.0 * tokens.sum().to(embeddings.dtype)
        return embeddings.masked_scatter(slots[:, :, None], tokens.to(embeddings.dtype))

    def _idle_tokens(self, embeddings: Tensor) -> Tensor | None:
        """In training, tokens of an empty image: they keep the connector in the graph of a text-only batch."""
        learns = any(parameter.requires_grad for parameter in self.connector.parameters())
        if not (self.training and learns) or self.config.encoder == "blind":
            return None
        device = embeddings.device
        frame = torch.zeros(1, 1, self.config.grid**2, self.config.vision_width, device=device)
        word = torch.zeros(1, 1, dtype=torch.long, device=device)
        return self.visual_tokens(frame, None, None, word, None, torch.zeros(1, dtype=torch.long))

    def explain(
        self,
        video_features: Tensor,
        prompt_input_ids: Tensor,
        prompt_attention_mask: Tensor | None = None,
    ) -> Explanation:
        """Prototypes, scores, choices and cluster maps of one video (T, N, d) under one prompt (W,) or (1, W)."""
        ids = prompt_input_ids.view(1, -1)
        mask = None if prompt_attention_mask is None else prompt_attention_mask.view(1, -1)
        videos, prompts = self.read_visual_inputs(
            video_features[None], None, None, ids, mask, torch.zeros(1, dtype=torch.long)
        )
        return explain_encoding(self.connector, videos, prompts)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        video_features: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_mask: Tensor | None = None,
        prompt_input_ids: Tensor | None = None,
        prompt_attention_mask: Tensor | None = None,
        prompt_video: Tensor | None = None,
        video_names: Sequence[Hashable] | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, S, vocabulary) and, with `labels` (B, S), the language-modelling loss; image tokens carry none.

        `logits_to_keep`: the last so many positions, or those of a tensor, alone get logits; `generate` asks for one.
        """
        if inputs_embeds is None:
            assert input_ids is not None, "forward takes ids or embeddings"
            inputs_embeds = self.embed(
                input_ids,
                video_features=video_features,
                pixel_values_videos=pixel_values_videos,
                video_mask=video_mask,
                prompt_input_ids=prompt_input_ids,
                prompt_attention_mask=prompt_attention_mask,
                prompt_video=prompt_video,
                video_names=video_names,
            )
            if labels is not None:
                labels = labels.masked_fill(input_ids == self.config.image_token_id, IGNORED_LABEL)
        if self._takes_positions:
            if position_ids is None and attention_mask is not None and attention_mask.shape == inputs_embeds.shape[:2]:
                position_ids = (attention_mask.long().cumsum(1) - 1).clamp(min=0)
            kwargs["position_ids"] = position_ids
        if self._keeps_logits:
            kwargs["logits_to_keep"] = logits_to_keep
        return self.language_model(inputs_embeds=inputs_embeds, attention_mask=attention_mask, labels=labels, **kwargs)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # the ids come first, and visual inputs along
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Answers to a batch; as `GenerationMixin.generate`, with the visual inputs of `forward`.

        The visual tokens are made once, before the first token. Returns the prompt ids followed by the answer.
        """
        visual = {name: kwargs.pop(name) for name in VISUAL_INPUTS if name in kwargs}
        embeddings = self.embed(input_ids, **visual)
        kwargs |= {"input_ids": input_ids, "inputs_embeds": embeddings, "attention_mask": attention_mask}
        return GenerationMixin.generate(cast(Any, self), **kwargs)


def align(model: nn.Module) -> None:
    """Copy the CPU weights that do not start at a multiple of 64 bytes, as those mapped from a file seldom do.

    On processors with AVX2, MKL adds up in an order that depends on where its operands start: the same weights at
    another place give logits that differ in the last bit. A model on its way to a GPU takes memory of the process until
    it is there.
    """
    for parameter in model.parameters():
        if parameter.device.type == "cpu" and parameter.data_ptr() % ALIGNMENT:
            parameter.data = parameter.data.clone()
