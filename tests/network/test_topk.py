"""Hard and perturbed Top-K: the indicator, its whole Jacobian, and its memory."""

import compare_gradients
import pytest
import torch

from dynfocus.network import reference
from dynfocus.network.smallest import LONG, network_smallest, smallest, sorting_pairs
from dynfocus.network.topk import _PerturbedTopK, hard_topk, perturbed_topk


def soft(scores, noise, counts, width, sigma=0.1, full=True):
    return _PerturbedTopK.apply(scores, noise, torch.tensor(counts), width, sigma, full)


@pytest.mark.parametrize("scores", [torch.rand(9), torch.zeros(9), torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0, 1])])
def test_indicator_and_jacobian_equal_the_one_hot_reference(scores):
    noise = torch.randn(200, 9)
    expected, jacobian = reference.perturbed_topk(scores, noise, 4, 0.1)
    leaf = scores[None].clone().requires_grad_()
    made = soft(leaf, noise[None], [4], 4)
    torch.testing.assert_close(made[0], expected, rtol=1e-5, atol=1e-6)
    weights = torch.randn(4, 9)
    made.backward(weights[None])
    torch.testing.assert_close(leaf.grad[0], torch.einsum("kl,klm->m", weights, jacobian), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("length", "count", "before", "after"), [(25, 20, 0.65, 0.70), (80, 36, 0.25, 0.45)])
def test_the_mean_over_the_other_draws_takes_most_of_the_noise(length, count, before, after):
    """Frames that share most of their feature: cosine of one step's gradient with that of 400,000 draws."""
    scores = torch.rand(length)
    features = 3 * torch.randn(1, 64) + torch.randn(length, 64)
    weights = torch.randn(count, 64) / 8 @ features.T

    def gradient(noise):
        leaf = scores[None].clone().requires_grad_()
        soft(leaf, noise[None], [count], count).backward(weights[None])
        return leaf.grad[0]

    def without_it(noise):
        chosen = (scores + 0.1 * noise).topk(count, dim=1).indices.sort(1).values
        gain = weights[torch.arange(count), chosen].sum(1)
        return (gain[:, None] * noise).mean(0) / 0.1

    exact = torch.stack([gradient(torch.randn(20_000, length)) for _ in range(20)]).mean(0)
    draws = [torch.randn(500, length) for _ in range(60)]
    cosines = [
        torch.stack([torch.cosine_similarity(estimate(noise), exact, 0) for noise in draws]).mean()
        for estimate in (without_it, gradient)
    ]
    assert cosines[0] < before and cosines[1] > after


def test_the_comparison_at_checkpoints_finds_the_quieter_estimator(monkeypatch):
    """A film whose gradient is a large constant and a small part: the truth is that of central differences."""
    monkeypatch.setattr(compare_gradients, "EXACT_DRAWS", 100_000)
    film = compare_gradients.Film(torch.tensor([0.9, 0.2, 0.6, 0.45, 0.5]), 3 + torch.randn(4, 5))
    made = compare_gradients.compare([film], 500, 0.1, 30)
    assert (made["prototypes"], made["kept"], made["films"]) == (5, 4, 1)
    assert made["differences"] < 0.1
    assert made["variance"]["ours"] < made["variance"]["before"] / 4
    assert made["cosine"]["ours"] > made["cosine"]["before"]


def test_where_everything_is_chosen_the_gradient_is_zero_to_rounding():
    leaf = torch.rand(1, 25, requires_grad=True)
    soft(leaf, torch.randn(1, 500, 25), [25], 25).backward(torch.randn(1, 25, 25))
    assert leaf.grad.abs().max() < 1e-4


def test_diagonal_gradient_keeps_only_each_scores_own_entries():
    scores, noise, weights = torch.rand(7), torch.randn(300, 7), torch.randn(3, 7)
    _, jacobian = reference.perturbed_topk(scores, noise, 3, 0.1)
    leaf = scores[None].clone().requires_grad_()
    soft(leaf, noise[None], [3], 3, full=False).backward(weights[None])
    own = torch.einsum("kl,kll->l", weights, jacobian)
    torch.testing.assert_close(leaf.grad[0], own, rtol=1e-5, atol=1e-5)


