"""A toy network, processor, feature store and data set with the interfaces that training uses.

`modules()` puts them in place of `dynfocus.network` and `dynfocus.features.store`, so that these tests depend on
training alone.
"""

from __future__ import annotations

import csv
import json
import types
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dynfocus.config.schema import Config, Hardware, Network, Stage

GRID, WIDTH = 4, 8
FRAMES = (4, 5, 6, 7)
WORDS = "red blue green ball cube cone rolls stops turns left right first then last is the a what colour how many"


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A Llama-style tokenizer: BPE over `▁`-marked text, `<s>` in front, byte fallback, media token added."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    corpus = [WORDS, "USER: ASSISTANT: The answer is A. There are several options: A chat between a curious user"] * 20
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=420, special_tokens=special))
    # Llama's own: no pre-tokenizer; no piece of its vocabulary crosses a word boundary.
    tokenizer.pre_tokenizer = None
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return fast


def prompt_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer in place of the text encoder's."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: 2 + index for index, word in enumerate(WORDS.split())}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


class ToyProcessor:
    """Both tokenizers, saved as two folders; `tokens_per_frame` visual tokens per frame."""

    def __init__(self, tokenizer, qformer_tokenizer, tokens_per_frame=2):
        self.tokenizer, self.qformer_tokenizer = tokenizer, qformer_tokenizer
        self.tokens_per_frame = tokens_per_frame
        self.image_token_id = tokenizer.convert_tokens_to_ids("<image>")

    def expand(self, ids, frames):
        assert ids.count(self.image_token_id) == len(frames)
        count = iter(frames)
        return [
            token
            for one in ids
            for token in [one] * (self.tokens_per_frame * next(count) if one == self.image_token_id else 1)
        ]

    def encode_prompts(self, prompts):
        encoded = self.qformer_tokenizer(prompts, padding="longest", return_tensors="pt")
        return {"prompt_input_ids": encoded.input_ids, "prompt_attention_mask": encoded.attention_mask}

    def save_pretrained(self, folder):
        self.tokenizer.save_pretrained(Path(folder) / "llm")
        self.qformer_tokenizer.save_pretrained(Path(folder) / "text")

    @classmethod
    def from_pretrained(cls, folder):
        names = ("llm", "text")
        return cls(*(PreTrainedTokenizerFast.from_pretrained(Path(folder) / name) for name in names))


class ToyNetwork(LlamaForCausalLM):
    """A tiny Llama whose media slots hold projected frame means; noise in training stands for the perturbed Top-K."""

    noise = 0.01

    def __init__(self, config):
        super().__init__(config)
        self.projector = nn.Linear(WIDTH, config.hidden_size)
        self.selector = nn.Embedding(64, WIDTH)
        self.post_init()

    def num_visual_tokens(self, frames: int) -> int:
        return 2 * frames

    def parts(self):
        names = [name for name, _ in self.named_parameters()]
        groups = {"projectors": "projector.", "dpe_cce": "selector."}
        found = {part: [name for name in names if name.startswith(start)] for part, start in groups.items()}
        return found | {"llm": [name for name in names if not name.startswith(tuple(groups.values()))]}

    def remember(self):
        """Nothing to keep."""

    def set_trainable(self, parts):
        for part, names in self.parts().items():
            for name in names:
                self.get_parameter(name).requires_grad_(part in parts)

    def forward(
        self,
        input_ids,
        attention_mask,
        video_features=None,
        video_mask=None,
        prompt_input_ids=None,
        prompt_attention_mask=None,
        prompt_video=None,
        video_names=None,
        logits_to_keep=0,
    ):
        embeddings = self.model.embed_tokens(input_ids)
        if prompt_video is not None:
            asked = self.selector(prompt_input_ids).mul(prompt_attention_mask[..., None]).sum(1)
            frames = video_features.mean(2)[prompt_video] + asked[:, None]
            frames = frames + self.noise * torch.randn_like(frames) * self.training
            tokens = self.projector(frames).repeat_interleave(2, dim=1)
            tokens = tokens[video_mask[prompt_video].repeat_interleave(2, dim=1)]
            slots = input_ids == self.config.image_token_id
            embeddings = embeddings.masked_scatter(slots[..., None], tokens)
        return super().forward(inputs_embeds=embeddings, attention_mask=attention_mask, logits_to_keep=logits_to_keep)


