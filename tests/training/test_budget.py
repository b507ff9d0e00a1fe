"""Talks cut to the LLM's positions: by whole rounds, at the sizes of NExT-QA and of 256 tokens a cone."""

from itertools import pairwise

import pytest

from dynfocus.config.schema import Network
from dynfocus.datasets.records import rounds, talk
from dynfocus.errors import UserError
from dynfocus.tokens import num_visual_tokens
from dynfocus.training.budget import Budget, fit
from dynfocus.training.data import Entry

VICUNA = 4096
QUESTION = "how many " * 20


def record(count, name="7", **medium):
    return {"id": name, **medium, "conversations": talk((QUESTION, f"answer {number}") for number in range(count))}


@pytest.fixture
def budget(tokenizer):
    def make(positions=VICUNA, network=None, template="imgsp_v1", max_text=2048):
        sections = network or Network()
        return Budget(tokenizer, template, max_text, lambda frames: num_visual_tokens(sections, frames), positions)

    return make


def cut(budget, talk_, frames):
    return [entry.record for entry in fit([Entry("nextqa", talk_)], budget, lambda _: frames)]


def test_nine_rounds_about_a_film_of_44_frames_become_whole_samples_that_fit(budget, capsys):
    limit, whole = budget(), record(9, video="a.mp4")
    assert limit.tokens(whole, 44) > 7500
    pieces = cut(limit, whole, 44)
    assert all(limit.tokens(piece, 44) <= VICUNA for piece in pieces) and 1 < len(pieces) < 9
    assert [pair for piece in pieces for pair in rounds(piece)] == rounds(whole)
    assert len({piece["id"] for piece in pieces}) == len(pieces) and pieces[0]["id"] == "7"
    assert "nextqa: 1 talks are longer than 4096 tokens and were cut" in capsys.readouterr().err


def test_pieces_are_as_long_as_they_may_be(budget):
    limit, whole = budget(), record(9, video="a.mp4")
    pieces = cut(limit, whole, 44)
    for one, after in pairwise(pieces):
        longer = {**one, "conversations": talk([*rounds(one), rounds(after)[0]])}
        assert limit.tokens(longer, 44) > VICUNA


def test_a_talk_that_fits_is_left_as_it_is(budget, capsys):
    for talk_, frames in ((record(4, video="a.mp4"), 10), (record(9, image="a.jpg"), 1), (record(9), 0)):
        assert cut(budget(), talk_, frames) == [talk_]
    assert not capsys.readouterr().err


def test_what_surely_fits_fits(budget):
    for positions in range(400, 2000, 50):
        limit = budget(positions)
        for count in range(1, 6):
            talk_ = record(count, video="a.mp4")
            assert not limit.surely_fits(talk_, 5) or limit.tokens(talk_, 5) <= positions


@pytest.mark.parametrize("template, text", [("imgsp_v1", "answer"), ("plain_guided", "caption")])
def test_a_round_beyond_the_positions_stops_and_scaled_positions_take_it(budget, template, text):
    patches, talk_ = Network(cone_tokens="patches"), record(1, video="a.mp4")
    with pytest.raises(
        UserError, match=r"nextqa`, record 7: one round on 117 frames takes 5\d\d\d tokens.*rope_factor"
    ):
        cut(budget(network=patches, template=template), talk_, 117)
    assert cut(budget(2 * VICUNA, patches, template), talk_, 117) == [talk_]


def test_a_caption_counts_its_first_round_alone(budget):
    limit = budget(template="plain_guided")
    talk_ = record(9, video="a.mp4")
    assert limit.surely_fits(talk_, 44) and cut(limit, talk_, 44) == [talk_]
