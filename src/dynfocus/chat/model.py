"""A trained checkpoint in a conversation: replies to several questions on one film, and what it looked at.

model = ChatModel(checkpoint, clip_folder, config)
film = model.open(Path("film.mp4"))
turn = model.ask(film, [], "What is the ball doing?")
turn.reply, turn.look.cones, turn.look.tokens_per_frame
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import torch
from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

from dynfocus.chat.film import Film, open_film
from dynfocus.config.schema import Config, Network
from dynfocus.datasets.records import IMAGE_TOKEN
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.base import model_type
from dynfocus.evaluation.answerers.decoding import device_of, dtype_of, generation_config
from dynfocus.evaluation.answerers.own import answering_config
from dynfocus.network import DynFocusProcessor, clip
from dynfocus.network.explanation import Explanation
from dynfocus.network.vision import load_vision_tower
from dynfocus.prompts import SYSTEM, encoder_prompt
from dynfocus.tokens import cone_frame_tokens

Exchange = tuple[str, str]
"""A question and the reply to it."""


@dataclass(frozen=True)
class Look:
    """How the frames of a film became tokens under one question; lists over T frames or L event prototypes.

    `all_cones`: the tokens if every frame were a cone. Without dynamic selection (another encoder) only `tokens` is
    known; `all_cones` is 0 and the lists are empty.
    """

    tokens: int
    all_cones: int
    cones: list[bool]
    tokens_per_frame: list[int]
    prototype_of_frame: list[int]
    prototype_frames: list[int]
    scores: list[float]


@dataclass(frozen=True)
class Turn:
    """A question, the reply, the frames behind it, and the seconds it took."""

    question: str
    reply: str
    look: Look
    seconds: float
    forgotten: int
    """Earlier exchanges left out because the language model's context is full."""


