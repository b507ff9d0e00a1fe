"""Tiny random-weight models with their processors, saved as checkpoint folders."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    InstructBlipQFormerConfig,
    LlamaConfig,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaNextVideoProcessor,
    LlavaNextVideoVideoProcessor,
    PreTrainedTokenizerFast,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
    VideoLlavaImageProcessor,
    VideoLlavaProcessor,
    VideoLlavaVideoProcessor,
)

from dynfocus.config.schema import Network
from dynfocus.network import DynFocusConfig, DynFocusForConditionalGeneration, DynFocusProcessor, add_image_token

PATCHES, WIDTH = 16, 12
NETWORK = {
    "grid": 4,
    "pooled_grid": 2,
    "event_prototypes": 3,
    "selection_ratio": 0.5,
    "temporal_neighbours": 2,
    "fine_prototypes": 3,
    "coarse_prototypes": 2,
    "fine_neighbours": 2,
    "coarse_neighbours": 1,
    "perturbations": 8,
    "projector_width": 16,
}


def character_tokenizer(*extra: str) -> PreTrainedTokenizerFast:
    """One token per printable character, `<s>` in front."""
    special = ["<pad>", "<s>", "</s>", "<unk>", *extra]
    vocabulary = {token: index for index, token in enumerate(special)}
    for character in map(chr, range(32, 127)):
        vocabulary.setdefault(character, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace("\n", " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    if extra:
        fast.add_special_tokens({"additional_special_tokens": list(extra)})
    return fast


def text_config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.5,
    )


def own_model(folder: Path, says: str = "", **network) -> None:
    """A DynFocus checkpoint; features of its videos have shape (T, 16, 12).

    With `says`, the first token of a reply is one of these characters.
    """
    torch.manual_seed(0)
    tokenizer = character_tokenizer()
    image_token_id = add_image_token(tokenizer)
    qformer = InstructBlipQFormerConfig(
        vocab_size=120,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        encoder_hidden_size=WIDTH,
        max_position_embeddings=256,
    )
    config = DynFocusConfig.from_sections(
        Network(**NETWORK | network),
        text_config(len(tokenizer)),
        qformer,
        vision_width=WIDTH,
        num_query_tokens=4,
        image_token_id=image_token_id,
        max_prompt_tokens=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = DynFocusForConditionalGeneration(config)
    if says:
        silent = torch.ones(len(tokenizer), dtype=torch.bool)
        silent[tokenizer.convert_tokens_to_ids(list(says))] = False
        with torch.no_grad():
            model.get_output_embeddings().weight[silent] = 0.0
    model.save_pretrained(folder)
    DynFocusProcessor(tokenizer, character_tokenizer(), config).save_pretrained(folder)


def clip(folder: Path) -> None:
    """A visual encoder with random weights for `own_model`: pictures of 16 x 16 pixels, 16 patches, 12 channels."""
    from dynfocus.network.clip import build, save

    torch.manual_seed(0)
    shape = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": WIDTH, "layers": 2, "head_width": 6},
        "text_cfg": {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 2, "layers": 1},
    }
    save(build(shape), shape, folder)


def features(folder: Path, videos: dict[str, int]) -> None:
    """A feature store of one shard: random features, `videos` maps an id to its number of frames."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for video, frames in videos.items():
        tensors[video] = torch.randn(frames, PATCHES, WIDTH, generator=generator)
        tensors[f"{video}.frames"] = torch.arange(frames)
    save_file(tensors, folder / "shard-0-of-1.safetensors")


def vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )


def video_llava(folder: Path) -> None:
    """Video-LLaVA with random weights; 28 x 28 frames of four patches."""
    torch.manual_seed(0)
    tokenizer = character_tokenizer("<image>", "<video>")
    vocabulary = len(tokenizer)
    config = VideoLlavaConfig(
        vision_config=vision_config(),
        text_config=text_config(vocabulary),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_seq_length=4,
        video_seq_length=5 * 8,
    )
    VideoLlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**size),
        video_processor=VideoLlavaVideoProcessor(**size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="full",
    ).save_pretrained(folder)


def llava_next_video(folder: Path) -> None:
    """LLaVA-NeXT-Video with random weights; 28 x 28 frames, pooled to one token each."""
    from transformers import LlavaNextImageProcessor

    torch.manual_seed(0)
    tokenizer = character_tokenizer("<image>", "<video>")
    config = LlavaNextVideoConfig(
        vision_config=vision_config(),
        text_config=text_config(len(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[28, 28]],
        spatial_pool_stride=2,
        image_seq_length=4,
        video_seq_length=32,
    )
    LlavaNextVideoForConditionalGeneration(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    LlavaNextVideoProcessor(
        image_processor=LlavaNextImageProcessor(**size, image_grid_pinpoints=[[28, 28]]),
        video_processor=LlavaNextVideoVideoProcessor(**size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
    ).save_pretrained(folder)
