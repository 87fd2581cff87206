"""Sizes and counts of vesicles in numbers: what a size report must contain, of one sample or of many resamples of it at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.measurement.population import Population

EXACTLY = 1e-9  # shares nearer to each other than this are equal

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class SizeStatistics(NamedTuple):
    """A size distribution in numbers, in the unit of its diameters unless said otherwise; nan where nobody can tell.

    Attributes:
        n: vesicles that were sized, whatever their weights.
        mean, sd: the latter of the sample (n - 1).
        mode: middle of the highest bin of the histogram, the smallest if several are equal.
        median, d10, d50, d90: quantiles as in ``weighted_quantiles``; d50 is the median by the name that granulometry uses.
        span: (d90 - d10) / d50, without unit. cv: sd / mean, without unit.
        log_mean, log_sd: of ln(diameter): the log-normal distribution of maximum likelihood. exp(log_mean) is the geometric mean.
    """

    n: int
    mean: float
    sd: float
    mode: float
    median: float
    d10: float
    d50: float
    d90: float
    span: float
    cv: float
    log_mean: float
    log_sd: float


class CountStatistics(NamedTuple):
    """How many vesicles there are, pictures without any included; nan where nobody can tell.

    Attributes:
        pictures, empty: pictures, and those without a vesicle. vesicles, cut: vesicles, and those that the border cuts.
        area_um2: analysed area of the pictures that know their pixel size.
        mean, sd: vesicles a picture.
        density_per_um2: all vesicles in those pictures / that area. Vesicles that the border cuts count fully, as is customary, so it is somewhat high.
        density_weighted_per_um2: without that bias: sum of the border weights of the sized vesicles / area.
    """

    pictures: int
    empty: int
    vesicles: int
    cut: int
    area_um2: float
    mean: float
    sd: float
    density_per_um2: float
    density_weighted_per_um2: float


class Histogram(NamedTuple):
    """Vesicles in bins [edge, next edge): edges (B + 1,) are multiples of the bin width, counts (B,) are sums of weights. No vesicle, no bin."""

    edges: Floats
    counts: Floats


def weighted_quantiles(values: ArrayLike, shares: Sequence[float], weights: ArrayLike | None = None) -> Floats:
    """(Q,) quantiles: the smallest value that has, with all below it, a share q of all weight; if exactly q, the mean of it and the next larger one.

    With equal weights this is definition 2 of Hyndman & Fan (Am Stat 50, 1996), the ordinary median; and a weight of 2 is the same as a value that
    occurs twice. All nan without values.

    Raises:
        ValueError: a share not between 0 and 1, or a weight that is not positive.
    """
    if not all(0 < share < 1 for share in shares):
        raise ValueError(f"quantiles {list(shares)}: each must lie between 0 and 1")
    sorted_values, sorted_weights = _sorted(values, weights)
    if not len(sorted_values):
        return np.full(len(shares), np.nan)
    return _quantiles(sorted_values, (sorted_weights / sorted_weights.sum())[None], shares)[0]


def size_statistics(diameters: ArrayLike, weights: ArrayLike | None = None, bin_width: float = 10.0) -> SizeStatistics:
    """What a size report must contain, of (V,) diameters.

    Args:
        weights: (V,) of each vesicle; all equal by default. Only their ratios matter.
        bin_width: of the histogram whose peak is the mode, in the unit of the diameters.

    Raises:
        ValueError: a diameter or weight is not positive.
    """
    values, masses = _sorted(diameters, weights)
    row = resampled_sizes(values, masses, np.ones((1, len(values))), bin_width)[0].tolist()
    return SizeStatistics(int(row[0]), *row[1:])


def histogram(diameters: ArrayLike, weights: ArrayLike | None = None, bin_width: float = 10.0) -> Histogram:
    """The histogram of (V,) diameters whose highest bin is the mode. Arguments and errors as for ``size_statistics``."""
    values, masses = _sorted(diameters, weights)
    bins = _bins(values, bin_width)
    first = int(bins[0]) if len(bins) else 0
    counts = np.bincount(bins - first, masses).astype(np.float64)
    return Histogram((first + np.arange(len(counts) + 1, dtype=np.float64)) * bin_width, counts)


def count_statistics(population: Population) -> CountStatistics:
    """Counts and densities of all pictures together."""
    row = resampled_counts(population, np.ones((1, len(population.counts))))[0].tolist()
    return CountStatistics(*map(int, row[:4]), *row[4:])


def resampled_counts(population: Population, times: NDArray[Any]) -> Floats:
    """(R, 9) the fields of ``CountStatistics`` of R resamples: how often each picture, with all its vesicles, is there (R, P)."""
    counts, known = population.counts, np.isfinite(population.areas_um2)
    weight = np.bincount(population.picture, population.weights, len(counts))
    pictures, vesicles = times.sum(axis=1), times @ counts
    area = times[:, known] @ population.areas_um2[known]
    centre = counts.mean() if len(counts) else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = vesicles / pictures
        squares = times @ (counts - centre) ** 2 - pictures * (mean - centre) ** 2
        sd = np.where(pictures > 1, np.sqrt(np.maximum(squares, 0) / (pictures - 1)), np.nan)
        area = np.where(area > 0, area, np.nan)
        density, weighted = times[:, known] @ counts[known] / area, times[:, known] @ weight[known] / area
    return np.stack([pictures, times @ (counts == 0), vesicles, times @ population.cut, area, mean, sd, density, weighted], axis=1)


def resampled_sizes(diameters: Floats, weights: Floats, times: NDArray[Any], bin_width: float) -> Floats:
    """(R, 12) the fields of ``SizeStatistics`` of R resamples of (V,) ascending diameters, each of them ``times`` (R, V) there; all nan where none is."""
    n = times.sum(axis=1)
    result = np.full((len(times), len(SizeStatistics._fields)), np.nan)
    result[:, 0] = n
    filled = n > 0
    if not filled.any():
        return result
    n, share = n[filled], times[filled] * weights
    share /= share.sum(axis=1, keepdims=True)
    mean, variance = _moments(diameters, share)
    log_mean, log_variance = _moments(np.log(diameters), share)
    with np.errstate(divide="ignore", invalid="ignore"):
        sd = np.where(n > 1, np.sqrt(variance * n / (n - 1)), np.nan)
    bins, starts = np.unique(_bins(diameters, bin_width), return_index=True)
    heights = np.add.reduceat(share, starts, axis=1)
    mode = (bins[(heights > heights.max(axis=1, keepdims=True) - EXACTLY).argmax(axis=1)] + 0.5) * bin_width
    d10, d50, d90 = _quantiles(diameters, share, (0.1, 0.5, 0.9)).T
    columns = (mean, sd, mode, d50, d10, d50, d90, (d90 - d10) / d50, sd / mean, log_mean, np.where(n > 1, np.sqrt(log_variance), np.nan))
    result[filled, 1:] = np.stack(columns, axis=1)
    return result


def _moments(values: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Means (R,) and mean squared deviations (R,) of (V,) values by their shares (R, V)."""
    centre = values.mean()
    mean = share @ (values - centre)
    return mean + centre, np.maximum(share @ (values - centre) ** 2 - mean**2, 0)


def _quantiles(values: Floats, share: Floats, wanted: Sequence[float]) -> Floats:
    """(R, Q) quantiles of (V,) ascending values by their shares (R, V) of the weight; defined in ``weighted_quantiles``."""
    reached = share.cumsum(axis=1)
    columns = [(values[(reached >= q - EXACTLY).argmax(axis=1)] + values[(reached > q + EXACTLY).argmax(axis=1)]) / 2 for q in wanted]
    return np.stack(columns, axis=1)


def _bins(diameters: Floats, bin_width: float) -> Integers:
    return np.floor(diameters / bin_width).astype(np.int64)


def _sorted(values: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """Ascending values with their weights. Raises ``ValueError`` where one of either is not positive."""
    array = np.asarray(values, float)
    masses = np.ones_like(array) if weights is None else np.asarray(weights, float)
    for name, numbers in (("value", array), ("weight", masses)):
        if not ((numbers > 0) & np.isfinite(numbers)).all():
            raise ValueError(f"a {name} is not a positive number: {numbers[~((numbers > 0) & np.isfinite(numbers))][0]}")
    order = np.argsort(array, kind="stable")
    return array[order], masses[order]
