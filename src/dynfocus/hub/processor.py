"""Texts and media to the model's batch, as the video models of transformers take them.

    processor(text="… USER: <video>\nWhat is it doing? ASSISTANT:", videos="film.mp4")
    processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True, return_dict=True)

A slot is `<image>` or `<video>`. The i-th slot of a text reads the i-th medium of its kind; a slot for which there is
no further one reads the last medium again, as every later question on a film does. What the text encoder reads at a
slot is the human turn around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from transformers import BatchFeature, PreTrainedTokenizerBase

from dynfocus.errors import UserError
from dynfocus.hub.video_processor import DynFocusVideoProcessor, Medium
from dynfocus.network import DynFocusConfig, DynFocusProcessor
from dynfocus.network.processing import IMAGE_TOKEN
from dynfocus.prompts import SYSTEM, encoder_prompt

VIDEO_TOKEN = "<video>"
SLOT = re.compile(f"{IMAGE_TOKEN}|{VIDEO_TOKEN}")
HUMAN_TURN = re.compile(r"USER: (.*?)(?= ASSISTANT:|$)", re.DOTALL)
CHAT_TEMPLATE = (
    "{%- set ns = namespace(seen=false, own=false, system='" + SYSTEM.replace("'", "\\'") + "') -%}"
    "{%- for message in messages if message.role == 'system' -%}"
    "{%- set ns.system = message.content if message.content is string else message.content[0].text -%}"
    "{%- endfor -%}"
    "{{ ns.system }}"
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}"
    "{%- set ns.own = false -%}"
    "{{ (' ' if loop.first or messages[loop.index0 - 1].role == 'system' else '') + 'USER: ' }}"
    "{%- if message.content is not string -%}"
    "{%- for part in message.content if part.type in ('image', 'video') -%}"
    "{%- set ns.seen = true -%}{%- set ns.own = true -%}{{ '<' + part.type + '>\n' }}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- if ns.seen and not ns.own -%}{{ '<image>\n' }}{%- endif -%}"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}"
    "{%- for part in message.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}"
    "{%- endif -%}"
    "{%- elif message.role == 'assistant' -%}"
    "{{ ' ASSISTANT: ' + (message.content if message.content is string else message.content[0].text) + eos_token }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}"
)
"""The talk of stage 2: every human turn after the first medium has a slot, its own or that of the last medium."""


class DynFocusMediaProcessor(DynFocusProcessor):
    """`DynFocusProcessor` with a video processor: takes files, pictures and frames in place of stored features."""

    def __init__(
        self,
        video_processor: DynFocusVideoProcessor,
        tokenizer: PreTrainedTokenizerBase,
        qformer_tokenizer: PreTrainedTokenizerBase,
        config: DynFocusConfig | dict[str, Any] | None = None,
        chat_template: str | None = CHAT_TEMPLATE,
        **kwargs: Any,
    ):
        media = {"video_processor": video_processor, "chat_template": chat_template}
        super().__init__(tokenizer, qformer_tokenizer, config, **media, **kwargs)

    def __call__(  # type: ignore[override]  # media take the place of stored features
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        prompts: Sequence[Sequence[str]] | None = None,
        padding: bool | str = True,
        padding_side: Literal["left", "right"] = "left",
        return_tensors: str = "pt",
        **kwargs: Any,
    ) -> BatchFeature:
        """A batch for `generate` or `forward`.

        text: one text or B texts with slots; images, videos: one medium, or a list of the media of all texts in the
        order of their slots, or one list per text; prompts: what the text encoder reads, one per slot of each text, by
        default its human turn. Other settings are the video processor's. Raises UserError where a slot has no medium
        or a medium no slot.
        """
        if text is None:
            raise UserError("text: none given; put <video> or <image> where a medium stands")
        if return_tensors not in ("pt", None) or padding is False:
            raise UserError("return_tensors: the model takes padded torch tensors; give return_tensors='pt'")
        texts = [text] if isinstance(text, str) else list(text)
        pictures, films = per_text(images, texts, IMAGE_TOKEN), per_text(videos, texts, VIDEO_TOKEN)
        media, owners = media_of_slots(texts, pictures, films)
        allowed = self.video_processor.valid_kwargs.__annotations__
        settings = {name: value for name, value in kwargs.items() if name in allowed}
        seen = self.video_processor(media, **settings) if media else {}
        frames = seen["video_mask"].sum(1).tolist() if media else []
        batch = super().__call__(
            [SLOT.sub(IMAGE_TOKEN, one) for one in texts],
            prompts if prompts is not None else [list(slot_prompts(one)) for one in texts],
            [torch.empty(count, 0) for count in frames],
            owners,
            padding_side,
        )
        for name in ("video_features", "video_mask"):
            batch.pop(name, None)
        return BatchFeature({**batch, **seen})

    @property
    def model_input_names(self) -> list[str]:
        """Names of the batch entries."""
        return [*(name for name in super().model_input_names if name != "video_features"), "pixel_values_videos"]


def slot_prompts(text: str) -> Iterator[str]:
    """What the text encoder reads at each slot: the human turn that the slot is in, else the whole text."""
    turns = [(match.span(1), encoder_prompt(SLOT.sub(" ", match.group(1)))) for match in HUMAN_TURN.finditer(text)]
    whole = encoder_prompt(SLOT.sub(" ", text))
    for slot in SLOT.finditer(text):
        yield next((turn for (start, stop), turn in turns if start <= slot.start() < stop), whole)


def per_text(media: Any, texts: Sequence[str], token: str) -> list[list[Medium]]:
    """The media of each text, from one medium, a flat list over all slots, or a list per text."""
    if media is None:
        return [[] for _ in texts]
    if not isinstance(media, list | tuple):
        return [[media], *([] for _ in texts[1:])]
    if all(isinstance(own, list | tuple) for own in media) and len(media) == len(texts):
        return [list(own) for own in media]
    left = iter(media)
    shared = [[medium for _, medium in zip(range(text.count(token)), left, strict=False)] for text in texts]
    shared[-1] += left
    return shared


def media_of_slots(
    texts: Sequence[str], images: Sequence[list[Medium]], videos: Sequence[list[Medium]]
) -> tuple[list[Medium], list[int]]:
    """All media in the order in which slots first read them, and the medium of every slot."""
    media: list[Medium] = []
    owners: list[int] = []
    for number, text in enumerate(texts):
        left = {IMAGE_TOKEN: list(images[number]), VIDEO_TOKEN: list(videos[number])}
        start = len(media)
        for slot in SLOT.findall(text):
            if left[slot]:
                media.append(left[slot].pop(0))
            elif len(media) == start:
                raise UserError(f"text {number} has a slot {slot} and no medium for it; give one in images or videos")
            owners.append(len(media) - 1)
        if any(left.values()):
            kind = next(token for token, rest in left.items() if rest)
            raise UserError(f"text {number} has fewer {kind} slots than media; put {kind} where each stands")
    return media, owners
