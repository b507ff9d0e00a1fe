"""Talks cut to the positions of the LLM.

Every round of a talk brings the visual tokens of its film again, so that nine rounds about a film of 44 s need 8,000
positions, where Vicuna was trained on 4,096. A talk that is too long becomes several samples of whole rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from dynfocus.datasets.records import Record, media_path, rounds, talk
from dynfocus.errors import UserError
from dynfocus.prompts import SYSTEM, Template, render, tokenize
from dynfocus.training.data import Entry

# Characters of the template around a round.
AROUND = 32


class Budget:
    """How many tokens a sample may have, the LLM's `positions`, and how many it has."""

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        max_text: int,
        visual_tokens: Callable[[int], int],
        positions: int,
    ) -> None:
        self.tokenizer, self.template, self.max_text = tokenizer, template, max_text
        self.visual_tokens, self.positions = visual_tokens, positions

    def tokens(self, record: Record, frames: int) -> int:
        """LLM tokens of a record as training sees it, its visual tokens included."""
        rendered = render(record, self.template, self.tokenizer.eos_token)
        made = tokenize(rendered, self.tokenizer, self.max_text)
        slots = len(made.prompts)
        return len(made.input_ids) + slots * (self.visual_tokens(frames) - 1 if slots else 0)

    def surely_fits(self, record: Record, frames: int) -> bool:
        """Whether a record fits even if every byte of its text were a token."""
        pairs = rounds(record)[:1] if self.template == "plain_guided" else rounds(record)
        text = len(SYSTEM) + sum(len(side.encode()) + AROUND for pair in pairs for side in pair)
        visual = len(pairs) * self.visual_tokens(frames) if media_path(record) else 0
        return min(text, self.max_text) + visual <= self.positions

    def cut(self, record: Record, frames: int) -> list[Record]:
        """A record as few consecutive ones of whole rounds that fit; a round that alone does not is one of them."""
        if self.template == "plain_guided" or self.surely_fits(record, frames):
            return [record]
        pieces: list[list[tuple[str, str]]] = [[]]
        for pair in rounds(record):
            longer = _piece(record, [*pieces[-1], pair], len(pieces))
            if pieces[-1] and self.tokens(longer, frames) > self.positions:
                pieces.append([])
            pieces[-1].append(pair)
        return [_piece(record, pairs, number) for number, pairs in enumerate(pieces, start=1)]


def fit(entries: Sequence[Entry], budget: Budget, frames: Callable[[Entry], int]) -> list[Entry]:
    """Entries of a mixture, too long talks cut; how many were is said.

    Raises:
        UserError: a single round has more tokens than the LLM has positions.
    """
    kept: list[Entry] = []
    cut: dict[str, int] = {}
    for entry in entries:
        length = frames(entry)
        pieces = budget.cut(entry.record, length)
        cut[entry.set_name] = cut.get(entry.set_name, 0) + (len(pieces) > 1)
        for piece in pieces:
            if not budget.surely_fits(piece, length) and (tokens := budget.tokens(piece, length)) > budget.positions:
                raise UserError(
                    f"training set `{entry.set_name}`, record {piece['id']}: one round on {length} frames takes "
                    f"{tokens} tokens, the LLM has {budget.positions} positions; raise network.rope_factor, or take "
                    "fewer frames (video.max_frames) or fewer tokens a frame (network)"
                )
            kept.append(Entry(entry.set_name, piece))
    for name, count in cut.items():
        if count:
            print(f"{name}: {count} talks are longer than {budget.positions} tokens and were cut", file=sys.stderr)
    return kept


def _piece(record: Record, pairs: Sequence[tuple[str, str]], number: int) -> Record:
    name = record["id"] if number == 1 else f"{record['id']}#{number}"
    return {**record, "id": name, "conversations": talk(pairs)}
