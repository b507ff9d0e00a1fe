"""From records and cached features to batches of the network's forward inputs.

The mixture of a stage is a list of `Entry`. Features come from one memory-mapped store per set, or the frames
themselves where a set is encoded on the fly. A medium that has none is counted as missing, a sample whose answers are
all cut off as unlabelled, and training refuses to start when a set falls below the declared coverage: no sample is ever
replaced. The order of an epoch is fixed by seed and epoch, and it is the same for any split of the global batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from dynfocus.datasets import Record, cut_rounds, load_records, media_path
from dynfocus.datasets.subset import subset
from dynfocus.errors import UserError
from dynfocus.prompts import IGNORE, Template, Tokens, render, tokenize

# Batches of similar length are formed inside windows of this many global batches.
WINDOW = 50
# Characters per token, for the length estimate that groups samples.
CHARACTERS_PER_TOKEN = 4
# The most that a tokenizer makes of a text: one token a byte, of a text that Unicode's normal form C may make three
# times as long, and what it sets in front: its first token, a mark of the blank before the first word.
TOKENS_PER_BYTE = 3
FRONT_TOKENS = 2


class Store(Protocol):
    """What training reads of a set: `dynfocus.features.store.FeatureStore`, or the films of `features.live`."""

    def get(self, video_id: str) -> Tensor: ...

    def frames(self, video_id: str) -> Tensor: ...

    def __contains__(self, video_id: str) -> bool: ...


@dataclass(frozen=True)
class Entry:
    """A record and the set that it comes from."""

    set_name: str
    record: Record


@dataclass(frozen=True)
class Coverage:
    """Samples of a set: those whose medium has features, all, and the ids of readable ones that hold no label."""

    readable: int
    total: int
    unlabelled: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the samples that can be learned from."""
        return (self.readable - len(self.unlabelled)) / self.total

    def record(self) -> dict[str, Any]:
        """The counts for `coverage.json`, and the unlabelled samples where there are any."""
        counts: dict[str, Any] = {"readable": self.readable, "total": self.total}
        return counts | ({"unlabelled": list(self.unlabelled)} if self.unlabelled else {})


def load_mixture(
    set_names: Sequence[str], data_dir: Path, max_rounds: int, max_samples: Mapping[str, int] | None = None
) -> list[Entry]:
    """Entries of all sets in the order given, long talks cut into records of at most `max_rounds` rounds.

    `max_samples`: of the sets of which a part is used.

    Raises:
        UserError: a set has no sample.
    """
    limits, entries = max_samples or {}, []
    for name in set_names:
        records = subset(name, load_records(name, data_dir / name), limits.get(name))
        found = [Entry(name, record) for record in cut_rounds(records, max_rounds)]
        if not found:
            raise UserError(f"training set `{name}`: {data_dir / name} holds no sample; complete it, or leave it out")
        entries += found
    return entries


def readable(
    entries: Sequence[Entry], stores: Mapping[str, Store], min_coverage: float
) -> tuple[list[Entry], dict[str, Coverage]]:
    """Entries that have features (or no medium), and the coverage of each set.

    Raises:
        UserError: a set's coverage is below `min_coverage`.
    """
    kept: list[Entry] = []
    totals: dict[str, int] = {}
    counts: dict[str, int] = {}
    for entry in entries:
        media = media_path(entry.record)
        found = media is None or media in stores[entry.set_name]
        totals[entry.set_name] = totals.get(entry.set_name, 0) + 1
        counts[entry.set_name] = counts.get(entry.set_name, 0) + found
        if found:
            kept.append(entry)
    coverage = {name: Coverage(counts[name], total) for name, total in totals.items()}
    for name, share in coverage.items():
        if share.share < min_coverage:
            raise UserError(
                f"training set `{name}`: {share.readable} of {share.total} samples have features, "
                f"coverage {share.share:.3f} is below min_coverage {min_coverage}; "
                f"`dynfocus verify-data --dataset {name}` names what is unreadable; complete data/{name} and extract "
                "again, or lower min_coverage"
            )
    return kept, coverage


