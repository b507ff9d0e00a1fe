"""The text encoder: InstructBLIP's Q-Former with its queries and the norm of the visual features.

`train` makes a small one that reads a question and a picture of the mini world and points its
queries at the answer. `hub` takes the parts out of an InstructBLIP checkpoint. `bert` starts from
a BERT, for a visual encoder of another width. `lavis` reads `instruct_blip_vicuna7b_trimmed.pth`.
The folder holds `config.json`, `model.safetensors` (`qformer.*`, `query_tokens`, `ln_vision.*`)
and the tokenizer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import InstructBlipQFormerConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from dynfocus.backbones import lavis
from dynfocus.backbones.bert import DECODER_TOKEN, text_encoder_from_bert
from dynfocus.backbones.loop import optimize
from dynfocus.backbones.weights import first_fault, locator, read_checkpoint, read_parts, split_revision
from dynfocus.config.schema import Config, QformerBackbone
from dynfocus.errors import UserError
from dynfocus.evaluation.benchmarks import videohallucer
from dynfocus.files import read_json
from dynfocus.machine.faults import reason_of
from dynfocus.network import clip
from dynfocus.network.text_encoder import TextEncoder
from dynfocus.network.vision import load_vision_tower
from dynfocus.world.films import make_film
from dynfocus.world.questions import QA, ask
from dynfocus.world.render import show_frame
from dynfocus.world.seeds import film_seeds
from dynfocus.world.text import CHOICE_PROMPTS, DESCRIBE_PROMPTS
from dynfocus.world.training_sets import STILL_KINDS

STILLS = 1000
"""Different pictures; training passes over them as often as its steps need."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")


def prepare(config: Config, out: Path, clip_dir: Path) -> None:
    """Leave the text encoder of the configuration in `out`."""
    torch.set_num_threads(config.hardware.threads)
    settings = config.backbones.qformer
    if settings.source == "train":
        train(config, out, clip_dir)
    elif settings.source == "bert":
        torch.manual_seed(config.world.seed)
        encoder, tokenizer = text_encoder_from_bert(settings.name, feature_width(config, clip_dir))
        save(encoder, tokenizer, out)
    elif settings.source == "lavis":
        convert(settings, out)
    else:
        fetch(settings, out)


@torch.no_grad()
def feature_width(config: Config, clip_dir: Path) -> int:
    """d, the width of the visual encoder's patch features."""
    tower = load_vision_tower(clip.load(clip_dir).visual, config.backbones.clip.layer)
    size = config.video.image_size
    return tower(torch.zeros(1, 3, size, size)).shape[-1]


