"""DPE and CCE equal the equations: pooling, scores, tree order, context attention, the cooperative sequence."""

import pytest
import torch
from toy import PATCHES, WIDTH, toy_config, toy_model, toy_samples
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from dynfocus.config.schema import Network
from dynfocus.errors import UserError
from dynfocus.network import reference
from dynfocus.network.batch import Prompts, Rows, Videos
from dynfocus.network.cce import ContextAttention, object_prototypes_of, read_objects, tree_order
from dynfocus.network.dpe import ScoreNetwork, estimate_events, pool_patches
from dynfocus.network.encoders import DynFocusEncoder
from dynfocus.network.text_encoder import FRAMES_PER_PASS, TextEncoder
from dynfocus.tokens import num_visual_tokens

SMALL = Network(grid=8)


def videos_of(*features):
    longest = max(map(len, features))
    padded = torch.zeros(len(features), longest, PATCHES, WIDTH)
    mask = torch.zeros(len(features), longest, dtype=torch.bool)
    for i, video in enumerate(features):
        padded[i, : len(video)] = video
        mask[i, : len(video)] = True
    return Videos.from_padded(padded, mask)


def prompts_of(video, width=5):
    ids = torch.randint(1, 50, (len(video), width))
    return Prompts(ids, torch.ones_like(ids), tuple(video))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_pooling_averages_squares_of_patches(dtype):
    frames = torch.randn(3, PATCHES, 10).to(dtype)
    expected = torch.stack([reference.pool(frame.double(), 8, 4) for frame in frames])
    made = pool_patches(frames, 8, 4)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)


