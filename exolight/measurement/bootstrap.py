"""How far numbers of a population would move with other donors: intervals that respect donor > sample > picture > vesicle."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from exolight.measurement.population import Population
from exolight.measurement.statistics import CountStatistics, SizeStatistics, resampled_counts, resampled_sizes

AT_ONCE = 1_000_000  # numbers a matrix of resamples holds
_SUMS = 5  # the first fields of ``CountStatistics`` say what there is, not how it scatters

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Interval = tuple[float, float]


def bootstrap(
    population: Population, bin_width: float = 10.0, replicates: int = 400, seed: int = 0, confidence: float = 0.95
) -> dict[str, dict[str, Interval]]:
    """Intervals of every statistic: estimate ± Student's t · bootstrap standard error, on the logarithm of what is positive.

    A replicate draws, with replacement and as many as there are, the units of the highest level at which there are several (``independent_units``), each
    with all that belongs to it: so the spread is that of the few donors, not of the many vesicles. Drawing anew within the units too would count the
    scatter within them twice (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). What percentiles lack where units are few,
    the factor sqrt(n / (n - 1)) and Student's t of n - 1 degrees of freedom supply (Hesterberg, Am Stat 69, 2015). Sizes come from units with sized
    vesicles only, densities from those with a pixel size.

    In simulated populations of 2 to 15 donors, of one donor's pictures and of one picture's vesicles, 95 % intervals of mean, median, D10, D90, counts and
    densities held the truth in 90 to 98 %, on average in 93 to 96 %; those of SD, CV, sigma of ln and of the SD of counts in 81 to 97 %, for a few units
    seldom show how far units scatter. Percentiles of a bootstrap at all levels held it in 60 to over 99 %.

    Args:
        bin_width: of the histogram whose peak is the mode.
        replicates: 400 know a standard error to 4 %, 100 to 7 %.
        confidence: the share of populations whose interval should hold the truth.

    Returns:
        "counts", "sizes" and "weighted" -> name of a statistic -> (low, high); both nan where there are not two pictures (counts) or two sized vesicles
        to draw from, or the statistic is not defined.
    """
    rng = np.random.default_rng(seed)
    counts = _count_intervals(population, replicates, rng, confidence)
    known = np.isfinite(population.areas_um2)
    if not known.all():
        of_known = _count_intervals(population.select(known), replicates, rng, confidence)
        counts |= {name: of_known[name] for name in ("density_per_um2", "density_weighted_per_um2")}
    sizes, weighted = _size_intervals(population, bin_width, replicates, rng, confidence)
    return {"counts": counts, "sizes": sizes, "weighted": weighted}


def independent_units(population: Population) -> tuple[str, Integers]:
    """The highest level at which there are several units, and to which unit each picture belongs, (P,).

    "donors", else "samples" of one donor, else "pictures". Pictures without a name at a level form one unit there.
    """
    for level, names in (("donors", population.donors), ("samples", population.samples)):
        unit = np.unique(names, return_inverse=True)[1]
        if unit.max(initial=0) > 0:
            return level, unit
    return "pictures", np.arange(len(population.counts))


def size_units(population: Population) -> tuple[str, Integers]:
    """The same for sizes: the level, and to which unit each sized vesicle belongs, (V,). "vesicles" where one picture holds all that are sized."""
    filled = np.unique(population.picture)
    chosen = np.zeros(len(population.counts), bool)
    chosen[filled] = True
    level, unit = independent_units(population.select(chosen))
    if len(filled) < 2:
        return "vesicles", np.arange(len(population.diameters))
    return level, unit[np.searchsorted(filled, population.picture)]


def _count_intervals(population: Population, replicates: int, rng: np.random.Generator, confidence: float) -> dict[str, Interval]:
    _, unit = independent_units(population)
    estimate = resampled_counts(population, np.ones((1, len(unit))))[0]
    values = [resampled_counts(population, times) for times in _drawn(unit, replicates, rng)]
    return _intervals(CountStatistics._fields, estimate, values, unit, confidence, _SUMS)


def _size_intervals(
    population: Population, bin_width: float, replicates: int, rng: np.random.Generator, confidence: float
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Of the unweighted and of the border-weighted statistics, of the same resamples."""
    _, unit = size_units(population)
    order = np.argsort(population.diameters, kind="stable")
    diameters, weights, unit = population.diameters[order], population.weights[order], unit[order]

    def both(times: Floats) -> Floats:
        return np.stack([resampled_sizes(diameters, each, times, bin_width) for each in (np.ones_like(weights), weights)])

    estimates, values = both(np.ones((1, len(unit))))[:, 0], [both(times) for times in _drawn(unit, replicates, rng)]
    unweighted, weighted = (_intervals(SizeStatistics._fields, estimates[k], [part[k] for part in values], unit, confidence, 1) for k in range(2))
    return unweighted, weighted


def _drawn(unit: Integers, replicates: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each member is there, (R, M) and R at a time, when the units 0, 1, ... to which they belong, (M,), are drawn anew. Nothing if it is one."""
    units, at_once = _number(unit), max(1, AT_ONCE // max(1, len(unit)))
    for start in range(0, replicates, at_once) if units > 1 else ():
        yield rng.multinomial(units, np.full(units, 1 / units), min(at_once, replicates - start)).astype(np.float64)[:, unit]


def _number(unit: Integers) -> int:
    return int(unit.max(initial=-1)) + 1


def _intervals(names: Sequence[str], estimates: Floats, parts: Sequence[Floats], unit: Integers, confidence: float, first: int) -> dict[str, Interval]:
    """Of S statistics from the ``first`` on: estimates (S,), and replicates in parts (R, S)."""
    units, chosen = _number(unit), np.array(names[first:])
    if units < 2:
        return dict.fromkeys(names[first:], (np.nan, np.nan))
    centre, values = estimates[first:], np.concatenate(parts)[:, first:]
    is_logarithm = chosen == "log_mean"
    logarithmic = ~is_logarithm & (centre > 0) & (values > 0).all(axis=0)
    reach = stdtrit(units - 1, (1 + confidence) / 2) * np.sqrt(units / (units - 1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre, values = (np.where(logarithmic, np.log(numbers), numbers) for numbers in (centre, values))
        ends = centre + reach * values.std(axis=0, ddof=1) * np.array([[-1], [1]])
        ends = np.where(logarithmic, np.exp(ends), np.where(is_logarithm, ends, np.maximum(ends, 0)))  # no other can be negative
    return dict(zip(names[first:], zip(*ends.tolist(), strict=True), strict=True))
