"""A conversation: the film as the evaluation sees it, several turns, and what the reply was made from."""

from __future__ import annotations

import io
import shutil
import sys
import threading
from pathlib import Path

import pytest
import toy_models
from rich.console import Console

from dynfocus.chat.model import ChatModel, conversation_prompt
from dynfocus.chat.terminal import talk
from dynfocus.cli.chat import _chat_model, serve_chat
from dynfocus.cli.options import load_jobs
from dynfocus.datasets.records import IMAGE_TOKEN
from dynfocus.errors import UserError
from dynfocus.evaluation.answerers.own import OwnModel
from dynfocus.features.extract import read_medium
from dynfocus.prompts import evaluation_prompt, imgsp_v1
from dynfocus.steps import manifests
from dynfocus.steps.table import model_of

TRAINED = (3, 0.5)
"""L and K/L of the toy checkpoint."""


def test_the_prompt_is_that_of_training_and_of_evaluation():
    record = {
        "id": "1",
        "video": "a.mp4",
        "conversations": [
            {"from": "human", "value": f"{IMAGE_TOKEN}\nWhat?"},
            {"from": "gpt", "value": "a ball"},
            {"from": "human", "value": f"{IMAGE_TOKEN}\nWhere?"},
            {"from": "gpt", "value": "left"},
        ],
    }
    trained = imgsp_v1(record, "</s>").text
    assert trained == conversation_prompt([("What?", "a ball")], "Where?", "</s>") + " left</s>"
    assert conversation_prompt([], "What?", "</s>") == evaluation_prompt("What?")


def test_a_film_is_what_feature_extraction_stores(chat_model, chat_config, film_file):
    film = chat_model.open(film_file)
    pixels, indices = read_medium(film_file.parent, film_file.name, chat_config.video)
    assert film.features.shape == (12, toy_models.PATCHES, toy_models.WIDTH) and len(pixels) == 12
    assert film.seconds.tolist() == [index / 2 for index in indices]
    assert len(film.thumbnails) == 12 and film.thumbnails[0][:2] == b"\xff\xd8"


def test_the_first_reply_is_that_of_the_evaluation(chat_model, chat_config, folders, film_file):
    import torch

    film, question = chat_model.open(film_file), "What moves?"
    own = OwnModel(folders[0], torch.device("cpu"), torch.float32)
    (expected,) = own.reply([question], [question], [film.features], [0], chat_config.evaluation)
    assert chat_model.ask(film, [], question).reply == expected.text


def test_a_turn_tells_cones_prototypes_and_tokens(chat_model, film_file):
    film = chat_model.open(film_file)
    look = chat_model.ask(film, [], "What moves?").look
    assert len(look.cones) == len(look.tokens_per_frame) == len(look.prototype_of_frame) == len(film)
    assert len(look.scores) == len(look.prototype_frames) == toy_models.NETWORK["event_prototypes"]
    assert sum(look.cones) == 2 and sum(look.tokens_per_frame) == look.tokens
    assert all(look.prototype_frames[look.prototype_of_frame[frame]] in range(len(film)) for frame in range(len(film)))


def test_words_come_as_they_are_made_and_a_reply_can_be_stopped(chat_model, film_file):
    film, said, stop = chat_model.open(film_file), [], threading.Event()
    whole = chat_model.ask(film, [], "What moves?", said=said.append).reply
    assert said[-1] == whole and all(whole.startswith(part) for part in said) and len(said) > 1
    assert chat_model.ask(film, [], "What moves?", said=lambda _: stop.set(), stop=stop).reply == said[0]


def test_other_selection_settings_hold_for_one_question(chat_model, film_file):
    film = chat_model.open(film_file)
    trained = chat_model.selection
    look = chat_model.ask(film, [], "What moves?", (5, 0.2)).look
    assert len(look.scores) == 5 and len(set(look.prototype_of_frame)) == 5
    assert look.tokens == sum(look.tokens_per_frame) < look.all_cones
    assert chat_model.selection == trained and len(chat_model.ask(film, [], "What moves?").look.scores) == trained[0]


