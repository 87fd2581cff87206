"""The difference of one quantity: permutations counted by hand, and p-values as rare as they claim."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from exolight.measurement.effect import effect, holm, mean_interval


def named(values: Sequence[float], prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{index}": value for index, value in enumerate(values)}


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


def test_holm_by_hand() -> None:
    assert holm([0.03, 0.01, None, 0.04]) == pytest.approx([0.06, 0.03, None, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.01]) == [0.01]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_the_interval_of_a_mean_is_students() -> None:
    values = [90.0, 100, 104, 96]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high))
    assert np.isnan(mean_interval([5.0])).all()
    assert np.isnan(mean_interval([])).all()
