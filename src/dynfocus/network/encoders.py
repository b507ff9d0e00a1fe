"""What turns frames into tokens: DynFocus, and the token-level part that its rivals share.

An encoder takes packed videos and prompts and returns the tokens (Σ tokens, D) of all prompts in order, in one batched
pass. Attribute names decide what trains: `fine_projector` and `coarse_projector` are the part *projectors*, everything
else is *dpe_cce*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dynfocus.network.batch import Prompts, Rows, Videos, on_the_device
from dynfocus.network.cce import (
    ContextAttention,
    GroupGate,
    Objects,
    Projector,
    SoftFusion,
    content_tokens,
    cooperative_sequence,
    object_prototypes_of,
    read_objects,
)
from dynfocus.network.clustering import clustering_of
from dynfocus.network.configuration import DynFocusConfig
from dynfocus.network.dpe import DynamicSelection, Events, Selection, estimate_events, pool_patches
from dynfocus.network.text_encoder import TextEncoder
from dynfocus.tokens import coarse_tokens, cone_frame_tokens, fine_tokens, num_visual_tokens, object_prototypes


class FrameEncoder(nn.Module):
    """Common part of the encoders: configuration and token counts.

    `forward(videos, prompts, known)` makes the tokens (Σ tokens, D) of all prompts. `known` is what `without_question`
    has made of each video before; without it, it is made on the way.
    """

    question_free = False
    """Whether `without_question` makes anything."""

    def __init__(self, config: DynFocusConfig):
        super().__init__()
        self.config = config
        clustering_of(config.clustering)  # an unknown one is refused here, not in the first batch

    def projector(self) -> Projector:
        """A new MLP from d to the LLM's width."""
        out = self.config.text_config.hidden_size
        return Projector(self.config.vision_width, self.config.projector_width, out)

    def total(self, videos: Videos, prompts: Prompts) -> int:
        """Tokens of all prompts of a batch."""
        return sum(num_visual_tokens(self.config, videos.lengths[video]) for video in prompts.video)

    def without_question(self, videos: Videos) -> list[Any]:
        """What depends neither on the question nor on any weight, for each video.

        Made once, it serves every question on a video, every epoch, and every model with the same clustering.
        """
        raise NotImplementedError(f"{type(self).__name__} makes nothing without the question; see question_free")


class TextGuidedEncoder(FrameEncoder):
    """An encoder with the Q-Former and the context attention."""

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        self.text_encoder = TextEncoder(config.qformer_config, config.num_query_tokens, config.vision_width)
        self.context_attention = ContextAttention(config.qformer_config.hidden_size, config.vision_width)

    @property
    def dtype(self) -> torch.dtype:
        """Compute type of the connector: that of its norm, as a quantised layer has none of its own."""
        return self.text_encoder.ln_vision.weight.dtype

    @property
    def content_first(self) -> bool:
        """Whether the content token of a frame stands before its context token."""
        return self.config.rod_order == "content_first"


@dataclass(frozen=True)
class Prototypes:
    """What DynFocus makes of one video of T frames before any question: clusters and prototypes, which have no weights.

    objects: of its T frames; prototypes (L, P, d), frames (L,) and labels (T,) as in `Events`, None without selection.
    """

    objects: Objects
    prototypes: Tensor | None
    frames: Tensor | None
    labels: Tensor | None


def joined(known: Sequence[Prototypes], device: torch.device) -> tuple[Objects, Events | None]:
    """The prototypes of a batch of videos: objects packed, events padded to the longest."""

    def packed(name: str) -> Tensor | None:
        parts = [getattr(one.objects, name) for one in known]
        return None if parts[0] is None else torch.cat([part.to(device) for part in parts])

    def padded(name: str, fill: int) -> Tensor:
        return pad_sequence([getattr(one, name).to(device) for one in known], True, fill)

    objects = Objects(**{field.name: cast(Tensor, packed(field.name)) for field in fields(Objects)})
    if known[0].prototypes is None:
        return objects, None
    counts = [len(one.frames) for one in known if one.frames is not None]
    exists = on_the_device([[slot < count for slot in range(max(counts))] for count in counts], device)
    return objects, Events(padded("prototypes", 0), padded("frames", 0), exists, padded("labels", -1))


