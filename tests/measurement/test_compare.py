"""Conditions beside each other: permutations counted by hand, distances of known samples, and false positives no more often than they claim."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from exolight.errors import InputError
from exolight.measurement.compare import compare, effect, holm, ks_distance, wasserstein_distance
from exolight.measurement.population import Population, border_weights, weighted_quantiles


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


def named(values: Sequence[float], prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{index}": value for index, value in enumerate(values)}


# One quantity


def test_permutations_counted_by_hand() -> None:
    """Of the 6 ways to share out 1, 2, 4, 7, two have |t| 2.5 (1 2 | 4 7 and back), two 0.69 (1 4 | 2 7), two 0.32 (1 7 | 2 4)."""
    for first, second, p_value in (([1, 2], [4, 7], 2 / 6), ([1, 4], [7, 2], 4 / 6), ([2, 4], [1, 7], 1)):
        found = effect(named(first, "a"), named(second, "b"))
        assert found.p_value == pytest.approx(p_value)
        assert found.difference == np.mean(second) - np.mean(first)
        assert (found.donors, found.paired, found.smallest_p) == ((2, 2), False, pytest.approx(2 / 6))
    # The three smallest | the four largest have |t| 3.7, no other way has: one of 35.
    unequal = effect(named([10, 20, 30], "a"), named([40, 41, 42, 43], "b"))
    assert (unequal.p_value, unequal.smallest_p) == (pytest.approx(1 / 35), pytest.approx(1 / 35))
    assert effect(named([5, 5], "a"), named([5, 5], "b")).p_value == 1


def test_three_against_three_cannot_be_significant_and_it_says_so() -> None:
    found = effect(named([1, 2, 3], "a"), named([101, 102, 103], "b"))
    assert (found.p_value, found.smallest_p) == (pytest.approx(0.1), pytest.approx(0.1))
    assert "cannot give a p-value under 0.1" in found.note
    assert effect(named([1, 2, 3, 4], "a"), named([101, 102, 103, 104], "b")).note == ""


def test_the_interval_is_welchs_and_g_is_hedges() -> None:
    a, b = [90.0, 100, 104, 96], [120.0, 108, 117]
    found = effect(named(a, "a"), named(b, "b"))
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))
    pooled = np.sqrt((3 * np.var(a, ddof=1) + 2 * np.var(b, ddof=1)) / 5)
    assert found.hedges_g == pytest.approx((np.mean(b) - np.mean(a)) / pooled * (1 - 3 / 19))
    assert effect(named([5, 5], "a"), named([7, 7], "b")).interval == (2, 2)
    assert effect(named([5, 5], "a"), named([7, 7], "b")).hedges_g is None


def test_donors_in_both_conditions_are_pairs() -> None:
    """Differences 4, 6, -1: of the 8 ways to swap, ±(4 + 6 + 1) differ more and ±(4 + 6 - 1) as much."""
    before, after = {"x": 100.0, "y": 150.0, "z": 80.0}, {"z": 79.0, "x": 104.0, "y": 156.0}
    found = effect(before, after)
    assert found.paired
    assert (found.difference, found.p_value, found.smallest_p) == (pytest.approx(3), pytest.approx(4 / 8), pytest.approx(2 / 8))
    expected = stats.ttest_1samp([4, 6, -1], 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))
    incomplete = effect(before | {"w": 1.0}, after | {"w": np.nan})
    assert (incomplete.donors, incomplete.p_value) == ((3, 3), pytest.approx(0.5))


def test_donors_that_are_partly_in_both_give_no_p_value() -> None:
    found = effect({"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 1.0, "y": 2.0, "w": 4.0})
    assert (found.p_value, found.interval, found.hedges_g) == (None, None, None)
    assert "2 donors are in both" in found.note


def test_what_is_permuted_is_welchs_t() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        values = np.concatenate([rng.normal(100, 30, 3), rng.normal(130, 8, 6)])
        ways = [list(way) for way in combinations(range(9), 3)]
        t = np.abs([stats.ttest_ind(values[way], np.delete(values, way), equal_var=False).statistic for way in ways])
        assert effect(named(values[:3], "a"), named(values[3:], "b")).p_value == pytest.approx(np.mean(t >= t[0] - 1e-9))


@pytest.mark.parametrize("counts", [(1, 5), (5, 1), (1, 1)])
def test_one_donor_gives_no_p_value_and_says_why(counts: tuple[int, int]) -> None:
    found = effect(named(range(counts[0]), "a"), named([10.0] * counts[1], "b"))
    assert found.difference == 10 - (counts[0] - 1) / 2
    assert (found.p_value, found.interval, found.hedges_g, found.smallest_p) == (None, None, None, None)
    assert "not independent" in found.note


def test_unknown_quantities_are_left_out() -> None:
    found = effect(named([1, 2, np.nan], "a"), named([4, 7], "b"))
    assert (found.donors, found.p_value) == ((2, 2), pytest.approx(1 / 3))
    nothing = effect(named([1, 2], "a"), named([np.nan], "b"))
    assert np.isnan(nothing.difference)
    assert nothing.p_value is None
    assert "not known" in nothing.note


@pytest.mark.parametrize(("a", "b"), [(4, 4), (3, 5), (3, 6)])
def test_the_permutation_test_keeps_its_level_exactly(a: int, b: int) -> None:
    """Of all ways to share out any values, at most a share p has a p-value of at most p."""
    values = np.random.default_rng(a).standard_t(2, a + b)
    ways = [set(way) for way in combinations(range(a + b), a)]
    sides = [({str(i): values[i] for i in way}, {str(i): values[i] for i in range(a + b) if i not in way}) for way in ways]
    p_values = np.array([effect(first, second).p_value for first, second in sides])
    for p in np.unique(p_values):
        assert (p_values <= p).mean() <= p + 1e-9
    assert (p_values <= 0.05).any()


def test_the_sign_test_keeps_its_level_exactly() -> None:
    values = np.random.default_rng(0).standard_t(2, 7)
    p_values = np.array([effect(named([0.0] * 7), named(values * signs)).p_value for signs in product((1, -1), repeat=7)])
    for p in np.unique(p_values):
        assert (p_values <= p).mean() <= p + 1e-9


@pytest.mark.parametrize("paired", [False, True])
def test_too_many_ways_are_drawn(paired: bool) -> None:
    """12 against 12 donors, 20 pairs: drawn p-values are those of Student's t for values that are about normal, and never 0."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(100, 10, 20), rng.normal(105, 10, 20)
    found = effect(named(a, "" if paired else "a"), named(b, "" if paired else "b"), seed=1)
    expected = (stats.ttest_rel if paired else stats.ttest_ind)(a, b).pvalue
    assert found.p_value == pytest.approx(expected, abs=0.02)
    assert found.smallest_p == 1e-4
    far = effect(named(a, "" if paired else "a"), named(b + 1000, "" if paired else "b"))
    assert far.p_value == 1e-4
    again = effect(named(a, "" if paired else "a"), named(b, "" if paired else "b"), seed=1)
    assert again == found


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


# Several tests


def test_holm_by_hand() -> None:
    assert holm([0.03, 0.01, None, 0.04]) == pytest.approx([0.06, 0.03, None, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.01]) == [0.01]
    assert holm([None]) == [None]
    assert holm([]) == []


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
def test_a_fifth_larger_is_found_mostly() -> None:
    rng = np.random.default_rng(0)
    effects = [compare(simulated(rng, (6, 6), shift=0.2, donor_sd=0.08))[0].size for _ in range(200)]
    power = np.mean([one.p_value < 0.05 for one in effects])
    print("power at +20 %, 6 v 6 donors:", power)
    assert power > 0.7
    assert np.mean([one.difference for one in effects]) == pytest.approx(20, abs=2)
