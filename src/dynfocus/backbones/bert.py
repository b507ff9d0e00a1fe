"""A text encoder for a visual encoder that InstructBLIP's Q-Former was not trained with: it starts from BERT.

BLIP-2 starts its Q-Former in the same way: embeddings, self-attention and both feed-forward halves are BERT's; the
queries, the cross-attention and the norm of the visual features are new, and learn in the instruction stage.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, InstructBlipQFormerConfig, PreTrainedTokenizerBase

from dynfocus.backbones.weights import split_revision
from dynfocus.errors import UserError
from dynfocus.machine.faults import reason_of
from dynfocus.network.text_encoder import TextEncoder

QUERIES = 32
DECODER_TOKEN = "[DEC]"


def text_encoder_from_bert(name: str, width: int) -> tuple[TextEncoder, PreTrainedTokenizerBase]:
    """A Q-Former for features of width `width` with the weights of a BERT (hub id or folder), and its tokenizer.

    The new weights are drawn from torch's current seed. Raises UserError when there is no BERT of that name.
    """
    from transformers import AutoTokenizer

    model, commit = split_revision(name)
    revision = commit or "main"
    try:
        bert = BertModel.from_pretrained(model, revision=revision, add_pooling_layer=False, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(f"backbones.qformer.name: cannot load {name}: {reason_of(error)}") from error
    tokenizer.add_special_tokens({"bos_token": DECODER_TOKEN})
    tokenizer.truncation_side = "left"
    bert.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder = TextEncoder(qformer_config(bert.config, width), QUERIES, width)
    result = encoder.qformer.load_state_dict(qformer_weights(bert.state_dict()), strict=False)
    wrong = [key for key in result.missing_keys if "crossattention" not in key] + result.unexpected_keys
    if wrong:
        raise UserError(f"backbones.qformer.name: {name} does not fit a Q-Former: {wrong[0]}")
    return encoder, tokenizer


def qformer_config(bert: BertConfig, width: int) -> InstructBlipQFormerConfig:
    """A Q-Former of BERT's shape that reads features of width `width` in every second layer."""
    shared = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "max_position_embeddings",
        "layer_norm_eps",
        "pad_token_id",
    )
    return InstructBlipQFormerConfig(
        **{key: getattr(bert, key) for key in shared}, cross_attention_frequency=2, encoder_hidden_size=width
    )


def qformer_weights(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's weights under the names of transformers' Q-Former.

    The feed-forward weights serve queries and words. A Q-Former knows no token types: the embedding of type 0, which
    BERT adds to every word, becomes part of the word embeddings.
    """
    weights: dict[str, Tensor] = {}
    for name, value in bert.items():
        new = name.replace(".self.", ".attention.").replace("embeddings.LayerNorm", "embeddings.layernorm")
        weights[new] = value
        query = re.sub(r"^(encoder\.layer\.\d+\.)(intermediate|output)\.", r"\1\2_query.", new)
        if query != new:
            weights[query] = value.clone()
    types = weights.pop("embeddings.token_type_embeddings.weight")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"] + types[0]
    return {name: value for name, value in weights.items() if not name.endswith(("position_ids", "token_type_ids"))}