def save(encoder: TextEncoder, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write weights, configuration and tokenizer."""
    encoder.qformer.config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, out / "model.safetensors")


def fetch(settings: QformerBackbone, out: Path) -> None:
    """The Q-Former, its queries and the norm of an InstructBLIP model of the hub or of a folder.

    Of a model in several files only those that hold these parts are fetched.
    """
    from transformers import AutoTokenizer, InstructBlipConfig

    name, revision = split_revision(settings.name)
    try:
        config: Any = InstructBlipConfig.from_pretrained(name, revision=revision or "main")
        tokenizer = AutoTokenizer.from_pretrained(name, subfolder="qformer_tokenizer", revision=revision)
        tensors = read_parts(locator(settings.name), lambda key: _part_name(key) is not None)
    except (OSError, ValueError) as error:
        raise UserError(f"backbones.qformer.name: cannot load {settings.name}: {reason_of(error)}") from error
    if not tensors:
        raise UserError(
            f"backbones.qformer.name: {settings.name} has no Q-Former in safetensors; name an InstructBLIP model"
        )
    named = {str(_part_name(key)): value.float() for key, value in tensors.items()}
    save(assemble(named, config.qformer_config, settings.name), tokenizer, out)


def convert(settings: QformerBackbone, out: Path) -> None:
    """The text encoder in a LAVIS checkpoint; the tokenizer is `bert-base-uncased`, beside it or from the hub."""
    from transformers import AutoTokenizer

    file = Path(settings.name)
    where = f"backbones.qformer.name: {file}"
    tensors = lavis.text_encoder_names(read_checkpoint(file, "backbones.qformer.name"), where)
    beside = file.parent / lavis.TOKENIZER
    try:
        tokenizer = AutoTokenizer.from_pretrained(beside if beside.is_dir() else lavis.TOKENIZER)
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: needs the tokenizer of {lavis.TOKENIZER}; put its files into {beside}") from error
    tokenizer.add_special_tokens({"bos_token": DECODER_TOKEN})
    tokenizer.truncation_side = "left"
    config = lavis.qformer_config(tensors)
    if len(tokenizer) != config.vocab_size:
        raise UserError(
            f"{where}: has {config.vocab_size} words, its tokenizer {len(tokenizer)}; give the one of BERT uncased"
        )
    save(assemble({name: value.float() for name, value in tensors.items()}, config, settings.name), tokenizer, out)


def assemble(tensors: dict[str, torch.Tensor], config: InstructBlipQFormerConfig, source: str) -> TextEncoder:
    """The text encoder with exactly these weights, under its own names."""
    encoder = TextEncoder(config, tensors["query_tokens"].shape[1], tensors["ln_vision.weight"].shape[0])
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"backbones.qformer.name: {source} is not whole: {first_fault(error)}") from error
    return encoder


def _part_name(key: str) -> str | None:
    """A tensor of an InstructBLIP model under the name of `TextEncoder`; None for one that it does not need."""
    key = key.removeprefix("model.").replace("vision_model.post_layernorm.", "ln_vision.")
    if key.endswith(lavis.BUFFERS):
        return None
    return key if key.startswith(("qformer.", "ln_vision.")) or key == "query_tokens" else None


class Pointer(nn.Module):
    """The text encoder with a head over answers, which training needs and nobody keeps."""

    def __init__(self, encoder: TextEncoder, answers: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.qformer.config.hidden_size, answers)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Logits (B, answers) of questions (B, W) about pictures (B, N, d)."""
        queries = self.encoder.query_tokens.expand(len(input_ids), -1, -1)
        seen = self.encoder.qformer(
            input_ids=input_ids,
            attention_mask=torch.cat([mask.new_ones(queries.shape[:2]), mask], dim=1),
            query_embeds=queries,
            encoder_hidden_states=self.encoder.ln_vision(features),
        )
        return self.head(seen.last_hidden_state[:, : queries.shape[1]].mean(1))


def train(config: Config, out: Path, clip_dir: Path) -> None:
    """Train tokenizer and Q-Former on questions about stills."""
    settings, seed = config.backbones.qformer, config.world.seed
    shape = read_json(Path(settings.name), dict)
    films = [make_film(number) for number in film_seeds("reading", seed, STILLS)]
    pairs = [(index, qa) for index, film in enumerate(films) for qa in ask(film, STILL_KINDS)]
    features = still_features(config, films, clip_dir)
    tokenizer = make_tokenizer([qa for _, qa in pairs], shape.pop("vocab_size"))
    answers = sorted({qa.answer for _, qa in pairs})
    torch.manual_seed(seed)
    queries = shape.pop("num_query_tokens")
    model_config = InstructBlipQFormerConfig(
        **shape, vocab_size=len(tokenizer), encoder_hidden_size=features.shape[-1], pad_token_id=0
    )
    encoder = TextEncoder(model_config, queries, features.shape[-1])
    model = Pointer(encoder, len(answers))

    def losses() -> Iterator[torch.Tensor]:
        rng = random.Random(seed)
        while True:
            batch = rng.sample(pairs, settings.batch_size)
            words = tokenizer([qa.text for _, qa in batch], padding=True, return_tensors="pt")
            logits = model(words["input_ids"], words["attention_mask"], features[[index for index, _ in batch]])
            yield nn.functional.cross_entropy(logits, torch.tensor([answers.index(qa.answer) for _, qa in batch]))

    optimize(model, losses(), settings.steps, settings.learning_rate, "questions to the text encoder")
    save(encoder, tokenizer, out)


def still_features(config: Config, films: list, clip_dir: Path) -> torch.Tensor:
    """Patch features (films, N, d) of one still of each film."""
    tower = load_vision_tower(clip.load(clip_dir).visual, config.backbones.clip.layer)
    frames = np.stack([show_frame(film, config.video.image_size) for film in films])
    return torch.cat([tower(tower.normalise(part)) for part in np.array_split(frames, -(-len(frames) // 64))])


def make_tokenizer(questions: list[QA], vocab_size: int) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece tokenizer in BERT's form, with InstructBLIP's extra `[DEC]`.

    Its vocabulary is every character and then the most frequent words; the trainer of `tokenizers`
    orders pieces differently from one call to the next.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    texts = [*(qa.text for qa in questions), *(prompt("", []) for prompt in CHOICE_PROMPTS), videohallucer.PROMPT]
    texts += DESCRIBE_PROMPTS
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    characters = sorted(set("".join(counts)))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = dict.fromkeys([*SPECIAL, *characters, *(f"##{character}" for character in characters), *words])
    vocabulary = {piece: number for number, piece in enumerate(list(pieces)[:vocab_size])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizer, splitter
    ends = [(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        additional_special_tokens=["[DEC]"],
        truncation_side="left",
    )