def test_full_gradient_matches_finite_differences_of_the_expectation():
    """Common random numbers, many draws; the diagonal gradient fails the same comparison."""
    scores = torch.tensor([0.9, 0.2, 0.6, 0.45, 0.5])
    weights = torch.randn(2, 5)
    noise = torch.randn(400_000, 5)
    step = 0.02

    def expectation(values):
        return (soft(values[None], noise[None], [2], 2)[0] * weights).sum()

    slopes = torch.stack(
        [(expectation(scores + step * unit) - expectation(scores - step * unit)) / (2 * step) for unit in torch.eye(5)]
    )
    gradients = {}
    for full in (True, False):
        leaf = scores[None].clone().requires_grad_()
        soft(leaf, noise[None], [2], 2, full=full).backward(weights[None])
        gradients[full] = leaf.grad[0]
    torch.testing.assert_close(gradients[True], slopes, rtol=0.05, atol=0.05)
    assert (gradients[False] - slopes).abs().max() > 0.5


def test_rows_of_different_k_do_not_mix():
    scores, noise = torch.rand(2, 6), torch.randn(2, 100, 6)
    scores[1, 4:] = -torch.inf
    made = soft(scores, noise, [4, 2], 4)
    torch.testing.assert_close(made[0], reference.perturbed_topk(scores[0], noise[0], 4, 0.1)[0])
    torch.testing.assert_close(made[1, :2, :4], reference.perturbed_topk(scores[1, :4], noise[1, :, :4], 2, 0.1)[0])
    assert made[1, 2:].abs().sum() == 0
    assert made[1, :, 4:].abs().sum() == 0


def test_each_used_row_of_the_indicator_sums_to_one():
    made = perturbed_topk(torch.rand(3, 12), torch.tensor([5, 5, 5]), 5, 64, 0.1)
    torch.testing.assert_close(made.sum(2), torch.ones(3, 5))


def test_hard_topk_is_sorted_in_time_and_breaks_ties_by_index():
    scores = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1], [0.0, 0.0, 0.0, -torch.inf, -torch.inf]])
    assert hard_topk(scores, torch.tensor([3, 2]), 3).tolist() == [[0, 1, 2], [0, 1, 5]]


def test_no_draws_by_k_by_l_tensor_is_made():
    """L = 80, K = 64, n = 500: the one-hot tensor alone would be 10 MB; every tensor made stays below 1 MB."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple | list) else [result]:
                if isinstance(value, torch.Tensor):
                    sizes.append(value.untyped_storage().nbytes())
            return result

    scores = torch.rand(1, 80, requires_grad=True)
    with Watch():
        perturbed_topk(scores, torch.tensor([64]), 64, 500, 0.1).sum().backward()
    assert max(sizes) < 1 << 20


@pytest.mark.parametrize("count", [1, 3, 5, 8])
@pytest.mark.parametrize("items", [8, 9, 33, 256])
def test_the_sorting_network_finds_the_smallest_values(count, items):
    x = torch.randint(0, 9, (2, items, 17)).float()
    x[0, 3] = torch.inf
    made = torch.stack(network_smallest(x, count), dim=1)
    assert torch.equal(made, x.sort(dim=1).values[:, :count])


@pytest.mark.parametrize("items", [9, LONG - 1, LONG])
def test_the_smallest_values_of_a_symmetric_matrix(items):
    x = torch.rand(2, items, items)
    x = x + x.transpose(1, 2)
    assert torch.equal(smallest(x, 5), x.sort(dim=1).values[:, :5])


def test_a_network_of_eight_lanes_has_nineteen_exchanges():
    assert len(sorting_pairs(8)) == 19