def labelled(
    samples: Samples, coverage: Mapping[str, Coverage], min_coverage: float
) -> tuple[Samples, dict[str, Coverage]]:
    """The samples that hold at least one label, and the coverage with the ids of the others.

    A sample has none where its first answer lies behind `max_text_tokens`: its question is too long.

    Raises:
        UserError: with them a set's coverage is below `min_coverage`.
    """
    lost = {index for index in range(len(samples)) if not samples.has_label(index)}
    found = {}
    for name, share in coverage.items():
        entries = (samples.entries[index] for index in sorted(lost))
        ids = tuple(entry.record["id"] for entry in entries if entry.set_name == name)
        found[name] = share = replace(share, unlabelled=ids)
        if ids and share.share < min_coverage:
            raise UserError(
                f"training set `{name}`: {len(ids)} of {share.total} samples have no label within max_text_tokens "
                f"{samples.max_tokens}, as their first answer is cut off: {shown(ids)}; coverage {share.share:.3f} is "
                f"below min_coverage {min_coverage}; raise max_text_tokens, shorten these questions, or lower "
                "min_coverage"
            )
    return samples.without(lost), found


def shown(ids: Sequence[str], limit: int = 3) -> str:
    """The first few ids of a list, and how many more there are."""
    more = f" and {len(ids) - limit} more" if len(ids) > limit else ""
    return f"{', '.join(ids[:limit])}{more}"


def frames_of(entry: Entry, stores: Mapping[str, Store]) -> int:
    """Number of frames T of an entry's medium; 0 for text alone."""
    path = media_path(entry.record)
    return 0 if path is None else len(stores[entry.set_name].frames(path))


