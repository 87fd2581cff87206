"""Conditions beside each other: distances of known samples, and false positives no more often than they claim."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import stats

from exolight.errors import InputError
from exolight.measurement.compare import by_condition, compare, ks_distance, pooled, wasserstein_distance
from exolight.measurement.effect import effect, holm
from exolight.measurement.population import Population, border_weights
from exolight.measurement.statistics import weighted_quantiles


def population(rows: Sequence[tuple[str, str, Sequence[float]]]) -> Population:
    """Condition, donor and diameters, nm, of each picture of 1 µm²."""
    counts = np.array([len(sizes) for _, _, sizes in rows], np.int64)
    diameters = np.concatenate([np.asarray(sizes, float) for _, _, sizes in rows])
    return Population(
        "nm",
        pictures=np.arange(len(rows)).astype(str),
        samples=np.array([""] * len(rows)),
        donors=np.array([donor for _, donor, _ in rows]),
        conditions=np.array([condition for condition, _, _ in rows]),
        counts=counts,
        cut=np.zeros_like(counts),
        areas_um2=np.ones(len(rows)),
        picture=np.repeat(np.arange(len(rows)), counts),
        diameters=diameters,
        weights=border_weights(diameters, 1000, 1000),
    )


def simulated(rng: np.random.Generator, donors: tuple[int, int], shift: float = 0.0, donor_sd: float = 0.1) -> Population:
    """Log-normal vesicles in pictures of samples of donors, each level with a scatter of its own (SD of ln); the second condition's are larger by ``shift``.

    The border cuts vesicles by chance, and those are left out.
    """
    rows = []
    for condition, count, median in (("a", donors[0], 100), ("b", donors[1], 100 * (1 + shift))):
        for donor in range(count):
            of_donor = rng.normal(np.log(median), donor_sd)
            for _ in range(2):
                of_sample = rng.normal(of_donor, 0.05)
                for _ in range(4):
                    vesicles = rng.poisson(20 * rng.gamma(2, 0.5))
                    sizes = np.exp(rng.normal(rng.normal(of_sample, 0.05), 0.35, vesicles)).clip(20, 600)
                    rows.append((condition, f"{condition}{donor}", sizes[rng.random(vesicles) < 1 / border_weights(sizes, 1000, 1000)]))
    return population(rows)


# Distances


def test_distances_by_hand() -> None:
    values = np.random.default_rng(0).lognormal(4, 0.4, 50)
    assert wasserstein_distance(values, values + 7) == pytest.approx(7)
    assert wasserstein_distance([0, 10], [5, 5]) == 5
    assert wasserstein_distance([0, 10], [10], [1, 3]) == 2.5
    assert ks_distance([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5
    assert ks_distance([1, 2], [2], [1, 3]) == 0.25
    for distance in (wasserstein_distance, ks_distance):
        assert distance(values, values) == 0
        assert np.isnan(distance(values, []))


def test_distances_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b, weights = rng.lognormal(4, 0.4, 60).round(), rng.lognormal(4.2, 0.3, 45).round(), rng.uniform(1, 3, 60)
    assert wasserstein_distance(a, b, weights) == pytest.approx(stats.wasserstein_distance(a, b, weights))
    assert ks_distance(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)


# Conditions


def test_a_comparison_by_hand() -> None:
    found = compare(
        population([
            ("", "d9", [500]), ("old", "d1", [50, 60]), ("old", "d1", [70]), ("new", "d3", [90, 100, 110, 110]), ("old", "d2", [60] * 9), ("new", "d4", []),
            ("new", "d4", [120]),
        ]),
        border_weighted=False,
    )  # fmt: skip
    assert len(found) == 1
    pair = found[0]
    assert (pair.conditions, pair.unit) == (("old", "new"), "nm")
    assert [(p.condition, p.donor, p.pictures, p.vesicles, p.sized, p.median, p.density_per_um2) for p in pair.points] == [
        ("old", "d1", 2, 3, 3, 60, 1.5),
        ("old", "d2", 1, 9, 9, 60, 9),
        ("new", "d3", 1, 4, 4, 105, 4),
        ("new", "d4", 2, 1, 1, 120, 0.5),
    ]
    assert pair.size == replace(effect({"d1": 60.0, "d2": 60.0}, {"d3": 105.0, "d4": 120.0}), p_holm=pair.size.p_value)
    assert pair.size.difference == 52.5
    assert pair.density == effect({"d1": 1.5, "d2": 9.0}, {"d3": 4.0, "d4": 0.5})
    # Donors weigh the same however many vesicles they have: mean 60 each, against means 102.5 and 120.
    assert pair.wasserstein == pytest.approx((102.5 + 120) / 2 - 60)
    assert pair.ks == 1


def test_sizes_are_weighted_against_the_border_if_wanted() -> None:
    sizes = [50, 60, 70, 400, 420]
    found = population([("a", "1", sizes), ("b", "2", [99])])
    point = compare(found)[0].points[0]
    assert point.median == weighted_quantiles(sizes, [0.5], border_weights(sizes, 1000, 1000)) == 400
    assert compare(found, border_weighted=False)[0].points[0].median == 70
    a = np.array(sizes) @ border_weights(sizes, 1000, 1000) / border_weights(sizes, 1000, 1000).sum()
    assert compare(found)[0].wasserstein > abs(99 - a)


def test_three_conditions_are_three_pairs_corrected_by_holm() -> None:
    rng = np.random.default_rng(0)
    rows = [(name, f"{name}{donor}", rng.normal(mean, 2, 9)) for name, mean in (("a", 100), ("b", 100), ("c", 120)) for donor in range(5)]
    found = compare(population(rows))
    assert [pair.conditions for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.size.p_holm for pair in found] == holm([pair.size.p_value for pair in found])
    assert [pair.density.p_holm for pair in found] == [1, 1, 1]
    assert found[1].size.p_value == pytest.approx(2 / 252)
    assert found[1].size.p_holm == pytest.approx(6 / 252)


def test_one_donor_a_condition_is_shown_without_a_test() -> None:
    rng = np.random.default_rng(0)
    pair = compare(population([("a", "1", rng.normal(80, 5, 500)), ("b", "2", rng.normal(120, 5, 500))]))[0]
    assert pair.size.difference == pytest.approx(40, abs=1)
    assert pair.wasserstein == pytest.approx(40, abs=1)
    assert pair.size.p_value is None
    assert pair.size.p_holm is None
    assert "one donor" in pair.size.note


def test_a_donor_without_sizes_has_a_density() -> None:
    pair = compare(population([("a", "1", [50]), ("a", "2", []), ("b", "3", [60]), ("b", "4", [70])]))[0]
    assert pair.size.donors == (1, 2)
    assert pair.density.donors == (2, 2)
    empty = compare(population([("a", "1", []), ("b", "3", [60])]))[0]
    assert np.isnan([empty.wasserstein, empty.ks, empty.size.difference]).all()
    assert empty.density.difference == 1


def test_conditions_donors_and_their_vesicles() -> None:
    found = population([("b", "1", [50, 60, 70]), ("a", "1", [80]), ("", "", [10]), ("b", "2", [99]), ("b", "1", [40])])
    groups = by_condition(found)
    assert [(name, list(donors)) for name, donors in groups.items()] == [("b", ["1", "2"]), ("a", ["1"])]
    assert groups["b"]["1"].diameters.tolist() == [50, 60, 70, 40]
    diameters, weights = pooled(list(groups["b"].values()), border_weighted=False)
    assert (diameters.tolist(), weights.tolist()) == ([50, 60, 70, 40, 99], [0.25] * 4 + [1])
    _, weights = pooled(list(groups["b"].values()))
    own = border_weights([50, 60, 70, 40], 1000, 1000)
    np.testing.assert_allclose(weights, [*own / own.sum(), 1])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="only the condition 'a'"):
        compare(population([("a", "1", [50]), ("", "2", [60])]))
    with pytest.raises(InputError, match="names no condition"):
        compare(population([("", "1", [50])]))
    with pytest.raises(InputError, match="condition 'b', but no donor"):
        compare(population([("a", "1", [50]), ("b", "", [60])]))


@pytest.mark.slow
@pytest.mark.parametrize("donors", [(3, 3), (4, 4), (5, 5), (6, 6), (3, 6)])
def test_false_positives_are_no_more_than_they_claim(donors: tuple[int, int]) -> None:
    """Nothing differs between the conditions but their donors: p < 0.05 in at most 5 % of 600 experiments, vesicle by vesicle in more than a third of them."""
    rng = np.random.default_rng(donors)
    sizes, densities, covered, naive = [], [], [], {"Mann-Whitney": [], "Kolmogorov-Smirnov": []}
    for _ in range(600):
        found = simulated(rng, donors)
        pair = compare(found)[0]
        sizes.append(pair.size.p_value < 0.05)
        densities.append(pair.density.p_value < 0.05)
        covered.append(pair.size.interval[0] <= 0 <= pair.size.interval[1])
        vesicles = [found.diameters[found.conditions[found.picture] == name] for name in "ab"]
        naive["Mann-Whitney"].append(stats.mannwhitneyu(*vesicles).pvalue < 0.05)
        naive["Kolmogorov-Smirnov"].append(stats.ks_2samp(*vesicles).pvalue < 0.05)
    chance = 2.33 * np.sqrt(0.05 * 0.95 / 600)  # a test of exactly 5 % exceeds it once in a hundred
    rates = {"sizes": np.mean(sizes), "densities": np.mean(densities)} | {name: np.mean(values) for name, values in naive.items()}
    print(donors, {name: round(float(rate), 3) for name, rate in rates.items()}, "interval holds 0:", round(float(np.mean(covered)), 3))
    assert rates["sizes"] <= 0.05 + chance
    assert rates["densities"] <= 0.05 + chance
    assert rates["Mann-Whitney"] > 0.35
    assert rates["Kolmogorov-Smirnov"] > 0.35
    assert np.mean(covered) > 0.95 - 2 * chance


@pytest.mark.slow
def test_three_pairs_together_give_no_more_false_positives_than_one() -> None:
    """Holm's correction: of three conditions that do not differ, any pair does in at most 5 % of 400 experiments."""
    rng = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(400):
        parts = [simulated(rng, (5, 5)), simulated(rng, (5, 5))]
        third = replace(parts[1], conditions=np.char.replace(np.char.replace(parts[1].conditions, "a", "c"), "b", ""))
        found = compare(_together(parts[0], third))
        assert len(found) == 3
        raw.append(any(pair.size.p_value < 0.05 for pair in found))
        corrected.append(any(pair.size.p_holm < 0.05 for pair in found))
    print("any of three pairs:", np.mean(raw), "after Holm:", np.mean(corrected))
    assert np.mean(corrected) <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(raw) > np.mean(corrected)


def _together(one: Population, other: Population) -> Population:
    joined = {field.name: np.concatenate([getattr(one, field.name), getattr(other, field.name)]) for field in fields(Population) if field.name != "unit"}
    picture = np.concatenate([one.picture, other.picture + len(one.counts)])
    return Population("nm", **(joined | {"picture": picture, "donors": np.char.add(joined["conditions"], joined["donors"])}))


@pytest.mark.slow
def test_a_fifth_larger_is_found_mostly() -> None:
    rng = np.random.default_rng(0)
    effects = [compare(simulated(rng, (6, 6), shift=0.2, donor_sd=0.08))[0].size for _ in range(200)]
    power = np.mean([one.p_value < 0.05 for one in effects])
    print("power at +20 %, 6 v 6 donors:", power)
    assert power > 0.7
    assert np.mean([one.difference for one in effects]) == pytest.approx(20, abs=2)
