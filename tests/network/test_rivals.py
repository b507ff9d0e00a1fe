"""Flash-VStream and Chat-UniVi equal a second derivation from their papers, written in plain lines in fp64."""

import pytest
import torch
from torch import nn
from toy import PATCHES, WIDTH, toy_model

from dynfocus.config.schema import Network
from dynfocus.network import reference
from dynfocus.network.batch import Prompts, Videos
from dynfocus.tokens import num_visual_tokens, univi_events, univi_levels

LENGTHS = (1, 2, 6, 7, 13, 20)
"""Frames from an image over T − 1 = L to several chunks; L is 6 in the toy model."""


def film(frames, seed=0):
    """Features (T, N, d) of a few scenes of a few things, with noise."""
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.randn(4, PATCHES, WIDTH, generator=generator)
    scene = (4 * torch.arange(frames)) // max(frames, 4)
    return scenes[scene] + 0.5 * torch.randn(frames, PATCHES, WIDTH, generator=generator)


def made_tokens(encoder, videos):
    """What the encoder hands to its projector, video by video."""
    encoder.fine_projector = nn.Sequential(nn.Linear(WIDTH, WIDTH))
    nn.init.eye_(encoder.fine_projector[0].weight)
    nn.init.zeros_(encoder.fine_projector[0].bias)
    features = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True)
    mask = torch.arange(features.shape[1]) < torch.tensor([len(video) for video in videos])[:, None]
    words = torch.ones(len(videos), 1, dtype=torch.long)
    prompts = Prompts(words, None, tuple(range(len(videos))))
    with torch.no_grad():
        tokens = encoder(Videos.from_padded(features, mask), prompts)
    return tokens.split([num_visual_tokens(encoder.config, len(video)) for video in videos])


def test_flash_vstream_equals_the_second_derivation():
    encoder = toy_model(encoder="flash_vstream").connector
    nn.init.normal_(encoder.abstract_query.weight)  # attention that is far from even
    nn.init.normal_(encoder.abstract_key.weight)
    films = [film(frames, frames) for frames in LENGTHS]
    tokens = made_tokens(encoder, films)
    exact = toy_model(encoder="flash_vstream").connector.double()
    exact.load_state_dict({k: v.double() for k, v in encoder.state_dict().items() if "abstract" in k}, strict=False)
    for frames, made in zip(films, tokens, strict=True):
        with torch.no_grad():
            expected = reference.flash_vstream_tokens(exact, frames.double())
        torch.testing.assert_close(made.double(), expected, rtol=1e-4, atol=1e-4)


def test_chat_univi_equals_the_second_derivation():
    encoder = toy_model(encoder="chat_univi", event_prototypes=3).connector
    films = [film(frames, frames) for frames in LENGTHS]
    for frames, made in zip(films, made_tokens(encoder, films), strict=True):
        events = univi_events(encoder.config, len(frames))
        expected = reference.chat_univi_tokens(frames.double(), univi_levels(encoder.config), events)
        torch.testing.assert_close(made.double(), expected, rtol=1e-4, atol=1e-4)


def test_chat_univi_merges_each_frame_step_by_step_on_the_papers_grid():
    """256 → 64 → 32 → 16 patches in three frames, then one event."""
    encoder = toy_model(encoder="chat_univi", grid=16).connector
    frames = torch.randn(3, 256, WIDTH)
    levels = encoder.frame_levels(frames)
    assert [tuple(level.shape) for level in levels] == [(3, 64, WIDTH), (3, 32, WIDTH), (3, 16, WIDTH)]
    expected = reference.chat_univi_tokens(frames.double(), (64, 32, 16), 1)
    torch.testing.assert_close(made_tokens(encoder, [frames])[0].double(), expected, rtol=1e-4, atol=1e-4)


def test_the_present_frame_of_flash_vstream_is_in_no_other_memory():
    encoder = toy_model(encoder="flash_vstream").connector
    frames = film(9)
    other = frames.clone()
    other[-1] = torch.randn(PATCHES, WIDTH)
    one, two = made_tokens(encoder, [frames])[0], made_tokens(encoder, [other])[0]
    assert torch.equal(one[:-64], two[:-64])
    assert not torch.allclose(one[-64:], two[-64:])


@pytest.mark.parametrize(
    ("encoder", "frames", "tokens"),
    [
        ("flash_vstream", 1, 64),
        ("flash_vstream", 2, 17 + 64 + 64),
        ("flash_vstream", 1000, 25 * 17 + 3 * 64 + 64),
        ("chat_univi", 1, 112),
        ("chat_univi", 64, 4 * 112),
        ("chat_univi", 65, 5 * 112),
        ("chat_univi", 1000, 25 * 112),
    ],
)
def test_the_rivals_have_the_published_numbers_of_tokens(encoder, frames, tokens):
    assert num_visual_tokens(Network(encoder=encoder), frames) == tokens
