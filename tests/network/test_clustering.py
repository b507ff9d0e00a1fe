"""The clustering kernels equal the reference written from the equations, also where it hurts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.errors import UserError
from dynfocus.network import reference
from dynfocus.network.clustering import LONG_ROWS, Choices, cluster, kmeans, weighted_sums
from dynfocus.network.distances import (
    SYMMETRIC_FROM,
    centred,
    centred_gram,
    gram,
    squared_distances,
    take_rows,
)

METHODS = ["dpc_knn", "kmeans", "weighted_kmeans"]


def blobs(items, channels, centres=6, noise=0.3, seed=0):
    """Items around a few centres, in a shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(centres, channels, generator=generator)
    owner = torch.randint(centres, (items,), generator=generator)
    return means[owner] + noise * torch.randn(items, channels, generator=generator)


def with_duplicates():
    x = blobs(24, 16)
    x[5], x[11], x[23] = x[2], x[2], x[20]
    return x


ADVERSARIAL = {
    "random": lambda: torch.randn(40, 33),
    "blobs": lambda: blobs(60, 20),
    "ties on an integer grid": lambda: torch.cartesian_prod(torch.arange(6.0), torch.arange(5.0)),
    "integers with repeats": lambda: torch.randint(0, 3, (50, 4)).float(),
    "duplicates": with_duplicates,
    "two alternating frames": lambda: torch.randn(2, 30).repeat(10, 1),
    "all equal": lambda: torch.randn(1, 64).expand(20, 64).clone(),
    "large common offset": lambda: blobs(30, 16) + 512.0,
    "one more than clusters": lambda: torch.randn(6, 12),
    "as many as clusters": lambda: torch.randn(5, 12),
    "fewer than clusters": lambda: torch.randn(3, 12),
    "one item": lambda: torch.randn(1, 12),
    "wide apart": lambda: 100.0 * torch.randn(30, 8),
    "close together": lambda: 1e-3 * torch.randn(30, 8),
}


@pytest.mark.parametrize("case", ADVERSARIAL)
def test_dpc_knn_equals_the_equations(case):
    x = ADVERSARIAL[case]()
    made = cluster(x[None], 5, "dpc_knn", 4)
    labels, centres, rho, delta = reference.dpc_knn(x.double(), 5, 4)
    assert made.centres[0].tolist() == centres
    assert made.labels[0].tolist() == labels
    if len(x) > 5:
        torch.testing.assert_close(made.importance[0].double(), rho * delta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "case", ["random", "blobs", "duplicates", "all equal", "large common offset", "close together"]
)
@pytest.mark.parametrize("neighbours", ["others", "with_itself"])
@pytest.mark.parametrize("separation", ["squared", "distance"])
@pytest.mark.parametrize("densest", ["own", "sample"])
def test_every_choice_that_the_paper_leaves_open_equals_the_equations(case, neighbours, separation, densest):
    x = ADVERSARIAL[case]()
    made = cluster(x[None], 5, "dpc_knn", 4, choices=Choices(neighbours, separation, densest))
    open_choices = (neighbours == "with_itself", separation == "squared", densest == "sample")
    labels, centres, rho, delta = reference.dpc_knn(x.double(), 5, 4, *open_choices)
    assert made.centres[0].tolist() == centres
    assert made.labels[0].tolist() == labels
    torch.testing.assert_close(made.importance[0].double(), rho * delta, rtol=1e-5, atol=1e-5)