class ChatModel:
    """A stage-2 checkpoint with its visual encoder; every reply is greedy unless a temperature is set."""

    def __init__(self, checkpoint: Path, clip_folder: Path, config: Config, network: Network | None = None):
        """L, K/L and all else that no weight depends on are as `network` says, or else as trained.

        Raises UserError where the checkpoint is none of ours or the visual encoder is missing.
        """
        kind = model_type(checkpoint)
        if kind != "dynfocus":
            raise UserError(f"{checkpoint}: model type {kind}; the chat takes checkpoints of this project")
        torch.set_num_threads(config.hardware.threads)
        self._device = device_of(config)
        model: Any = AutoModelForCausalLM.from_pretrained(
            checkpoint, config=answering_config(checkpoint, network), dtype=dtype_of(config)
        )
        self._model = model.to(self._device).eval()
        self._processor = DynFocusProcessor.from_pretrained(checkpoint)
        self._processor.config = self._model.config
        tower = self._model.vision_tower
        if tower is None:
            tower = load_vision_tower(clip.load(clip_folder).visual, config.backbones.clip.layer).to(self._device)
        self._tower = tower
        self._video, self._evaluation = config.video, config.evaluation
        self._lock = Lock()

    @property
    def selection(self) -> tuple[int, float] | None:
        """L and K/L; None where the model selects no frames."""
        config = self._model.config
        return (config.event_prototypes, config.selection_ratio) if config.encoder == "dynfocus" else None

    def open(self, path: Path, name: str | None = None) -> Film:
        """A video, decoded and seen once for all questions. Raises UserError for what is no readable video."""
        return open_film(path, self._video, self._see, name)

    def _see(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._tower.videos(self._tower.normalise(pixels.to(self._device))[None])[0]

    @torch.inference_mode()
    def ask(
        self,
        film: Film,
        history: Sequence[Exchange],
        question: str,
        selection: tuple[int, float] | None = None,
        said: Callable[[str], object] | None = None,
        stop: Event | None = None,
    ) -> Turn:
        """The reply to a question after the exchanges so far. Raises UserError for a blank question.

        `selection`: L and K/L of this turn, in place of the trained ones. `said` is given the words so far after every
        token; `stop` ends the reply when it is set. Questions of several threads wait for each other.
        """
        question = encoder_prompt(question)
        if not question:
            raise UserError("question: it is empty; ask something about the video")
        with self._lock:
            config, trained = self._model.config, self.selection
            started = time.perf_counter()
            try:
                if trained:
                    config.event_prototypes, config.selection_ratio = selection or trained
                kept = self._fitting(film, list(history), question)
                reply = self._reply(film, kept, question, _Listening(said, stop))
                look = self._look(film, question)
            finally:
                if trained:
                    config.event_prototypes, config.selection_ratio = trained
        return Turn(question, reply, look, time.perf_counter() - started, len(history) - len(kept))

    def _reply(self, film: Film, history: list[Exchange], question: str, listening: _Listening) -> str:
        tokenizer = self._processor.tokenizer
        batch = self._processor(
            text=[conversation_prompt(history, question, tokenizer.eos_token)],
            prompts=[[*(encoder_prompt(past) for past, _ in history), question]],
            video_features=[film.features.to(self._model.dtype)],
        ).to(self._device)
        listening.words = lambda ids: tokenizer.decode(ids[batch["input_ids"].shape[1] :], skip_special_tokens=True)
        made = self._model.generate(
            **batch,
            generation_config=generation_config(self._evaluation, tokenizer, [self._processor.image_token_id]),
            stopping_criteria=StoppingCriteriaList([listening]),
        )
        return listening.words(made.sequences[0]).strip()

    def _fitting(self, film: Film, history: list[Exchange], question: str) -> list[Exchange]:
        """The latest exchanges that leave room for the reply; each repeats the tokens of the film."""
        room = getattr(self._model.config.text_config, "max_position_embeddings", None)
        if room is None:
            return history
        visual = self._model.num_visual_tokens(len(film))
        tokenizer = self._processor.tokenizer
        while True:
            text = conversation_prompt(history, question, tokenizer.eos_token)
            slots = len(history) + 1
            needed = len(tokenizer(text).input_ids) + slots * (visual - 1) + self._evaluation.max_new_tokens
            if needed <= room or not history:
                break
            history = history[1:]
        if needed > room:
            raise UserError(
                f"{film.name}: {len(film)} frames are {visual} tokens, more than the language model's context of "
                f"{room} leaves room for; cut the video, or lower video.fps"
            )
        return history

    @torch.inference_mode()
    def explain(self, film: Film, question: str) -> Explanation:
        """What the network does with a film under a question. Raises UserError where the model selects no frames."""
        prompt = self._processor.encode_prompts([encoder_prompt(question)])
        return self._model.explain(
            film.features.to(self._device, self._model.dtype),
            prompt["prompt_input_ids"].to(self._device),
            prompt["prompt_attention_mask"].to(self._device),
        )

    def _look(self, film: Film, question: str) -> Look:
        tokens = self._model.num_visual_tokens(len(film))
        if self.selection is None:
            return Look(tokens, 0, [], [], [], [], [])
        made = self.explain(film, question)
        return Look(
            tokens,
            len(film) * cone_frame_tokens(self._model.config),
            made.cones.tolist(),
            made.tokens_per_frame.tolist(),
            made.prototype_of_frame.tolist(),
            made.prototype_frames.tolist(),
            [round(score, 4) for score in made.scores.tolist()],
        )


class _Listening(StoppingCriteria):
    """Tells the words so far after every token, and ends a reply on request."""

    words: Callable[[torch.Tensor], str]

    def __init__(self, said: Callable[[str], object] | None, stop: Event | None):
        self._said, self._stop = said, stop

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        if self._said:
            self._said(self.words(input_ids[0]).strip())
        ended = self._stop is not None and self._stop.is_set()
        return torch.full((len(input_ids),), ended, device=input_ids.device)


def conversation_prompt(history: Sequence[Exchange], question: str, end: str) -> str:
    """The exchanges so far and an open round, in the form of stage 2: every round has its own media token."""
    past = "".join(f"USER: {IMAGE_TOKEN}\n{encoder_prompt(asked)} ASSISTANT: {reply}{end}" for asked, reply in history)
    return f"{SYSTEM} {past}USER: {IMAGE_TOKEN}\n{question} ASSISTANT:"
