"""Bookkeeping of one batch of videos and prompts: everything framewise runs once over the packed real frames.

V videos of T_v frames give F = Σ T_v packed frames. Q prompts, each on one video, give R = Σ_q T_{v(q)} rows: one row
per (frame, prompt) pair, frame by frame. What does not depend on the question is computed on frames, the rest on rows.

Two videos of 2 and 1 frames; prompts 0 and 2 ask about the first, prompt 1 about the second (`Rows`):

    frame      0   0   1   1   2        the packed frame of each row
    prompt     0   2   0   2   1        its prompt
    slot       0   1   2   3   4        frame · per_frame + place among the prompts of its video, per_frame = 2
    by_prompt  0   2   4   1   3        rows in the order in which their tokens are wanted: prompt 0, 1, 2

Lengths and owners are known on the host, and so are all these indices: nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from dynfocus.errors import UserError


def on_the_host(*tensors: Tensor) -> list[Tensor]:
    """Small tensors of whole numbers on the host; all that lie on a device come in one copy, waited for once."""
    away = [tensor for tensor in tensors if tensor.device.type != "cpu"]
    if not away:
        return list(tensors)
    flat = torch.cat([tensor.flatten().long() for tensor in away]).cpu()
    come = iter(flat.split([tensor.numel() for tensor in away]))
    return [
        tensor if tensor.device.type == "cpu" else next(come).view(tensor.shape).to(tensor.dtype) for tensor in tensors
    ]


def on_the_device(values: Tensor | Sequence[Any], device: torch.device) -> Tensor:
    """Small values of the host on a device, behind its queued work: a copy from pinned memory waits for nothing."""
    here = torch.as_tensor(values)
    if device.type == "cuda" and here.device.type == "cpu" and torch.cuda.is_available():
        here = here.pin_memory()
    return here.to(device, non_blocking=True)


@dataclass(frozen=True)
class Videos:
    """Packed frames (F, N, d) of a batch, video by video, with `mask` (V, T) of the padded layout and T_v per video."""

    frames: Tensor
    mask: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def from_padded(cls, features: Tensor, mask: Tensor) -> Videos:
        """Pack features (V, T, N, d) by their `mask` (V, T), padded on the right; without padding nothing is copied.

        A mask on the host saves waiting for the device.
        """
        host = mask.cpu()
        lengths = tuple(host.sum(1).tolist())
        if 0 in lengths:
            raise UserError(f"video {lengths.index(0)} of the batch has no frame; check video_mask")
        late = (host[:, 1:] & ~host[:, :-1]).any(1)
        if bool(late.any()):
            raise UserError(
                f"video {int(late.long().argmax())} of the batch has padding before a frame; pad on the right"
            )
        frames = features.flatten(0, 1)
        if sum(lengths) != host.numel():
            frames = frames.index_select(0, on_the_device(host.flatten().nonzero()[:, 0], features.device))
        return cls(frames, on_the_device(mask, features.device), lengths)

    def at(self, places: Sequence[int]) -> Videos:
        """Some of the videos, in the order of `places`."""
        parts = self.frames.split(self.lengths)
        lengths = tuple(self.lengths[place] for place in places)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return Videos(torch.cat([parts[place] for place in places]), on_the_device(mask, self.frames.device), lengths)

    @property
    def ragged(self) -> bool:
        """Whether the videos differ in length."""
        return sum(self.lengths) != self.mask.numel()

    def pad(self, x: Tensor) -> Tensor:
        """Framewise values (F, ...) as (V, T, ...), zero on padding."""
        if not self.ragged:
            return x.view(*self.mask.shape, *x.shape[1:])
        padded = x.new_zeros(self.mask.numel(), *x.shape[1:])
        return padded.index_copy(0, self.places, x).view(*self.mask.shape, *x.shape[1:])

    @property
    def places(self) -> Tensor:
        """Place (F,) of each packed frame in the flattened padded layout."""
        width = self.mask.shape[1]
        places = [video * width + frame for video, length in enumerate(self.lengths) for frame in range(length)]
        return on_the_device(places, self.frames.device)

    @property
    def starts(self) -> Tensor:
        """First packed frame (V,) of each video."""
        return on_the_device([0, *accumulate(self.lengths)][:-1], self.frames.device)


@dataclass(frozen=True)
class Prompts:
    """Questions for the text encoder: tokens (Q, W), their mask (Q, W; None: no padding), the video each one reads."""

    input_ids: Tensor
    attention_mask: Tensor | None
    video: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """The (frame, prompt) pairs of a batch, frame by frame, and how they group under their frames.

    frame, prompt (R,) long: the packed frame and the prompt of each row.
    slot (R,) long: place of each row in the grouped layout (frames, per_frame).
    by_prompt (R,) long: rows in the order of the prompts, each prompt's frames in time.
    frames, per_frame: packed frames, and the most prompts that one frame has.
    first (F + 1,): the first row of each frame, on the host.
    """

    frame: Tensor
    prompt: Tensor
    slot: Tensor
    by_prompt: Tensor
    frames: int
    per_frame: int
    first: tuple[int, ...]

    @classmethod
    def of(cls, lengths: tuple[int, ...], prompt_video: tuple[int, ...], device: torch.device) -> Rows:
        """Rows of prompts that read the videos `prompt_video` (Q,) of `lengths` frames; each video needs a prompt."""
        prompts_of: list[list[int]] = [[] for _ in lengths]
        for prompt, video in enumerate(prompt_video):
            prompts_of[video].append(prompt)
        if [] in prompts_of:
            raise UserError(f"video {prompts_of.index([])} of the batch is read by no prompt; check prompt_video")
        per_frame = max(map(len, prompts_of))
        rows: list[tuple[int, int, int]] = []  # frame, prompt, slot
        first = [0]
        rows_of: list[list[int]] = [[] for _ in prompt_video]
        for video, length in enumerate(lengths):
            for _ in range(length):
                frame = len(first) - 1
                for place, prompt in enumerate(prompts_of[video]):
                    rows_of[prompt].append(len(rows))
                    rows.append((frame, prompt, frame * per_frame + place))
                first.append(len(rows))
        by_prompt = [row for own in rows_of for row in own]
        columns = on_the_device([*zip(*rows, strict=True), by_prompt], device)
        return cls(columns[0], columns[1], columns[2], columns[3], sum(lengths), per_frame, tuple(first))

    def __len__(self) -> int:
        return self.frame.shape[0]

    @property
    def uniform(self) -> bool:
        """Whether all frames have the same number of prompts: then grouping is a view."""
        return len(self) == self.frames * self.per_frame

    def block(self, start: int, stop: int) -> Rows:
        """The rows of packed frames `start` to `stop`, without their order by prompt."""
        inside = slice(self.first[start], self.first[stop])
        return Rows(
            self.frame[inside] - start,
            self.prompt[inside],
            self.slot[inside] - start * self.per_frame,
            self.by_prompt[:0],
            stop - start,
            self.per_frame,
            tuple(row - self.first[start] for row in self.first[start : stop + 1]),
        )

    def group(self, x: Tensor) -> Tensor:
        """Values of rows (R, n, c) as (F, per_frame · n, c): all prompts of a frame side by side, zero for none."""
        if not self.uniform:
            x = x.new_zeros(self.frames * self.per_frame, *x.shape[1:]).index_copy(0, self.slot, x)
        return x.reshape(self.frames, self.per_frame * x.shape[1], *x.shape[2:])

    def ungroup(self, x: Tensor) -> Tensor:
        """Inverse of `group`: (F, per_frame · n, c) to (R, n, c)."""
        x = x.reshape(self.frames * self.per_frame, x.shape[1] // self.per_frame, *x.shape[2:])
        return x if self.uniform else x.index_select(0, self.slot)


def per_prompt(tokens: Tensor, counts: tuple[int, ...], prompt_video: tuple[int, ...]) -> Tensor:
    """Tokens of the prompts, in their order, from the tokens (Σ counts, D) of the videos."""
    if prompt_video == tuple(range(len(counts))):
        return tokens
    parts = tokens.split(list(counts))
    return torch.cat([parts[video] for video in prompt_video])