def test_the_worked_example_of_four_frames():
    """That at the top of the module."""
    x = torch.tensor([0.0, 1.0, 2.0, 9.0])[None, :, None]
    made = cluster(x, 2, "dpc_knn", 1)
    assert (made.labels[0].tolist(), made.centres[0].tolist()) == ([0, 1, 1, 1], [0, 1])
    torch.testing.assert_close(made.importance[0], torch.tensor([29.8, 0.368, 0.368, 0.0]), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("weights", ["density", "exp_density", "equal"])
def test_weights_of_weighted_kmeans(weights):
    x = blobs(40, 24)
    made = cluster(x[None], 6, "weighted_kmeans", 5, choices=Choices(kmeans_weights=weights))
    _, _, rho, delta = reference.dpc_knn(x.double(), 6, 5)
    of_items = {"density": rho, "exp_density": torch.exp(rho * delta), "equal": torch.ones_like(rho)}[weights]
    labels, centres = reference.kmeans(x.double(), 6, of_items, 20)
    assert (made.labels[0].tolist(), made.centres[0].tolist()) == (labels, centres)


@pytest.mark.parametrize("weights", ["mean", "exp_density"])
@pytest.mark.parametrize("case", ["random", "duplicates", "all equal", "one item", "wide apart"])
def test_merged_prototypes_equal_the_equations(case, weights):
    x = ADVERSARIAL[case]()
    labels, centres, rho, delta = reference.dpc_knn(x.double(), 5, 4)
    product = rho * delta if weights == "exp_density" else torch.zeros(len(x), dtype=torch.float64)
    expected = reference.merge(x.double(), labels, len(centres), torch.exp(product))
    made = cluster(x[None], 5, "dpc_knn", 4).merge(x[None], weights)[0]
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", [name for name in ADVERSARIAL if "integer" not in name])
def test_kmeans_equals_the_equations(case, weighted):
    x = ADVERSARIAL[case]()
    weights = torch.rand(len(x)) + 0.5 if weighted else torch.ones(len(x))
    if len(x) <= 5:
        assert cluster(x[None], 5, "kmeans").labels[0].tolist() == list(range(len(x)))
        return
    made = kmeans(x[None], 5, weights[None].log())
    labels, centres = reference.kmeans(x.double(), 5, weights.double(), 20)
    assert made.labels[0].tolist() == labels
    assert made.centres[0].tolist() == centres


@pytest.mark.parametrize("spread", [1.0, 0.05])
def test_many_items_are_clustered_as_few(spread):
    """Above the size from which Gram matrix and nearest neighbours are made in another way."""
    x = blobs(SYMMETRIC_FROM + 40, 6, centres=9, noise=spread)
    made = cluster(x[None], 12, "dpc_knn", 5)
    labels, centres, rho, delta = reference.dpc_knn(x.double(), 12, 5)
    assert made.centres[0].tolist() == centres
    assert made.labels[0].tolist() == labels
    torch.testing.assert_close(made.importance[0].double(), rho * delta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [LONG_ROWS - 1, LONG_ROWS])
@pytest.mark.parametrize("method", METHODS)
def test_long_and_short_rows_are_merged_alike(method, channels):
    """Padded samples with empty slots, on both sides of the size from which members are summed row by row."""
    x = torch.randn(2, 9, channels)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 3:] = False
    made = cluster(x, 4, method, 3, mask)
    for sample in range(2):
        for slot in range(4):
            members = x[sample, made.labels[sample] == slot].double()
            expected = members.mean(0) if made.exists[sample, slot] else torch.zeros(channels, dtype=torch.float64)
            torch.testing.assert_close(made.merge(x)[sample, slot].double(), expected, rtol=1e-5, atol=1e-6)


def test_sums_of_long_rows_are_the_matrix_product():
    labels = torch.tensor([[2, 0, 2, 2, 0], [1, 1, 1, 1, 1]])
    share = torch.nn.functional.one_hot(labels, 3).transpose(1, 2) * torch.rand(2, 1, 5)
    x = torch.randn(2, 5, LONG_ROWS)
    torch.testing.assert_close(weighted_sums(x, share, labels), share @ x, rtol=1e-5, atol=1e-6)


def test_rows_are_taken_sample_by_sample():
    x = torch.arange(12.0).view(2, 3, 2)
    assert take_rows(x, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.lists(st.integers(1, 14), min_size=1, max_size=4),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 10**6),
)
def test_padding_and_batch_change_nothing(method, lengths, clusters, extra, seed):
    """A sample's clusters are the same alone and padded in a batch; padding, even NaN, never joins a cluster."""
    generator = torch.Generator().manual_seed(seed)
    samples = [torch.randn(length, 6, generator=generator) for length in lengths]
    longest = max(lengths) + extra
    batch = torch.full((len(samples), longest, 6), torch.nan)
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    for i, sample in enumerate(samples):
        batch[i, : len(sample)] = sample
        mask[i, : len(sample)] = True
    made = cluster(batch, clusters, method, 3, mask)
    for i, sample in enumerate(samples):
        alone = cluster(sample[None], clusters, method, 3)
        kept = min(clusters, len(sample))
        assert made.labels[i, : len(sample)].tolist() == alone.labels[0].tolist()
        assert (made.labels[i, len(sample) :] == -1).all()
        assert made.exists[i].sum() == kept
        assert made.centres[i][made.exists[i]].tolist() == alone.centres[0][:kept].tolist()
        merged = made.merge(batch.nan_to_num(0.0))[i, :kept]
        torch.testing.assert_close(merged, alone.merge(sample[None])[0, :kept], rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 30))
