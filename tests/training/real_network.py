"""Tiny random backbones, from which the real network is built on the toy world's features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from toy_network import FRAMES, GRID, WIDTH, llama_tokenizer, prompt_tokenizer
from transformers import InstructBlipQFormerConfig, LlamaConfig, LlamaForCausalLM

from dynfocus.backbones import qformer
from dynfocus.config.schema import Network
from dynfocus.network import dpe
from dynfocus.network.text_encoder import TextEncoder
from dynfocus.training.callbacks import LiveLine

# Every toy film has more frames than event prototypes, so Top-K has the same shape in any split of a batch.
NETWORK = Network(
    grid=GRID, pooled_grid=2, event_prototypes=FRAMES[0] - 1, fine_prototypes=4, coarse_prototypes=2, projector_width=16
)


def write_backbones(folder: Path) -> None:
    """`llm/` and `qformer/` of the real network."""
    torch.manual_seed(0)
    tokenizer = llama_tokenizer()
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder / "llm")
    tokenizer.save_pretrained(folder / "llm")
    words = prompt_tokenizer()
    config = InstructBlipQFormerConfig(
        **shape,
        vocab_size=len(words),
        encoder_hidden_size=WIDTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    (folder / "qformer").mkdir()
    qformer.save(TextEncoder(config, 4, WIDTH), words, folder / "qformer")


def share_draws(patch: pytest.MonkeyPatch) -> None:
    """The same Gaussian draws of the perturbed Top-K for every video: the split of a batch then changes nothing."""
    own = dpe.perturbed_topk

    def shared(scores, counts, *rest):
        rows = [
            own(scores[i : i + 1], counts[i : i + 1], *rest, generator=torch.Generator().manual_seed(0))
            for i in range(len(scores))
        ]
        return torch.cat(rows)

    patch.setattr(dpe, "perturbed_topk", shared)


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """Ctrl-C in the training within, when it has logged what comes before this step."""
    original = LiveLine.on_log

    def stop(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KeyboardInterrupt
        original(self, args, state, control, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LiveLine, "on_log", stop)
        yield