@dataclass(frozen=True)
class Encoding:
    """Everything that DynFocus made of a batch: tokens (Σ tokens, D) and the parts that `explain` shows."""

    tokens: Tensor
    objects: Objects
    gate: Tensor | None
    events: Events | None
    selection: Selection | None
    cone_frames: Tensor
    attention: Tensor


class DynFocusEncoder(TextGuidedEncoder):
    """DPE and CCE (paper section 3) with the variants of Tables 5 and 6 and of the rod / cone ablation."""

    question_free = True

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        coarse = object_prototypes(config)[1]
        cones = fine_tokens(config) > 0
        joins = config.cone_tokens == "full"
        chooses = config.cone_tokens != "none"
        self.selection = DynamicSelection(config, config.vision_width) if chooses else None
        self.gate = GroupGate(coarse) if coarse and config.group_gate else None
        self.fusion = SoftFusion(config.vision_width) if joins and config.fusion == "cross_attention" else None
        self.fine_projector = self.projector() if cones else None
        self.coarse_projector = self.projector()

    def forward(self, videos: Videos, prompts: Prompts, known: Sequence[Prototypes] | None = None) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts."""
        return self.encode(videos, prompts, known).tokens

    def encode(self, videos: Videos, prompts: Prompts, known: Sequence[Prototypes] | None = None) -> Encoding:
        """Tokens of all prompts with the prototypes, scores and choices behind them."""
        device = videos.frames.device
        rows = Rows.of(videos.lengths, prompts.video, device)  # R pairs of a frame and a question, of F frames in all
        objects, events = self.prototypes(videos) if known is None else joined(known, device)  # (F, I, d); (V, L, P, d)
        gate = None if self.gate is None else self.gate(objects)  # (F, I)
        selection = fine = None
        cone_frames = videos.starts[:0]  # no cone yet
        if self.selection is not None and events is not None:
            selection = self.selection(events, videos.lengths)
            fine, cone_frames = self.cones(videos, events, selection, objects, gate)  # (C, P + I, D), (C,)
        queries = self.text_encoder(videos.frames, prompts, rows)  # (R, 32, h)
        attention = self.context_attention(queries, objects.tokens, gate, rows)  # A (F, per_frame, I)
        context = read_objects(attention, objects.tokens, gate, rows)  # Avg(E) (R, d)
        # One call for both: a content token is the same for every question on its frame, so it is projected once.
        coarse = self.coarse_projector(torch.cat([context, content_tokens(objects.tokens, gate)]))  # (R + F, D)
        context, content = coarse.split([len(rows), rows.frames])
        tokens = cooperative_sequence(
            context,
            content,
            fine,
            cone_frames,
            rows,
            (coarse_tokens(self.config), self.config.rod_tokens),
            self.total(videos, prompts),
            self.content_first,
        )
        return Encoding(tokens, objects, gate, events, selection, cone_frames, attention)

    @property
    def tokens_per_cone(self) -> int:
        """Tokens of one cone frame, 40 in the paper."""
        return cone_frame_tokens(self.config)

    def prototypes(self, videos: Videos) -> tuple[Objects, Events | None]:
        """S-DPC of all frames and T-DPC of all videos of a batch."""
        objects = object_prototypes_of(videos.frames, self.config, self.dtype)
        return objects, None if self.selection is None else self.events(videos)

    def events(self, videos: Videos) -> Events:
        """T-DPC of all videos of a batch."""
        pooled = videos.pad(pool_patches(videos.frames, self.config.grid, self.config.pooled_grid))
        return estimate_events(pooled, videos.mask if videos.ragged else None, self.config)

    def without_question(self, videos: Videos) -> list[Prototypes]:
        """The prototypes of each video, made of it alone: they are the same whatever else is in the batch."""
        made = []
        for frames in videos.frames.split(videos.lengths):
            alone = torch.ones(1, len(frames), dtype=torch.bool, device=frames.device)
            objects, events = self.prototypes(Videos(frames, alone, (len(frames),)))
            parts = (None,) * 3 if events is None else (events.prototypes[0], events.frames[0], events.labels[0])
            made.append(Prototypes(objects, *parts))
        return made

    def cones(
        self, videos: Videos, events: Events, selection: Selection, objects: Objects, gate: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """U_fine (C, n, D) of the C cones of a batch, None where they have none, and their packed frames (C,).

        h = P_σ m carries the gradient to the scores; the object prototypes are gathered with the detached P_σ.
        """
        source = videos.starts[:, None] + events.frames  # (V, L): the packed frame of each prototype
        video, slot = cone_slots(selection.counts, videos.frames.device)
        cone_frames = source[video, selection.chosen[video, slot]]  # (C,)
        if self.fine_projector is None:
            return None, cone_frames
        if self.config.cone_tokens == "patches":
            joined = mix(selection.indicator, videos.frames[source].to(self.dtype))[video, slot]
            return self.fine_projector(joined), cone_frames
        h = mix(selection.indicator, events.prototypes.to(self.dtype))[video, slot]  # (C, P, d)
        grains = objects.tokens[source]  # (V, L, I, d)
        if gate is not None:
            grains = grains * gate[source][..., None]
        grains = mix(selection.indicator.detach(), grains)[video, slot]  # (C, I, d)
        joined = torch.cat([h, grains], dim=1) if self.fusion is None else self.fusion(h, grains)
        return self.fine_projector(joined), cone_frames


def cone_slots(counts: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Video and slot (C,) of every cone of a batch whose videos have `counts` cones."""
    cones = [(video, slot) for video, count in enumerate(counts) for slot in range(count)]
    video, slot = on_the_device(cones, device).unbind(1)
    return video, slot