class Samples(Dataset):
    """Tokenised samples with their features, made on access."""

    def __init__(
        self,
        entries: Sequence[Entry],
        stores: Mapping[str, Store],
        tokenizer: Any,
        template: Template,
        max_tokens: int,
        seed: int,
    ) -> None:
        """`tokenizer`: the LLM's fast tokenizer, with the media token; `max_tokens`: text tokens kept per sample."""
        self.entries = entries
        self.stores = stores
        self.tokenizer = tokenizer
        self.template: Template = template
        self.max_tokens = max_tokens
        self.seed = seed

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample: `tokens`, `media` (set and path, None for text) and `features` (T, N, d) or None.

        Of a set encoded on the fly, `features` are its frames (T, S, S, 3) uint8.
        """
        entry = self.entries[index]
        rendered = render(entry.record, self.template, self.tokenizer.eos_token, self.seed)
        path = media_path(entry.record)
        return {
            "tokens": tokenize(rendered, self.tokenizer, self.max_tokens),
            "media": None if path is None else (entry.set_name, path),
            "features": None if path is None else self.stores[entry.set_name].get(path),
        }

    def has_label(self, index: int) -> bool:
        """Whether a sample holds a label that a prediction can be held against: one behind the first token.

        Only a sample with a long first question is tokenised for it.
        """
        rendered = render(self.entries[index].record, self.template, self.tokenizer.eos_token, self.seed)
        start = rendered.answers[0][0]
        most = FRONT_TOKENS + TOKENS_PER_BYTE * len(rendered.text[: start + 1].encode())
        if start > 0 and most < self.max_tokens:
            return True
        return any(label != IGNORE for label in tokenize(rendered, self.tokenizer, self.max_tokens).labels[1:])

    def without(self, lost: Collection[int]) -> Samples:
        """These samples but those at the indices `lost`."""
        entries = [entry for index, entry in enumerate(self.entries) if index not in lost]
        return Samples(entries, self.stores, self.tokenizer, self.template, self.max_tokens, self.seed)

    def frames(self, index: int) -> int:
        """Number of frames T of a sample's medium; 0 for a text-only sample."""
        return frames_of(self.entries[index], self.stores)

    def digest(self) -> str:
        """Hash of all records in their order."""
        state = hashlib.sha256()
        for entry in self.entries:
            state.update(json.dumps([entry.set_name, entry.record]).encode())
        return state.hexdigest()

    def lengths(self, visual_tokens: Callable[[int], int]) -> list[int]:
        """Estimated LLM tokens of every sample: characters / 4 of text, exact visual tokens."""
        return [self._length(index, visual_tokens) for index in range(len(self))]

    def _length(self, index: int, visual_tokens: Callable[[int], int]) -> int:
        rendered = render(self.entries[index].record, self.template, self.tokenizer.eos_token, self.seed)
        text = min(len(rendered.text) // CHARACTERS_PER_TOKEN, self.max_tokens)
        slots = len(rendered.prompts)
        return text + (slots * visual_tokens(self.frames(index)) if slots else 0)


def epoch_order(
    count: int, global_batch: int, seed: int, epoch: int, lengths: Sequence[int] | None = None
) -> list[int]:
    """Order of the samples of an epoch, whole global batches only.

    A seeded permutation; with `lengths`, the samples of each window of 50 global batches are sorted by length and the
    global batches shuffled, so that a batch holds samples of similar length. The samples left over by the last
    incomplete batch differ from seed to seed.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).tolist()[: count // global_batch * global_batch]
    if lengths is None:
        return order
    window = WINDOW * global_batch
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        ordered = sorted(order[start : start + window], key=lambda index: lengths[index])
        batches += [ordered[first : first + global_batch] for first in range(0, len(ordered), global_batch)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [index for number in shuffled for index in batches[number]]


class EpochSampler(Sampler[int]):
    """`epoch_order` as a sampler; the trainer sets the epoch."""

    def __init__(self, count: int, global_batch: int, seed: int, lengths: Sequence[int] | None) -> None:
        self.count, self.global_batch, self.seed, self.lengths = count, global_batch, seed, lengths
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.global_batch * self.global_batch

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self.count, self.global_batch, self.seed, self.epoch, self.lengths))


@dataclass
class Collator:
    """Samples to one padded batch of the network's forward inputs (right padding).

    Keys: `input_ids`, `attention_mask`, `labels` (B, S); `video_features` (V, Tmax, N, d), `video_mask` (V, Tmax),
    `video_names` (V names); `prompt_input_ids`, `prompt_attention_mask` (Q, W), `prompt_video` (Q,). A medium that
    several samples of the batch share is stacked once. Where a medium comes as pixels, `videos` are the V media as they
    are, in place of `video_features`. Without visual tokens (text alone, the blind model) the visual
    keys are left out.
    """

    processor: Any
    dtype: torch.dtype = torch.float32

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        videos: dict[Any, int] = {}
        features: list[Tensor] = []
        prompts: list[str] = []
        prompt_video: list[int] = []
        rows: list[tuple[list[int], list[int]]] = []
        for sample in samples:
            tokens = sample["tokens"]
            frames = 0 if sample["features"] is None else len(sample["features"])
            ids, labels = expand(self.processor, tokens, frames)
            rows.append((ids, labels))
            if self.processor.image_token_id not in ids:
                continue
            if sample["media"] not in videos:
                videos[sample["media"]] = len(features)
                features.append(sample["features"])
            prompts += tokens.prompts
            prompt_video += [videos[sample["media"]]] * len(tokens.prompts)
        if not prompts:
            return self._text(rows)
        return self._text(rows) | self._visual(features, prompts, prompt_video) | {"video_names": list(videos)}

    def _text(self, rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
        """Padded ids, mask and labels; the first position never carries loss, since nothing predicts it."""
        ids = [torch.tensor(row[0]) for row in rows]
        labels = pad_sequence([torch.tensor(row[1]) for row in rows], batch_first=True, padding_value=IGNORE)
        labels[:, 0] = IGNORE
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id(self.processor.tokenizer)),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": labels,
        }

    def _visual(self, features: list[Tensor], prompts: list[str], prompt_video: list[int]) -> dict[str, Any]:
        frames = torch.tensor([len(video) for video in features])
        pixels = any(video.dtype == torch.uint8 for video in features)
        media = {"videos": features} if pixels else {"video_features": stacked(features, self.dtype)}
        return {
            **media,
            "video_mask": torch.arange(int(frames.max())) < frames[:, None],
            "prompt_video": torch.tensor(prompt_video),
            **self.processor.encode_prompts(prompts),
        }


def stacked(features: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Features (T, N, d) of media as one tensor (V, Tmax, N, d), padded on the right."""
    return pad_sequence([video.to(dtype) for video in features], batch_first=True)


def expand(processor: Any, tokens: Tokens, frames: int) -> tuple[list[int], list[int]]:
    """Ids and labels of a sample with each media token expanded to the tokens of a medium of `frames` frames."""
    slot = processor.image_token_id
    ids = processor.expand(tokens.input_ids, [frames] * len(tokens.prompts))
    text = iter(label for token, label in zip(tokens.input_ids, tokens.labels, strict=True) if token != slot)
    return ids, [IGNORE if token == slot else next(text) for token in ids]


def pad_id(tokenizer: Any) -> int:
    """Padding token of the LLM: its own, else the unknown token (Vicuna), else the end token."""
    candidates = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id)
    return next(token for token in candidates if token is not None)
