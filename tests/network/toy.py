"""A toy model and batches for the network tests: 64 patches of width 48, an LLM of width 64."""

import torch
from transformers import InstructBlipQFormerConfig, LlamaConfig

from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, expand_image_tokens, pad_ids, pad_videos

IMAGE, PATCHES, WIDTH = 99, 64, 48


def toy_config(llm=None, layers=2, **network):
    """A configuration with L = 6; `network` overrides fields, `llm` the LLM's configuration."""
    text = llm or LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=100,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    qformer = InstructBlipQFormerConfig(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=50,
        encoder_hidden_size=WIDTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    fields = {"grid": 8, "event_prototypes": 6, "projector_width": 64, "perturbations": 50, **network}
    return DynFocusConfig(
        text_config=text,
        qformer_config=qformer,
        num_query_tokens=4,
        vision_width=WIDTH,
        image_token_id=IMAGE,
        **fields,
    )


def toy_model(**options):
    """An untrained toy model in evaluation mode."""
    return DynFocusForConditionalGeneration(toy_config(**options)).eval()


def toy_samples(lengths=(9, 1, 7), rounds=(2, 1, 1), seed=3):
    """One sample per video: its features, its prompts and words around its image slots."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for index, (length, count) in enumerate(zip(lengths, rounds, strict=True)):
        words = torch.randint(2, 90, (3 + 2 * index,), generator=generator).tolist()
        prompts = [torch.randint(1, 50, (3 + r + index,), generator=generator).tolist() for r in range(count)]
        samples.append((torch.randn(length, PATCHES, WIDTH, generator=generator), prompts, words))
    return samples


def toy_batch(model, samples, side="left"):
    """Model inputs of samples, padded on one side."""
    rows, prompts, owners = [], [], []
    for index, (features, own, words) in enumerate(samples):
        ids = list(words)
        for round_index in range(len(own)):
            ids += [IMAGE, 5 + round_index]
        rows.append(expand_image_tokens(ids, [model.num_visual_tokens(len(features))] * len(own), IMAGE))
        prompts += own
        owners += [index] * len(own)
    input_ids, attention_mask = pad_ids(rows, 0, side)
    prompt_ids, prompt_mask = pad_ids(prompts, 0, "right")
    features, mask = pad_videos([sample[0] for sample in samples])
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "video_features": features,
        "video_mask": mask,
        "prompt_input_ids": prompt_ids,
        "prompt_attention_mask": prompt_mask,
        "prompt_video": torch.tensor(owners),
    }