def mix(indicator: Tensor, values: Tensor) -> Tensor:
    """P_σ applied to the values (V, L, n, d) of the prototypes: (V, K, n, d)."""
    return torch.bmm(indicator.to(values.dtype), values.flatten(2)).unflatten(2, values.shape[2:])


class TwoTokenEncoder(TextGuidedEncoder):
    """Two tokens per frame: context attention over all N patches, and their mean.

    With one projector for both this is DynFocus without DPE+CCE (`two_token`); with a linear map for the context token
    and an MLP for the content token it is LLaMA-VID (`llama_vid`).
    """

    def __init__(self, config: DynFocusConfig):
        super().__init__(config)
        separate = config.encoder == "llama_vid"
        out = config.text_config.hidden_size
        self.coarse_projector = nn.Linear(config.vision_width, out) if separate else self.projector()
        self.fine_projector = self.projector() if separate else None

    def forward(self, videos: Videos, prompts: Prompts, known: None = None) -> Tensor:
        """Tokens (Σ tokens, D) of all prompts."""
        rows = Rows.of(videos.lengths, prompts.video, videos.frames.device)
        queries = self.text_encoder(videos.frames, prompts, rows)
        patches = videos.frames.to(self.dtype)
        context = read_objects(self.context_attention(queries, patches, None, rows), patches, None, rows)
        content = content_tokens(patches, None)
        if self.fine_projector is None:
            context, content = self.coarse_projector(torch.cat([context, content])).split([len(rows), rows.frames])
        else:
            context, content = self.coarse_projector(context), self.fine_projector(content)
        total = self.total(videos, prompts)
        nothing = videos.starts[:0]
        return cooperative_sequence(context, content, None, nothing, rows, (2, 2), total, self.content_first)
