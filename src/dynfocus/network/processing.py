"""The processor: text with `<image>` slots, prompts and features to the batch that the model takes.

`expand_image_tokens` is the one place where an `<image>` becomes the tokens of its video; the training collator uses it
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from dynfocus.errors import UserError
from dynfocus.network.configuration import DynFocusConfig

IMAGE_TOKEN = "<image>"


def expand_image_tokens(ids: Sequence[int], counts: Sequence[int], image_token_id: int) -> list[int]:
    """Token ids with the i-th image token repeated `counts[i]` times. Raises UserError when the numbers differ."""
    slots = sum(token == image_token_id for token in ids)
    if slots != len(counts):
        raise UserError(f"a text has {slots} {IMAGE_TOKEN} slots and {len(counts)} prompts; give one prompt per slot")
    expanded: list[int] = []
    remaining = iter(counts)
    for token in ids:
        expanded.extend([token] * next(remaining) if token == image_token_id else [token])
    return expanded


def pad_ids(rows: Sequence[Sequence[int]], pad: int, side: Literal["left", "right"]) -> tuple[Tensor, Tensor]:
    """Ids and attention mask (B, S) of token rows, padded on one side."""
    length = max(map(len, rows), default=0)
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return ids, mask


def pad_videos(videos: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features (V, T, N, d), zero on padding, and mask (V, T) of videos (T_v, N, d)."""
    length = max(video.shape[0] for video in videos)
    features = videos[0].new_zeros(len(videos), length, *videos[0].shape[1:])
    mask = torch.zeros(len(videos), length, dtype=torch.bool)
    for index, video in enumerate(videos):
        features[index, : video.shape[0]] = video
        mask[index, : video.shape[0]] = True
    return features, mask


def add_image_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the special token `<image>`, added to the tokenizer where it lacks."""
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]}, replace_extra_special_tokens=False)
    return cast(int, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))


class DynFocusProcessor(ProcessorMixin):
    """LLM tokenizer, text-encoder tokenizer and the token counts of a model configuration."""

    qformer_tokenizer: PreTrainedTokenizerBase  # set by ProcessorMixin

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        qformer_tokenizer: PreTrainedTokenizerBase,
        config: DynFocusConfig | dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(tokenizer=tokenizer, qformer_tokenizer=qformer_tokenizer, **kwargs)
        self.config = DynFocusConfig(**config) if isinstance(config, dict) else cast(DynFocusConfig, config)
        self.image_token_id = add_image_token(tokenizer)

    def __call__(
        self,
        text: Sequence[str],
        prompts: Sequence[Sequence[str]] = (),
        video_features: Sequence[Tensor] = (),
        prompt_video: Sequence[int] | None = None,
        padding_side: Literal["left", "right"] = "left",
    ) -> BatchFeature:
        """A batch for `generate` or `forward`.

        text: B texts with `<image>` slots; prompts: per text, one text-encoder prompt per slot; video_features: V
        videos (T, N, d); prompt_video: the video of each prompt over the whole batch, by default text i reads video i
        (texts without slots excepted). Left padding is for `generate`.
        """
        prompts = list(prompts) or [[] for _ in text]
        if len(prompts) != len(text):
            raise UserError(f"{len(text)} texts and prompts for {len(prompts)}; give one list of prompts per text")
        if prompt_video is None:
            seen = [index for index, own in enumerate(prompts) if own]
            prompt_video = [place for place, index in enumerate(seen) for _ in prompts[index]]
        batch = self.encode_prompts([prompt for own in prompts for prompt in own])
        counts = [self.config.num_visual_tokens(video_features[video].shape[0]) for video in prompt_video]
        rows, start = [], 0
        for own, ids in zip(prompts, self.tokenizer(list(text)).input_ids, strict=True):
            rows.append(expand_image_tokens(ids, counts[start : start + len(own)], self.image_token_id))
            start += len(own)
        pad = self.tokenizer.pad_token_id
        batch["input_ids"], batch["attention_mask"] = pad_ids(rows, 0 if pad is None else pad, padding_side)
        batch["prompt_video"] = torch.tensor(list(prompt_video), dtype=torch.long)
        if video_features:
            batch["video_features"], batch["video_mask"] = pad_videos(video_features)
        return BatchFeature(batch)

    def encode_prompts(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """`prompt_input_ids` and `prompt_attention_mask` (Q, W); a longer prompt loses its left end (B.4)."""
        rows = [self.encode_prompt(prompt) for prompt in prompts]
        pad = self.qformer_tokenizer.pad_token_id
        ids, mask = pad_ids(rows, 0 if pad is None else pad, "right")
        return {"prompt_input_ids": ids, "prompt_attention_mask": mask}

    def encode_prompt(self, prompt: str) -> list[int]:
        """Text-encoder ids of one prompt, at most max_prompt_tokens, cut on the left."""
        tokenizer = self.qformer_tokenizer
        tokenizer.truncation_side = "left"
        return tokenizer(prompt, truncation=True, max_length=self.config.max_prompt_tokens).input_ids

    def expand(self, ids: Sequence[int], frames: Sequence[int]) -> list[int]:
        """Token ids with the i-th `<image>` expanded to the tokens of a video of `frames[i]` frames."""
        counts = [self.config.num_visual_tokens(length) for length in frames]
        return expand_image_tokens(ids, counts, self.image_token_id)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the batch entries."""
        visual = ["video_features", "video_mask", "prompt_input_ids", "prompt_attention_mask", "prompt_video"]
        return ["input_ids", "attention_mask", *visual]

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Both tokenizers (the text encoder's in `qformer_tokenizer/`); the configuration is the model's."""
        return super().save_pretrained(save_directory, push_to_hub, **kwargs)
