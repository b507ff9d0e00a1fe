"""Seeds and films as crossed samples: mean squares by hand, and error rates that are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dynfocus.evaluation.crossed import (
    Components,
    critical,
    detectable,
    effect_of,
    moderated,
    pseudo_values,
    seeds_needed,
    tail,
)
from dynfocus.evaluation.optimum import Sweep, best_setting, optimum_shift


def drawn(generator, seeds=3, films=30, per_film=4, sd=(1.0, 1.0, 1.0, 1.0, 1.0), mean=0.0):
    """Differences with given standard deviations of seed, film, question, seed × film and the rest."""
    of_seed, of_film, of_question, of_both, rest = sd
    values = (
        mean
        + of_seed * generator.standard_normal((seeds, 1, 1))
        + of_film * generator.standard_normal((1, films, 1))
        + of_question * generator.standard_normal((1, films, per_film))
        + of_both * generator.standard_normal((seeds, films, 1))
        + rest * generator.standard_normal((seeds, films, per_film))
    )
    return values.reshape(seeds, -1), np.repeat(np.arange(films), per_film)


def test_an_effect_by_hand():
    # two seeds, two films of one question: MS(seeds) 4.5, MS(films) 0.5, MS(both) 0.5
    effect = effect_of(np.array([[1.0, 1.0], [2.0, 3.0]]), ["a", "b"])
    assert effect.mean == 1.75
    assert effect.seed_error == pytest.approx(np.sqrt(2.25 / 4)) and effect.film_error == 0.0
    assert effect.interval()[1] - 1.75 == pytest.approx(effect.seed_error * stats.t.ppf(0.975, 1), rel=1e-3)


def test_films_weigh_by_their_questions():
    values = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    assert effect_of(values, ["a", "a", "a", "b"]).mean == 0.75


def test_one_seed_and_one_film():
    one = effect_of(np.ones((1, 4)), list("aabb"))
    assert one.interval() == (-np.inf, np.inf) and one.p_difference() == one.p_equivalence(100) == 1.0
    with pytest.raises(ValueError, match="one film"):
        effect_of(np.ones((2, 2)), ["a", "a"])


def test_seeds_of_equal_mean_are_no_proof():
    # each seed is ahead on one question of forty: three questions in all, and no spread between the seeds
    values = np.zeros((3, 40))
    values[range(3), [1, 12, 25]] = 1.0
    assert effect_of(values, np.repeat(np.arange(10), 4)).p_difference() > 0.05


def test_the_error_is_the_sum_of_a_t_and_a_normal():
    assert critical(1.0, 0.0, 2) == pytest.approx(stats.t.ppf(0.975, 2), rel=1e-3)
    assert critical(0.0, 1.0, 2) == pytest.approx(stats.norm.ppf(0.975), rel=5e-3)
    generator = np.random.default_rng(0)
    sums = 0.8 * generator.standard_t(2, 400_000) + 0.6 * generator.standard_normal(400_000)
    assert float(tail(2.5, 0.8, 0.6, 2)) == pytest.approx((sums > 2.5).mean(), rel=0.02)


def test_components_are_found_again():
    generator, sd = np.random.default_rng(1), (2.0, 3.0, 4.0, 1.5, 5.0)
    effects = [effect_of(*drawn(generator, 8, 60, 4, sd)) for _ in range(200)]
    for name, wanted in zip(("seed", "film", "question", "seed_film", "rest"), sd, strict=True):
        assert np.mean([getattr(one.components, name) for one in effects]) == pytest.approx(wanted**2, rel=0.12), name


def test_predicted_errors_are_those_of_the_study_that_was_measured():
    effect = effect_of(*drawn(np.random.default_rng(2), 5, 40, 3, (3.0, 3.0, 3.0, 3.0, 3.0)))
    assert effect.components.errors(5, 40, 3) == pytest.approx((effect.seed_error, effect.film_error))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("sd", [(0, 0, 0, 0, 1), (1, 0, 0, 0, 5), (0, 2, 3, 0, 5), (1, 3, 0, 2, 5), (0.3, 1, 1, 1, 5)])
def test_no_difference_is_found_as_seldom_as_the_level_says(seeds, sd):
    generator = np.random.default_rng(3)
    found = [effect_of(*drawn(generator, seeds, 25, 3, sd)).p_difference() for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 0.028  # 5 % and 2.5 standard errors of 400 draws


@pytest.mark.parametrize("sd", [(1, 0, 0, 0, 5), (0.5, 2, 0, 1, 5)])
def test_a_difference_of_the_margin_is_called_equivalent_as_seldom_as_the_level_says(sd):
    generator = np.random.default_rng(4)
    found = [effect_of(*drawn(generator, 4, 25, 3, sd, mean=2.0)).p_equivalence(2.0) for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 0.028


def test_the_power_is_the_one_that_was_promised():
    generator, sd = np.random.default_rng(5), (1.0, 2.0, 2.0, 1.0, 4.0)
    components = Components(*(value**2 for value in sd))
    promised = detectable(*components.errors(3, 25, 3), 2)
    found = [effect_of(*drawn(generator, 3, 25, 3, sd, mean=promised)).p_difference() for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.8, abs=0.06)


def test_more_seeds_find_smaller_differences_until_the_films_are_too_few():
    components = Components(seed=4.0, film=4.0, question=0.0, seed_film=0.0, rest=0.0)
    found = [detectable(*components.errors(seeds, 40, 5), seeds - 1) for seeds in (3, 5, 20)]
    assert found == sorted(found, reverse=True)
    assert seeds_needed(components, 40, 5, found[1]) == 5
    assert seeds_needed(components, 40, 5, 0.1) is None


def test_many_comparisons_share_what_trainings_differ_by():
    generator = np.random.default_rng(6)
    effects = [effect_of(*drawn(generator, 3, 25, 3, (1.0, 1.0, 1.0, 1.0, 3.0))) for _ in range(30)]
    shared = moderated(effects)
    assert [one.mean for one in shared] == [one.mean for one in effects]
    assert np.std([one.seed_error for one in shared]) < 0.5 * np.std([one.seed_error for one in effects])
    assert min(one.df for one in shared) > 4
    assert moderated(effects[:2]) == effects[:2]


def test_comparisons_that_differ_keep_their_own_spread():
    generator = np.random.default_rng(7)
    calm = [effect_of(*drawn(generator, 5, 25, 3, (0.2, 1, 1, 1, 3))) for _ in range(15)]
    wild = [effect_of(*drawn(generator, 5, 25, 3, (9.0, 1, 1, 1, 3))) for _ in range(15)]
    shared = moderated([*calm, *wild])
    assert max(one.df for one in shared) < 8
    assert min(one.seed_error for one in shared[15:]) > max(one.seed_error for one in shared[:15])


def test_moderated_tests_keep_the_level():
    generator, found = np.random.default_rng(8), []
    for _ in range(25):
        effects = [effect_of(*drawn(generator, 3, 25, 3, (0.5, 1, 1, 1, 3))) for _ in range(20)]
        found += [one.p_difference() for one in moderated(effects)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 0.025


def test_pseudo_values_of_a_macro_mean():
    parts = np.array([[True, True, True, False], [False, False, False, True]])
    values = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]])
    made = pseudo_values(values, parts)
    assert made.mean(axis=1) == pytest.approx([(1 / 3 + 1) / 2, 0.5])
    assert pseudo_values(values) is values


def curves(generator, seeds, films, per_film, peak, height, settings=5):
    """Right answers on films under each setting, more of them the nearer to the best one."""
    chance = 0.5 - height * np.abs(np.arange(settings) - peak)[:, None, None]
    luck = 0.03 * generator.standard_normal((settings, seeds, 1)) + np.repeat(
        0.1 * generator.standard_normal(films), per_film
    )
    right = generator.random((settings, seeds, films * per_film)) < chance + luck
    return Sweep(right * 1.0, np.repeat(np.arange(films), per_film).tolist())


def test_the_best_setting_and_its_interval():
    generator = np.random.default_rng(9)
    best = best_setting([10, 20, 30, 40, 50], curves(generator, 3, 30, 8, 3, 0.1), "x", 500)
    assert best.mean == 40 and best.interval()[0] >= 30
    flat = best_setting([10, 20, 30, 40, 50], curves(generator, 3, 30, 8, 3, 0.0), "x", 500)
    assert flat.interval()[1] - flat.interval()[0] >= 20


def test_a_shift_of_the_optimum_is_found_where_there_is_one_and_only_there():
    generator = np.random.default_rng(10)
    pairs = {"same": (2, 2), "other": (3, 1)}
    found = {name: [] for name in pairs}
    for name, (first, second) in pairs.items():
        for _ in range(60):
            sides = [curves(generator, 3, 20, 8, peak, 0.08) for peak in (first, second)]
            sides[1] = Sweep(sides[1].values, [film + 100 for film in sides[1].films])
            found[name].append(optimum_shift([10, 20, 30, 40, 50], *sides, "x", 400).p_difference())
    assert np.mean(np.array(found["same"]) <= 0.05) <= 0.1
    assert np.mean(np.array(found["other"]) <= 0.05) >= 0.8
