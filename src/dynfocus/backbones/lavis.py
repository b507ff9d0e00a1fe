"""Checkpoints in the key layout of LAVIS, the library that BLIP-2 and InstructBLIP were published with.

    eva_vit_g.pth                        the visual encoder: cls_token, pos_embed, patch_embed.proj.*, blocks.{i}.*
    instruct_blip_vicuna7b_trimmed.pth   {"model": {Qformer.bert.*, query_tokens, ln_vision.*, llm_proj.*}}

The visual names are those of timm's EVA, the trunk of open_clip's. The Q-Former is a BERT in LAVIS and
`InstructBlipQFormerModel` in transformers; `ln_vision` and the queries keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor
from transformers import InstructBlipQFormerConfig

from dynfocus.errors import UserError

TRUNK = "visual.trunk."
EVA_NAMES = re.compile(
    r"cls_token|pos_embed|patch_embed\.proj\.(weight|bias)"
    r"|blocks\.\d+\.(norm[12]\.(weight|bias)|attn\.(q_bias|v_bias|qkv\.weight|proj\.(weight|bias))|mlp\.fc[12]\.(weight|bias))"
)
UNREAD = ("norm.", "head.", "fc_norm.")
"""What comes after the blocks, which the penultimate features do not need and LAVIS's file may lack."""
BERT = "Qformer.bert."
QFORMER_RENAMES = (
    (re.compile(r"^embeddings\.LayerNorm\."), "embeddings.layernorm."),
    (re.compile(r"\.(attention|crossattention)\.self\."), r".\1.attention."),
)
BUFFERS = ("embeddings.position_ids",)
TOKENIZER = "bert-base-uncased"
HEAD_WIDTH = 64
"""Width of an attention head in BERT of any size; a checkpoint does not say it."""


def open_clip_names(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The tensors of `eva_vit_g.pth` under the names of open_clip's EVA; UserError for an unknown name."""
    unknown = [name for name in state if not EVA_NAMES.fullmatch(name) and not name.startswith(UNREAD)]
    if unknown:
        raise UserError(f"{source}: {unknown[0]} is no tensor of an EVA visual encoder in LAVIS's layout; wrong file?")
    return {TRUNK + name: value for name, value in state.items() if not name.startswith(UNREAD)}


def text_encoder_names(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Q-Former, queries and norm of an InstructBLIP checkpoint under the names of `TextEncoder`; the rest is left out.

    Raises:
        UserError: no InstructBLIP checkpoint: a part is missing, or it is BLIP-2's, whose Q-Former reads no text.
    """
    found = {f"qformer.{qformer_name(name)}": value for name, value in state.items() if name.startswith(BERT)}
    found = {name: value for name, value in found.items() if not name.endswith(BUFFERS)}
    found |= {name: state[name] for name in ("query_tokens", "ln_vision.weight", "ln_vision.bias") if name in state}
    for needed in ("qformer.embeddings.word_embeddings.weight", "query_tokens", "ln_vision.weight", "ln_vision.bias"):
        if needed not in found:
            raise UserError(f"{source}: no {needed} in LAVIS's layout; give an InstructBLIP checkpoint")
    if "qformer.encoder.layer.0.intermediate.dense.weight" not in found:
        raise UserError(
            f"{source}: the Q-Former has no feed-forward for text: a BLIP-2 checkpoint; give InstructBLIP's, "
            "instruct_blip_vicuna7b_trimmed.pth"
        )
    return found


def qformer_name(name: str) -> str:
    """`Qformer.bert.encoder.layer.0.attention.self.query.weight` as transformers' Q-Former names it."""
    name = name.removeprefix(BERT)
    for pattern, replacement in QFORMER_RENAMES:
        name = pattern.sub(replacement, name)
    return name


def qformer_config(tensors: Mapping[str, Tensor]) -> InstructBlipQFormerConfig:
    """The shape of a Q-Former from its tensors, under the names of `TextEncoder`."""
    words, hidden = tensors["qformer.embeddings.word_embeddings.weight"].shape
    layers = [int(match[1]) for name in tensors if (match := re.match(r"qformer\.encoder\.layer\.(\d+)\.", name))]
    crossing = sorted({int(name.split(".")[3]) for name in tensors if ".crossattention." in name})
    return InstructBlipQFormerConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=max(1, hidden // HEAD_WIDTH),
        intermediate_size=tensors["qformer.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=tensors["qformer.embeddings.position_embeddings.weight"].shape[0],
        cross_attention_frequency=crossing[1] - crossing[0] if len(crossing) > 1 else max(layers) + 1,
        encoder_hidden_size=tensors[f"qformer.encoder.layer.{crossing[0]}.crossattention.attention.key.weight"].shape[
            1
        ],
    )