def test_event_prototypes_are_means_over_all_pooled_values():
    frames = torch.randn(1, 12, 16, 10)
    events = estimate_events(frames, None, SMALL.model_copy(update={"event_prototypes": 5}))
    flat = frames[0].flatten(1).double()
    labels, centres, _, _ = reference.dpc_knn(flat, 5, SMALL.temporal_neighbours)
    expected = reference.merge(flat, labels, 5, torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(events.prototypes[0].flatten(1).double(), expected, rtol=1e-5, atol=1e-5)
    assert events.frames[0].tolist() == centres


@pytest.mark.parametrize("frames", [1, 4, 5, 6, 30])
def test_events_of_short_and_long_videos_equal_the_equations(frames):
    """T = 1, T < L, T = L, T = L + 1 and more."""
    pooled = torch.randn(1, frames, 16, 10)
    events = estimate_events(pooled, None, SMALL.model_copy(update={"event_prototypes": 5}))
    flat = pooled[0].flatten(1).double()
    labels, centres, _, _ = reference.dpc_knn(flat, 5, SMALL.temporal_neighbours)
    expected = reference.merge(flat, labels, len(centres), torch.ones(frames, dtype=torch.float64))
    assert events.frames[0].tolist() == centres
    assert events.labels[0].tolist() == labels
    torch.testing.assert_close(events.prototypes[0].flatten(1).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_permutation_of_the_patches_changes_only_the_maps():
    """The object prototypes of a frame are a set: the same tokens, in an order that the centres decide."""
    frames, order = torch.randn(3, PATCHES, 20), torch.randperm(PATCHES)
    made, moved = object_prototypes_of(frames, SMALL), object_prototypes_of(frames[:, order], SMALL)
    for one, other in zip(made.tokens, moved.tokens, strict=True):
        torch.testing.assert_close(one[one[:, 0].argsort()], other[other[:, 0].argsort()], rtol=1e-4, atol=1e-5)


def test_a_permutation_of_the_frames_permutes_their_object_prototypes():
    frames, order = torch.randn(7, PATCHES, 20), torch.randperm(7)
    made, moved = object_prototypes_of(frames, SMALL), object_prototypes_of(frames[order], SMALL)
    torch.testing.assert_close(made.tokens[order], moved.tokens, rtol=1e-5, atol=1e-6)
    assert torch.equal(made.fine_labels[order], moved.fine_labels)


@pytest.mark.parametrize("frames", [1, 6, 7, 20])
def test_all_visual_tokens_equal_the_paper_in_plain_lines(frames):
    encoder = toy_model().connector
    video = torch.randn(frames, PATCHES, WIDTH)
    videos, prompts = videos_of(video), prompts_of((0,))
    with torch.no_grad():
        rows = Rows.of(videos.lengths, prompts.video, video.device)
        queries = encoder.text_encoder(videos.frames, prompts, rows)
        expected = reference.visual_tokens(encoder, video, queries)
        torch.testing.assert_close(encoder(videos, prompts), expected, rtol=1e-4, atol=1e-5)


def test_scores_equal_the_equations_and_lie_between_zero_and_one():
    unit = ScoreNetwork(10)
    prototypes = torch.randn(2, 6, 16, 10)
    exists = torch.ones(2, 6, dtype=torch.bool)
    made = unit(prototypes, exists)
    for scores, own in zip(made, prototypes, strict=True):
        torch.testing.assert_close(scores, reference.score_events(unit, own), rtol=1e-5, atol=1e-5)
    assert made.amin() == 0 and made.amax() == 1
    exists[1, 4:] = False
    torch.testing.assert_close(unit(prototypes, exists)[1, :4], unit(prototypes[1:, :4], exists[1:, :4])[0])


def test_the_score_network_has_the_papers_parameters():
    """B.2 (a) with e = 2d = 2816: 12.897 M."""
    with torch.device("meta"):
        assert sum(p.numel() for p in ScoreNetwork(1408).parameters()) == pytest.approx(12.897e6, abs=1e3)


def test_object_prototypes_equal_the_equations_in_tree_order():
    frames = torch.randn(3, PATCHES, 20)
    frames[1] = frames[1, :1]
    frames[2, 10:30] = frames[2, 9]
    made = object_prototypes_of(frames, SMALL)
    for i, frame in enumerate(frames):
        tokens, group, coarse = reference.object_prototypes(frame.double(), 16, 6, (8, 3))
        assert made.group[i].tolist() == group
        torch.testing.assert_close(made.tokens[i].double(), tokens, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made.coarse_means[i].double(), coarse.mean(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("coarse", [0, 6])
def test_objects_made_block_by_block_equal_those_made_at_once(monkeypatch, coarse, dtype):
    frames, network = torch.randn(5, PATCHES, 20), SMALL.model_copy(update={"coarse_prototypes": coarse})
    whole = object_prototypes_of(frames, network, dtype)
    monkeypatch.setattr("dynfocus.network.cce.BLOCK_BYTES", {"cpu": 2 * 4 * PATCHES * (20 + 4 * PATCHES)})
    parts = object_prototypes_of(frames, network, dtype)
    assert whole.tokens.dtype == dtype
    for field, made in vars(parts).items():
        expected = getattr(whole, field)
        assert (made is None and expected is None) or torch.equal(made, expected), field


def test_each_coarse_prototype_is_followed_by_the_fine_ones_below_it():
    order, group = tree_order(torch.tensor([[1, 0, 1, 1]]), 2)
    assert order.tolist() == [[0, 3, 1, 2, 4, 5]]
    assert group.tolist() == [[0, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize("tokens", [3, 40])
@pytest.mark.parametrize("video", [(0, 1), (1, 0), (0, 0, 1), (0, 1, 0, 1)])
def test_context_attention_equals_the_unfolded_equations(tokens, video):
    """Folded into the smaller side, grouped by frame, gated: the same as frame by frame."""
    attention = ContextAttention(12, 20)
    rows = Rows.of((2, 3), video, torch.device("cpu"))
    queries, objects, gate = torch.randn(len(rows), 4, 12), torch.randn(5, tokens, 20), torch.rand(5, tokens)
    made = read_objects(attention(queries, objects, gate, rows), objects, gate, rows)
    for row, frame in enumerate(rows.frame):
        gated = gate[frame, :, None] * objects[frame]
        expected = reference.context_token(attention, queries[row], gated)
        torch.testing.assert_close(made[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("video", [(0, 1), (1, 0), (0, 0, 1)])
def test_text_encoder_equals_the_transformers_forward_pass(layers, video):
    config = InstructBlipQFormerConfig(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=50,
        encoder_hidden_size=20,
    )
    encoder = TextEncoder(config, 4, 20).eval()
    torch.nn.init.normal_(encoder.ln_vision.weight)
    frames = torch.randn(5, 9, 20)
    ids = torch.randint(1, 50, (len(video), 6))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    rows = Rows.of((2, 3), video, torch.device("cpu"))
    made = encoder(frames, Prompts(ids, mask, video), rows)
    model: InstructBlipQFormerModel = encoder.qformer
    expected = model(
        input_ids=ids[rows.prompt],
        attention_mask=torch.cat([torch.ones(len(rows), 4, dtype=torch.long), mask[rows.prompt]], dim=1),
        query_embeds=encoder.query_tokens.expand(len(rows), -1, -1),
        encoder_hidden_states=encoder.ln_vision(frames[rows.frame]),
    ).last_hidden_state[:, :4]
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)


def test_blocks_of_frames_give_the_same_queries():
    config = toy_config().qformer_config
    encoder = TextEncoder(config, 4, WIDTH).eval()
    lengths = (FRAMES_PER_PASS - 3, 8)
    frames = torch.randn(sum(lengths), PATCHES, WIDTH)
    prompts = prompts_of((0, 1, 1))
    rows = Rows.of(lengths, prompts.video, torch.device("cpu"))
    whole = encoder(frames, prompts, rows)
    with torch.no_grad():
        torch.testing.assert_close(encoder(frames, prompts, rows), whole, rtol=1e-5, atol=1e-5)


def test_the_sequence_holds_cones_and_rods_in_temporal_order():
    """Each frame's tokens, made from the parts by hand, at their place; two questions on one video."""
    encoder = DynFocusEncoder(toy_config(group_gate=True)).eval()
    videos, prompts = videos_of(torch.randn(9, PATCHES, WIDTH), torch.randn(4, PATCHES, WIDTH)), prompts_of((1, 0, 0))
    made = encoder.encode(videos, prompts)
    rows = Rows.of(videos.lengths, prompts.video, torch.device("cpu"))
    gated = made.objects.tokens * made.gate[..., None]
    queries = encoder.text_encoder(videos.frames, prompts, rows)
    cones = made.cone_frames.tolist()
    expected = []
    for prompt, video in enumerate(prompts.video):
        start = int(videos.starts[video])
        for frame in range(start, start + videos.lengths[video]):
            if frame in cones:
                pooled = pool_patches(videos.frames, 8, 4)[start : start + videos.lengths[video]]
                labels = made.events.labels[video][: len(pooled)]
                own = labels[frame - start]
                h = pooled[labels == own].mean(0)
                expected.append(encoder.fine_projector(torch.cat([h, gated[frame]])))
            row = int(((rows.frame == frame) & (rows.prompt == prompt)).nonzero())
            context = reference.context_token(encoder.context_attention, queries[row], gated[frame])
            expected.append(encoder.coarse_projector(torch.stack([context, gated[frame].mean(0)])))
    torch.testing.assert_close(made.tokens, torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert len(cones) == sum(made.selection.counts) == 5 + 4


@pytest.mark.parametrize(
    ("network", "per_video"),
    [
        ({}, 20 * 40 + 2 * 980),
        ({"cone_tokens": "patches"}, 20 * 256 + 2 * 980),
        ({"cone_tokens": "none"}, 2000),
        ({"cone_tokens": "dropped"}, 2 * 980),
        ({"rod_tokens": 0}, 20 * 40),
        ({"fusion": "concat"}, 20 * 34 + 2 * 980),
        ({"fusion": "cross_attention"}, 20 * 18 + 2 * 980),
        ({"coarse_prototypes": 0}, 20 * 34 + 2 * 980),
        ({"encoder": "two_token"}, 2000),
        ({"encoder": "llama_vid"}, 2000),
        ({"encoder": "flash_vstream"}, 681),
        ({"encoder": "chat_univi"}, 25 * 112),
        ({"encoder": "blind"}, 0),
    ],
)
def test_tokens_of_a_thousand_frames_at_paper_size(network, per_video):
    assert num_visual_tokens(Network(**network), 1000) == per_video


VARIANTS = [
    {},
    {"fusion": "concat"},
    {"fusion": "cross_attention"},
    {"cone_tokens": "patches"},
    {"cone_tokens": "none"},
    {"cone_tokens": "dropped"},
    {"rod_tokens": 0},
    {"clustering": "kmeans"},
    {"clustering": "weighted_kmeans"},
    {"coarse_prototypes": 0},
    {"merge_weights": "mean", "group_gate": True},
    {"selection_ratio": 1.0},
    {"selection_ratio": 0.2},
    {"encoder": "two_token"},
    {"encoder": "llama_vid"},
    {"encoder": "flash_vstream"},
    {"encoder": "chat_univi"},
    {"encoder": "blind"},
]


@pytest.mark.parametrize("network", VARIANTS, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_every_variant_makes_as_many_tokens_as_it_says(network, training):
    """T = 1, T < L, T = L, T = L + 1 and more, in one batch, with several questions per video."""
    connector = toy_model(**network).connector.train(training)
    videos = videos_of(*(torch.randn(t, PATCHES, WIDTH) for t in (1, 3, 6, 7, 20)))
    prompts = prompts_of((4, 0, 1, 2, 3, 4))
    tokens = connector(videos, prompts)
    assert tokens.shape == (sum(num_visual_tokens(connector.config, t) for t in (20, 1, 3, 6, 7, 20)), 64)
    assert tokens.isfinite().all()


@pytest.mark.parametrize("network", VARIANTS[:-1], ids=str)
def test_a_video_gives_the_same_tokens_alone_and_in_a_batch(network):
    connector = toy_model(**network).connector
    samples = [sample[0] for sample in toy_samples((7, 1, 20), (1, 1, 1))]
    prompts = prompts_of((0, 1, 2))
    together = connector(videos_of(*samples), prompts).split(
        [num_visual_tokens(connector.config, len(video)) for video in samples]
    )
    for i, video in enumerate(samples):
        alone = Prompts(prompts.input_ids[i : i + 1], prompts.attention_mask[i : i + 1], (0,))
        torch.testing.assert_close(connector(videos_of(video), alone), together[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["dynfocus", "two_token", "llama_vid"])
def test_the_content_token_may_lead(encoder):
    """The two tokens of every frame change places and nothing else does."""
    videos, prompts = videos_of(torch.randn(5, PATCHES, WIDTH)), prompts_of((0,))
    made = []
    for order in ("context_first", "content_first"):
        torch.manual_seed(0)
        connector = toy_model(encoder=encoder, rod_order=order, selection_ratio=0.2).connector
        made.append(connector(videos, prompts))
    where = [token for token in range(len(made[0])) if not torch.equal(made[0][token], made[1][token])]
    assert len(where) == 10
    for first, second in zip(where[::2], where[1::2], strict=True):
        assert torch.equal(made[0][[first, second]], made[1][[second, first]])


def test_selected_frames_are_distinct_in_training():
    encoder = DynFocusEncoder(toy_config()).train()
    made = encoder.encode(videos_of(torch.randn(20, PATCHES, WIDTH)), prompts_of((0,)))
    assert len(set(made.cone_frames.tolist())) == 5


def test_nan_features_are_refused():
    video = torch.randn(7, PATCHES, WIDTH)
    video[3, 5, 0] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        toy_model().connector(videos_of(video), prompts_of((0,)))


def test_a_video_without_a_prompt_is_refused():
    with pytest.raises(UserError, match="video 1 of the batch is read by no prompt"):
        Rows.of((2, 3), (0,), torch.device("cpu"))