def test_what_was_said_before_changes_the_reply(chat_model, film_file):
    film = chat_model.open(film_file)
    first = chat_model.ask(film, [], "What moves?")
    second = chat_model.ask(film, [(first.question, first.reply)], "Where is it?")
    assert second.forgotten == 0
    assert second.reply != chat_model.ask(film, [("Is it red?", "yes yes")], "Where is it?").reply


def test_the_oldest_exchanges_go_when_the_context_is_full(folders, chat_config, film_file):
    model = ChatModel(*folders, chat_config)
    film = model.open(film_file)
    visual = model._model.num_visual_tokens(len(film))
    one_turn = len(model._processor.tokenizer(evaluation_prompt("What moves?")).input_ids) + visual
    model._model.config.text_config.max_position_embeddings = one_turn + 60 + visual
    turn = model.ask(film, [("a?", "b"), ("c?", "d"), ("e?", "f")], "What moves?")
    assert 0 < turn.forgotten < 3
    model._model.config.text_config.max_position_embeddings = one_turn - 1
    with pytest.raises(UserError, match=r"wandering\.mp4: 12 frames are \d+ tokens.*cut the video"):
        model.ask(film, [], "What moves?")


def test_another_encoder_answers_without_a_time_line(tmp_path, folders, chat_config, film_file):
    toy_models.own_model(tmp_path / "model", encoder="two_token")
    model = ChatModel(tmp_path / "model", folders[1], chat_config)
    look = model.ask(model.open(film_file), [], "What moves?").look
    assert look.tokens == 24 and look.cones == look.scores == [] and look.all_cones == 0 and model.selection is None


def test_mistakes_are_one_line(chat_model, folders, chat_config, tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no film")
    with pytest.raises(UserError, match="not a readable video"):
        chat_model.open(tmp_path / "no.mp4")
    with pytest.raises(UserError, match=r"no config\.json"):
        ChatModel(tmp_path, folders[1], chat_config)
    with pytest.raises(UserError, match="run `dynfocus prepare-clip` first"):
        ChatModel(folders[0], tmp_path, chat_config)


def test_the_terminal_goes_on_after_a_mistake_and_forgets_on_request(chat_model, film_file):
    lines = iter(["What moves?", "Where?", "/new", "What now?", ""])
    console = Console(file=io.StringIO(), width=100)
    film = chat_model.open(film_file)
    turns = talk(chat_model, film, lambda: next(lines), console)
    assert [turn.question for turn in turns] == ["What moves?", "Where?", "What now?"]
    printed = console.file.getvalue()
    assert "wandering.mp4: 12 frames" in printed and "2 of 12 frames are cones" in printed and "Forgotten" in printed
    line = next(line for line in printed.splitlines() if set(line.strip()) == {"█", "▁"})
    assert [letter == "█" for letter in line.strip()] == turns[0].look.cones
    assert turns[2].reply == chat_model.ask(film, [], "What now?").reply


def test_the_page_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for module in ("dynfocus.chat.page", "dynfocus.chat.guard"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(UserError, match=r"needs uvicorn; install it: pip install 'dynfocus\[chat\]'"):
        serve_chat(config=[Path("config/mini.yaml")], overrides=[])


def test_the_checkpoint_of_a_run_is_checked_as_for_answering(folders, tmp_path):
    jobs = load_jobs([Path("config/mini.yaml")], [f"root={tmp_path}"])
    path = jobs.checkpoint("dynfocus", 0)
    shutil.copytree(folders[0], path)
    with pytest.raises(UserError, match="manifest"):
        _chat_model(jobs, "dynfocus", 0, None, folders[1])
    settings = model_of(jobs, "dynfocus", 0).settings(jobs) | {"network": {}}
    with manifests.record(path, command="test", settings=settings, seed=0):
        pass
    with pytest.raises(UserError, match="made with network"):
        _chat_model(jobs, "dynfocus", 0, None, folders[1])
    assert _chat_model(jobs, "dynfocus", 0, folders[0], folders[1]).selection == TRAINED


def test_a_run_that_borrows_weights_answers_with_its_own_selection(folders, chat_config):
    assert ChatModel(*folders, chat_config).selection == TRAINED
    other = chat_config.network.model_copy(update={"event_prototypes": 2, "selection_ratio": 0.9})
    assert ChatModel(*folders, chat_config, other).selection == (2, 0.9)
