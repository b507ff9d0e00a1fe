"""LLM families by configuration alone: fetched, trained in both stages, cut and resumed, and asked a question.

Tiny random weights under the families' real architectures, special tokens and generation settings.
"""

from __future__ import annotations

import json

import pytest
import torch
from real_network import NETWORK, interrupted_at, write_backbones
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from toy_network import WIDTH, WORDS, llama_tokenizer, toy_config, write_world
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from dynfocus.backbones import llm as llm_backbone
from dynfocus.config.schema import Evaluation, LlmBackbone
from dynfocus.evaluation.answerers.own import OwnModel
from dynfocus.training.stage import train_stage

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = {
    "vicuna": (
        "llama",
        {"num_key_value_heads": 2, "max_position_embeddings": 4096},
        {"max_length": 4096, "pad_token_id": 0, "temperature": 0.9, "top_p": 0.6},
    ),
    "qwen2.5": (
        "qwen2",
        {"num_key_value_heads": 1, "tie_word_embeddings": True, "max_position_embeddings": 32768},
        {"do_sample": True, "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
    ),
    "qwen3": (
        "qwen3",
        {"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 40960},
        {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
    ),
    "smollm2": ("llama", {"num_key_value_heads": 1, "tie_word_embeddings": True, "max_position_embeddings": 8192}, {}),
}


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """Qwen's and SmolLM2's kind: bytes, no beginning token, turns that end with <|im_end|>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [WORDS] * 20, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def publish(family: str, folder) -> None:
    """A family's folder as on the hub."""
    kind, shape, generation = FAMILIES[family]
    tokenizer = llama_tokenizer() if family == "vicuna" else byte_level_tokenizer()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, **shape, **ids, vocab_size=len(tokenizer))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(ids | generation))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_from_its_files_to_an_answer(family, tmp_path, capsys):
    publish(family, tmp_path / "hub")
    write_world(tmp_path)
    (tmp_path / "backbones").rmdir()
    write_backbones(tmp_path / "backbones")
    llm_backbone.fetch(LlmBackbone(source="hub", name=str(tmp_path / "hub")), tmp_path / "backbones/llm")
    config = toy_config(tmp_path, network=NETWORK, epochs=1)
    frozen = config.alignment.model_copy(update={"trainable": ["projectors"]})
    config = config.model_copy(update={"alignment": frozen})
    data, features = tmp_path / "data", tmp_path / "features"
    one, two = tmp_path / "one", tmp_path / "two"
    train_stage(config, family, "alignment", 0, data, features, tmp_path / "backbones", one, tmp_path / "work/one")
    with interrupted_at(4):
        train_stage(config, family, "instruction", 0, data, features, one, two, tmp_path / "work/two")
    train_stage(config, family, "instruction", 0, data, features, one, two, tmp_path / "work/two")
    assert "resuming from checkpoint-" in capsys.readouterr().err
    model = OwnModel(two, torch.device("cpu"), torch.float32)
    film = torch.randn(5, NETWORK.grid**2, WIDTH, generator=torch.Generator().manual_seed(1))
    ask = ["what colour is the ball"], ["what colour is the ball"], [film], [0], Evaluation(max_new_tokens=6)
    first, again = model.reply(*ask), model.reply(*ask)
    assert first == again, "decoding is greedy whatever the family's own settings say"
