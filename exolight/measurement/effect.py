"""How a quantity of donors differs between two conditions, with donors as N: difference, interval, effect size, and a p-value that few donors can bear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

EXACT_UP_TO = 50_000  # ways to give donors their conditions: 9 and 9 donors, or 15 that are in both
DRAWN = 9_999  # ways that are drawn where there are more
EXACTLY = 1e-9  # numbers whose relative difference is less are equal

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """How a quantity of donors differs between two conditions, second minus first.

    Attributes:
        donors: how many each condition has (those whose quantity is known).
        difference: of the means over donors, in the quantity's unit.
        interval: 95 %, of Student's t over donors: Welch's, or of the donors' differences if ``paired``.
        hedges_g: difference / pooled standard deviation between donors, corrected for few donors (Hedges, J Educ Stat 6, 1981).
        p_value: two-sided, of permutations: the share of the ways to give donors their conditions whose |t| is at least as large.
        p_holm: p_value when all pairs of conditions are tested (Holm, Scand J Stat 6, 1979); the same as p_value for one pair.
        smallest_p: what p_value can be at least with so many donors.
        paired: whether the same donors are in both conditions.
        note: why there is no interval and no p_value, or what they can't tell; "" if nothing.
    """

    donors: tuple[int, int]
    difference: float
    interval: tuple[float, float] | None = None
    hedges_g: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    smallest_p: float | None = None
    paired: bool = False
    note: str = ""


def effect(first: Mapping[str, float], second: Mapping[str, float], seed: int = 0) -> Effect:
    """How a quantity differs between two conditions.

    The p-value is of a permutation test: if conditions do nothing, it is at most 0.05 in at most 5 % of experiments, however few donors there are and
    however their quantity is distributed. Different donors swap conditions with each other, and what is compared is Welch's t, so that it nearly
    holds too where the donors of one condition scatter more (Janssen, Stat Probab Lett 36, 1997; not with, say, 3 donors that scatter four times as much
    as 6 others). Donors that are in both conditions swap their own two. Where that are too many ways, 9999 are drawn.

    Args:
        first, second: donor -> quantity, one number a donor; nan is left out.
    """
    one, two = ({donor: value for donor, value in values.items() if np.isfinite(value)} for values in (first, second))
    if first.keys() == second.keys():  # pairs, of which only whole ones are of use
        one, two = ({donor: values[donor] for donor in first if donor in one and donor in two} for values in (first, second))
    a, b = (np.array(list(values.values()), float) for values in (one, two))
    counts = (len(a), len(b))
    if not len(a) or not len(b):
        return Effect(counts, float("nan"), note="no p-value and no interval: the quantity is not known in both conditions")
    difference = float(b.mean() - a.mean())
    shared = one.keys() & two.keys()
    paired = bool(shared) and len(shared) == len(a) == len(b)
    if shared and not paired:
        note = f"no p-value and no interval: {len(shared)} donors are in both conditions and others are not; keep only the ones or only the others"
        return Effect(counts, difference, note=note)
    if min(counts) < 2:
        note = "no p-value and no interval: the vesicles of one donor are not independent of each other, so one donor does not tell how far donors differ"
        return Effect(counts, difference, paired=paired, note=note)
    if paired:
        differences = np.array([two[donor] - one[donor] for donor in one])
        interval, p_value, smallest = _t_interval(differences), _sign_test(differences, seed), _smallest(2 ** len(a), both_ways=True)
    else:
        interval, p_value, smallest = _welch_interval(a, b), _permutation_test(a, b, seed), _smallest(comb(sum(counts), len(a)), len(a) == len(b))
    note = f"so few donors cannot give a p-value under {smallest:.2g}, whatever the effect" if smallest > 0.05 else ""
    return Effect(counts, difference, interval, _hedges_g(a, b), p_value, p_value, smallest, paired, note)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of a mean (Student's t); both nan of fewer than two values."""
    numbers = np.asarray(values, float)
    return _t_interval(numbers) if len(numbers) > 1 else (float("nan"), float("nan"))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Step-down adjusted p-values (Holm, Scand J Stat 6, 1979); None stays None and is no test."""
    tests = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - rank) * p))
        adjusted[index] = highest
    return adjusted


def _welch_interval(a: Floats, b: Floats) -> tuple[float, float]:
    """95 % interval of the difference of two means with variances of their own (Welch, Biometrika 34, 1947)."""
    of_a, of_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = of_a + of_b
    freedom = error**2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1)) if error else len(a) + len(b) - 2
    return _around(float(b.mean() - a.mean()), float(np.sqrt(error)), freedom)


def _t_interval(differences: Floats) -> tuple[float, float]:
    return _around(float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences))), len(differences) - 1)


def _around(mean: float, standard_error: float, freedom: float) -> tuple[float, float]:
    reach = float(stdtrit(freedom, 0.975)) * standard_error
    return mean - reach, mean + reach


def _hedges_g(a: Floats, b: Floats) -> float | None:
    """None where all donors of a condition are alike: there is no deviation to measure by."""
    freedom = len(a) + len(b) - 2
    deviation = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom)
    return float((b.mean() - a.mean()) / deviation * (1 - 3 / (4 * freedom - 1))) if deviation > 0 else None


def _permutation_test(a: Floats, b: Floats, seed: int) -> float:
    """Two-sided p-value of Welch's t when donors swap conditions."""
    values, count = np.concatenate([a, b]), len(a)
    exact = comb(len(values), count) <= EXACT_UP_TO
    if exact:
        first = np.array(list(combinations(range(len(values)), count)))  # the way that was observed comes first
        others = np.ones((len(first), len(values)), bool)
        np.put_along_axis(others, first, False, axis=1)
        ways = np.concatenate([first, np.nonzero(others)[1].reshape(len(first), -1)], axis=1)
    else:
        ways = np.random.default_rng(seed).permuted(np.tile(np.arange(len(values)), (DRAWN, 1)), axis=1)
    return _share(_welch_t(values[ways[:, :count]], values[ways[:, count:]]), float(_welch_t(a[None], b[None])[0]), exact)