def test_a_permutation_of_the_frames_permutes_the_clusters(seed, items):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(items, 12, generator=generator)
    order = torch.randperm(items, generator=generator)
    made, moved = cluster(x[None], 5), cluster(x[order][None], 5)
    assert sorted(order[moved.centres[0]].tolist()) == made.centres[0].tolist()
    centre_of = made.centres[0][made.labels[0]]
    assert order[moved.centres[0][moved.labels[0]]].tolist() == centre_of[order].tolist()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.25, 2.0, 64.0]), st.integers(0, 10**6))
def test_kmeans_does_not_see_the_scale(factor, seed):
    x = torch.randn(1, 25, 10, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(kmeans(x, 6).labels, kmeans(x * factor, 6).labels)


def test_dpc_knn_scales_with_its_distances():
    """δ of x·a is a² δ, and ρ of x·a is ρ to the power a²."""
    x = torch.randn(1, 30, 10)
    _, _, rho, delta = reference.dpc_knn(2 * x[0].double(), 5, 4)
    torch.testing.assert_close(
        cluster(2 * x, 5, "dpc_knn", 4).importance[0].double(), rho * delta, rtol=1e-5, atol=1e-6
    )
    _, _, small_rho, small_delta = reference.dpc_knn(x[0].double(), 5, 4)
    torch.testing.assert_close(rho, small_rho**4)
    torch.testing.assert_close(delta, 4 * small_delta)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("items", [3, 20])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_and_infinity_are_refused(method, items, value):
    x = torch.randn(2, items, 4)
    x[1, 2, 3] = value
    with pytest.raises(UserError, match="item 2 of sample 1 holds NaN"):
        cluster(x, 5, method)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_input_type_is_clustered_in_fp32(dtype):
    x = blobs(40, 24).to(dtype)[None]
    made, exact = cluster(x, 6), cluster(x.float(), 6)
    assert made.importance.dtype == torch.float32
    assert torch.equal(made.labels, exact.labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cluster(x, 6).importance, exact.importance)


def test_symmetric_blocks_give_the_gram_matrix():
    x = torch.randn(1, SYMMETRIC_FROM + 7, 9)
    made = torch.empty(1, x.shape[1], x.shape[1])
    gram(x, made)
    torch.testing.assert_close(made, x @ x.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_samples_centred_a_few_at_a_time_give_the_same_as_all_at_once(monkeypatch, dtype):
    x, mask = torch.randn(7, 12, 9).to(dtype), torch.arange(12) >= torch.arange(7)[:, None]
    whole = centred_gram(x, mask)
    monkeypatch.setattr("dynfocus.network.distances.CACHED_BYTES", 2 * 4 * 12 * 9)
    assert torch.equal(centred_gram(x, mask), whole)
    torch.testing.assert_close(whole, centred(x, mask) @ centred(x, mask).transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("items", [30, SYMMETRIC_FROM + 30])
def test_distances_are_symmetric_with_exact_zeros_for_equal_items(items):
    x = torch.randn(1, items, 50)
    x[0, items - 1] = x[0, 3]
    distance = squared_distances(x)[0]
    assert torch.equal(distance, distance.T)
    assert distance[3, items - 1] == 0
    assert torch.equal(distance[3], distance[items - 1])
    assert (distance == 0).sum() == items + 2


def test_every_cluster_has_a_member_and_its_centre_is_one():
    for method in METHODS:
        made = cluster(torch.randint(0, 2, (8, 40, 3)).float(), 12, method)
        for labels, centres in zip(made.labels, made.centres, strict=True):
            assert sorted(set(labels.tolist())) == list(range(12))
            assert labels[centres].tolist() == list(range(12))


def test_weighted_kmeans_equals_the_equations_with_densities_as_weights():
    x = blobs(40, 24)
    made = cluster(x[None], 6, "weighted_kmeans", 5)
    _, _, rho, _ = reference.dpc_knn(x.double(), 6, 5)
    labels, centres = reference.kmeans(x.double(), 6, rho, 20)
    assert (made.labels[0].tolist(), made.centres[0].tolist()) == (labels, centres)


def test_weighted_kmeans_knows_densities_too_small_for_fp32():
    x = 35 * blobs(40, 24)
    made = cluster(x[None], 6, "weighted_kmeans", 5)
    assert made.importance.amax().exp() == 0
    _, _, rho, _ = reference.dpc_knn(x.double(), 6, 5)
    labels, centres = reference.kmeans(x.double(), 6, rho, 20)
    assert (made.labels[0].tolist(), made.centres[0].tolist()) == (labels, centres)