def build_model(config, backbones, dtype=torch.float32):
    """A toy network with fresh weights, which follow from torch's seed."""
    tokenizer = llama_tokenizer()
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    text.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    return ToyNetwork(text).to(dtype), ToyProcessor(tokenizer, prompt_tokenizer())


class ToyStore:
    """Feature store of one safetensors file."""

    def __init__(self, folder):
        self.tensors = load_file(Path(folder) / "shard-0-of-1.safetensors")

    def __contains__(self, name):
        return name in self.tensors

    def get(self, name):
        return self.tensors[name]

    def frames(self, name):
        return torch.arange(len(self.tensors[name]))


def modules() -> dict[str, types.ModuleType]:
    """The toys as modules in place of `dynfocus.network` and `dynfocus.features.store`, for `sys.modules`."""
    network = types.ModuleType("dynfocus.network")
    network.DynFocusConfig = LlamaConfig
    network.DynFocusForConditionalGeneration, network.DynFocusProcessor = ToyNetwork, ToyProcessor
    build = types.ModuleType("dynfocus.network.build")
    build.build_model = build_model
    shards = types.ModuleType("dynfocus.features.store")
    shards.FeatureStore = ToyStore
    return {"dynfocus.network": network, "dynfocus.network.build": build, "dynfocus.features.store": shards}


def write_world(root: Path, films: int = 24, missing: int = 0) -> None:
    """Captions (webvid_cap) and questions of two rounds (webvid_qa) on `films` films of 4 to 7 frames, with features.

    The first `missing` films have no features.
    """
    generator = torch.Generator().manual_seed(0)
    names = [f"{number:03d}" for number in range(films)]
    colours = ("red", "blue", "green")
    features = {
        f"videos/p/{name}.mp4": torch.randn(FRAMES[index % len(FRAMES)], GRID**2, WIDTH, generator=generator)
        for index, name in enumerate(names)
    }
    kept = dict(list(features.items())[missing:])
    kept |= {f"{name}.frames": torch.arange(len(values)) for name, values in kept.items()}
    for folder in ("webvid_cap", "webvid_qa"):
        (root / "features" / folder).mkdir(parents=True)
        save_file(kept, root / "features" / folder / "shard-0-of-1.safetensors")
    part = root / "data/webvid_cap/results_2M_train_50/0.csv"
    part.parent.mkdir(parents=True)
    with part.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["videoid", "name", "page_dir"])
        writer.writerows([name, f"the {colours[i % 3]} ball rolls", "p"] for i, name in enumerate(names))
    rows = [
        {
            "video": f"p/{name}.mp4",
            "QA": [
                {"i": "", "q": "what colour is the ball", "a": colours[i % 3]},
                {"i": "", "q": "how many", "a": str(i % 4)},
            ],
        }
        for i, name in enumerate(names)
    ]
    (root / "data/webvid_qa").mkdir(parents=True)
    (root / "data/webvid_qa/train.json").write_text(json.dumps(rows))
    (root / "backbones").mkdir()


def toy_config(root: Path, processes: int = 1, network: Network | None = None, **changes) -> Config:
    """Both stages on the toy world; `changes` apply to both."""
    common = {
        "global_batch": 4,
        "micro_batch": 4,
        "learning_rate": 1e-2,
        "zero_stage": 1,
        "precision": "fp32",
        "gradient_checkpointing": False,
        "epochs": 2,
        "save_steps": 2,
    } | changes
    return Config(
        profile="toy",
        root=str(root),
        network=network or Network(),
        alignment=Stage(datasets=["webvid_cap"], trainable=["projectors", "dpe_cce"], **common),
        instruction=Stage(datasets=["webvid_qa"], trainable=["projectors", "dpe_cce", "llm"], **common),
        hardware=Hardware(device="cpu", gpus=0, processes=processes, threads=1),
    )
