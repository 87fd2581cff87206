"""Conditions beside each other with donors as N: a thousand vesicles of one donor are one donor, however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.errors import InputError
from exolight.measurement.effect import Effect, effect, holm
from exolight.measurement.population import Population
from exolight.measurement.statistics import count_statistics, weighted_quantiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DonorPoint:
    """What one donor contributes to one condition.

    Attributes:
        pictures, vesicles, sized: how many.
        median: of the sized vesicles' diameters, in the population's unit; nan where none is sized.
        density_per_um2: of all vesicles; nan where no pixel size is known.
    """

    condition: str
    donor: str
    pictures: int
    vesicles: int
    sized: int
    median: float
    density_per_um2: float


@dataclass(frozen=True)
class Comparison:
    """Two conditions beside each other.

    Attributes:
        conditions: names of the first and the second.
        unit: of sizes, nm or px.
        points: the donors of both.
        wasserstein: mean distance that diameters have to move to turn one size distribution into the other, in ``unit``. ks: largest difference of
            the two cumulative distributions, in [0, 1]. In both distributions all donors weigh the same. Neither is ever 0 between samples, and
            without a p-value neither is evidence.
        size: of the donors' median diameters, in ``unit``. density: of their vesicles per µm².
    """

    conditions: tuple[str, str]
    unit: str
    points: tuple[DonorPoint, ...]
    wasserstein: float
    ks: float
    size: Effect
    density: Effect


def compare(population: Population, border_weighted: bool = True, seed: int = 0) -> list[Comparison]:
    """Every pair of conditions, in their order of appearance. Pictures without a condition are left out.

    Args:
        border_weighted: whether sizes are weighted against the border's bias, which would pass for an effect where pictures differ in magnification.
        seed: for permutations that are too many to try all.

    Raises:
        InputError: there are no two conditions, or a picture with a condition has no donor.
    """
    groups = by_condition(population)
    if len(groups) < 2:
        found = f"only the condition {next(iter(groups))!r}" if groups else "no condition"
        raise InputError(f"the sample sheet names {found}; two are needed to compare")
    comparisons = [_compare(population.unit, pair, [groups[name] for name in pair], border_weighted, seed) for pair in combinations(groups, 2)]
    sizes, densities = holm([pair.size.p_value for pair in comparisons]), holm([pair.density.p_value for pair in comparisons])
    return [
        replace(pair, size=replace(pair.size, p_holm=size), density=replace(pair.density, p_holm=density))
        for pair, size, density in zip(comparisons, sizes, densities, strict=True)
    ]


def by_condition(population: Population) -> dict[str, dict[str, Population]]:
    """Condition -> donor -> population, in order of appearance. Raises ``InputError`` where a picture with a condition has no donor."""
    groups: dict[str, dict[str, Population]] = {}
    for (condition, donor), group in population.select(population.conditions != "").split("condition", "donor").items():
        if not donor:
            raise InputError(f"{group.pictures[0]}: condition {condition!r}, but no donor; N is donors, so write the donors into the sample sheet")
        groups.setdefault(condition, {})[donor] = group
    return groups


def pooled(donors: Sequence[Population], border_weighted: bool = True) -> tuple[Floats, Floats]:
    """Diameters (V,) and weights (V,) of all donors; each donor's weights sum to 1."""
    weights = [donor.weights if border_weighted else np.ones_like(donor.weights) for donor in donors]
    return np.concatenate([donor.diameters for donor in donors]), np.concatenate([one / one.sum() if len(one) else one for one in weights])


def wasserstein_distance(a: ArrayLike, b: ArrayLike, a_weights: ArrayLike | None = None, b_weights: ArrayLike | None = None) -> float:
    """Area between the cumulative distributions of two samples, in their unit; nan where one is empty. Only ratios of weights matter."""
    values, below = _cumulative(a, b, a_weights, b_weights)
    return float(np.abs(below[0] - below[1])[:-1] @ np.diff(values)) if len(values) else float("nan")


def ks_distance(a: ArrayLike, b: ArrayLike, a_weights: ArrayLike | None = None, b_weights: ArrayLike | None = None) -> float:
    """Kolmogorov and Smirnov's D: the largest difference of the cumulative distributions of two samples; nan where one is empty."""
    values, below = _cumulative(a, b, a_weights, b_weights)
    return float(np.abs(below[0] - below[1]).max()) if len(values) else float("nan")


def _compare(unit: str, conditions: tuple[str, str], groups: Sequence[Mapping[str, Population]], border_weighted: bool, seed: int) -> Comparison:
    points = [[_point(name, donor, group, border_weighted) for donor, group in groups.items()] for name, groups in zip(conditions, groups, strict=True)]
    medians = [{point.donor: point.median for point in side} for side in points]
    densities = [{point.donor: point.density_per_um2 for point in side} for side in points]
    (a, a_weights), (b, b_weights) = (pooled(list(side.values()), border_weighted) for side in groups)
    return Comparison(
        conditions,
        unit,
        points=tuple(point for side in points for point in side),
        wasserstein=wasserstein_distance(a, b, a_weights, b_weights),
        ks=ks_distance(a, b, a_weights, b_weights),
        size=effect(medians[0], medians[1], seed),
        density=effect(densities[0], densities[1], seed),
    )


def _point(condition: str, donor: str, group: Population, border_weighted: bool) -> DonorPoint:
    counts = count_statistics(group)
    median = float(weighted_quantiles(group.diameters, [0.5], group.weights if border_weighted else None)[0])
    return DonorPoint(condition, donor, counts.pictures, counts.vesicles, len(group.diameters), median, counts.density_per_um2)


def _cumulative(a: ArrayLike, b: ArrayLike, a_weights: ArrayLike | None, b_weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """All values in order (N,), and the share of each sample's weight up to and including them (2, N); nothing where a sample is empty."""
    samples = [np.asarray(sample, float) for sample in (a, b)]
    weights = [np.ones_like(sample) if given is None else np.asarray(given, float) for sample, given in zip(samples, (a_weights, b_weights), strict=True)]
    if not all(map(len, samples)):
        return np.zeros(0), np.zeros((2, 0))
    values, which = np.unique(np.concatenate(samples), return_inverse=True)
    of_samples = np.split(which, [len(samples[0])])
    below = [np.bincount(index, weight / weight.sum(), len(values)).cumsum() for index, weight in zip(of_samples, weights, strict=True)]
    return values, np.minimum(below, 1)
