"""What the network did with one video and one question: the data behind the paper's figures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynfocus.errors import UserError
from dynfocus.network.batch import Prompts, Videos
from dynfocus.network.encoders import DynFocusEncoder, Encoding, FrameEncoder


@dataclass(frozen=True)
class Explanation:
    """One video of T frames under one question; tensors on the CPU.

    prototype_of_frame (T,): the event prototype that each frame belongs to.
    prototype_frames (L,): the centre frame of each prototype, ascending.
    scores (L,): dynamic selection's scores in [0, 1]; empty where the variant selects nothing.
    chosen (K,): the selected prototypes, ascending.
    cones (T,) bool: b_t, whether a frame is a cone.
    tokens_per_frame (T,): visual tokens of each frame.
    fine_map (T, grid, grid): fine object prototype of each patch, numbered by its centre patch's place in the frame.
    coarse_map (T, grid, grid): coarse object prototype of each patch; None with one grain.
    gate (T, I): scale of each token of G_t; None without the group gate.
    attention (T, I): what the question reads: A averaged over the queries.
    """

    prototype_of_frame: Tensor
    prototype_frames: Tensor
    scores: Tensor
    chosen: Tensor
    cones: Tensor
    tokens_per_frame: Tensor
    fine_map: Tensor
    coarse_map: Tensor | None
    gate: Tensor | None
    attention: Tensor


def explain_encoding(encoder: FrameEncoder, videos: Videos, prompts: Prompts) -> Explanation:
    """Explanation of a batch of one video and one prompt. Raises UserError for another encoder or a larger batch."""
    if not isinstance(encoder, DynFocusEncoder):
        raise UserError(f"explain: the encoder {encoder.config.encoder!r} selects no frames; explain a dynfocus model")
    if len(videos.lengths) != 1 or len(prompts.video) != 1:
        raise UserError("explain: give one video and one question")
    with torch.no_grad():
        made = encoder.encode(videos, prompts)
    frames, grid = videos.lengths[0], encoder.config.grid
    cones = torch.zeros(frames, dtype=torch.bool)
    cones[made.cone_frames.cpu()] = True
    labels, centres, scores, chosen = _selection(made, frames)
    fine = made.objects.fine_labels
    coarse = made.objects.coarse_labels
    return Explanation(
        prototype_of_frame=labels,
        prototype_frames=centres,
        scores=scores,
        chosen=chosen,
        cones=cones,
        tokens_per_frame=torch.where(cones, encoder.tokens_per_cone, encoder.config.rod_tokens),
        fine_map=fine.view(frames, grid, grid).cpu(),
        coarse_map=None if coarse is None else coarse.gather(1, fine).view(frames, grid, grid).cpu(),
        gate=None if made.gate is None else made.gate.float().cpu(),
        attention=made.attention[:, 0].float().cpu(),
    )


def _selection(made: Encoding, frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels, centre frames, scores and chosen prototypes; without selection every frame is its own prototype."""
    if made.events is None or made.selection is None:
        every = torch.arange(frames)
        return every, every, torch.empty(0), every[:0]
    events, selection = made.events, made.selection
    return (
        events.labels[0].cpu(),
        events.frames[0][events.exists[0]].cpu(),
        selection.scores[0][events.exists[0]].float().cpu(),
        selection.chosen[0, : selection.counts[0]].cpu(),
    )