def _welch_t(a: Floats, b: Floats) -> Floats:
    """(R,) |t| of R pairs of samples (R, A) and (R, B): infinite where means differ and nothing scatters, 0 where means are equal."""
    difference = np.abs(b.mean(axis=1) - a.mean(axis=1))
    error = np.sqrt(a.var(axis=1, ddof=1) / a.shape[1] + b.var(axis=1, ddof=1) / b.shape[1])
    nothing = EXACTLY * max(np.abs(a).max(), np.abs(b).max())  # what rounding makes of 0
    certain = np.where(difference > nothing, np.inf, 0.0)
    return np.divide(difference, error, out=certain, where=(error > nothing) & (difference > nothing))


def _sign_test(differences: Floats, seed: int) -> float:
    """Two-sided p-value of the mean of donors' differences when each of them swaps its two conditions."""
    exact = 2 ** len(differences) <= EXACT_UP_TO
    if exact:
        swapped = np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1
    else:
        swapped = np.random.default_rng(seed).integers(0, 2, (DRAWN, len(differences)))
    in_full = np.abs(differences).sum() or 1.0
    return _share(np.abs((1 - 2 * swapped) @ differences) / in_full, abs(float(differences.sum())) / in_full, exact)


def _share(statistics: Floats, observed: float, exact: bool) -> float:
    """Of all ways the share that differs at least as much; drawn ways count the observed one in addition (Phipson & Smyth, SAGMB 9, 2010)."""
    as_large = np.count_nonzero(statistics >= observed * (1 - EXACTLY) - EXACTLY)
    return float(as_large / len(statistics)) if exact else float((as_large + 1) / (len(statistics) + 1))


def _smallest(ways: int, both_ways: bool) -> float:
    """The smallest p-value: every way has its mirror image, of the same size, where the conditions have equally many donors."""
    return (2 if both_ways else 1) / ways if ways <= EXACT_UP_TO else 1 / (DRAWN + 1)
