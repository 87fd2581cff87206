"""A population in numbers, with intervals, and with what whoever reads them has to bear in mind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from exolight.measurement.bootstrap import Interval, bootstrap, independent_units, size_units
from exolight.measurement.population import Population
from exolight.measurement.statistics import CountStatistics, SizeStatistics, count_statistics, size_statistics

CUSTOMARY = 200  # vesicles that a size distribution is customarily made of
FEW_DONORS = 5  # of fewer, intervals are mostly width


@dataclass(frozen=True)
class Summary:
    """A population in numbers.

    Attributes:
        unit, bin_width: of the sizes; and of the histogram whose peak the mode is.
        counts: see there. sizes: each whole vesicle once. weighted: the same vesicles, each with its border weight.
        intervals: "counts", "sizes" and "weighted" -> name of a statistic -> 95 % interval.
        drawn: what the intervals of "counts" and of "sizes" rest on, in words: "6 donors"; "" where there are none.
        notes: what to bear in mind, in sentences.
    """

    unit: str
    bin_width: float
    counts: CountStatistics
    sizes: SizeStatistics
    weighted: SizeStatistics
    intervals: Mapping[str, Mapping[str, Interval]]
    drawn: Mapping[str, str]
    notes: tuple[str, ...]


def summarise(population: Population, bin_width: float = 10.0, replicates: int = 400, seed: int = 0) -> Summary:
    """All numbers of a population, be it a picture, a sample or everything (``Population.split``).

    Args:
        bin_width: for the mode, in the population's unit; 5 or 10 nm are customary.
        replicates, seed: of the bootstrap; 0 replicates: no intervals.
    """
    sizes, weighted = (size_statistics(population.diameters, weights, bin_width) for weights in (None, population.weights))
    intervals = bootstrap(population, bin_width, replicates, seed) if replicates else {}
    units = {"counts": independent_units(population), "sizes": size_units(population)} if replicates else {}
    drawn = {part: f"{number} {level}" if (number := int(unit.max(initial=-1)) + 1) > 1 else "" for part, (level, unit) in units.items()}
    return Summary(population.unit, bin_width, count_statistics(population), sizes, weighted, intervals, drawn, tuple(_notes(population)))


def _notes(population: Population) -> Iterator[str]:
    """What whoever reads the numbers has to know."""
    pictures, vesicles, sized, cut = len(population.counts), int(population.counts.sum()), len(population.diameters), int(population.cut.sum())
    unknown = np.isnan(population.areas_um2) if population.unit == "nm" else np.zeros(pictures, bool)
    if population.unit == "px":
        yield "no picture says how many nm a pixel is: sizes are in pixels, and there is no density"
    elif unknown.any():
        yield f"{int(unknown.sum())} of {pictures} pictures do not say how many nm a pixel is: their vesicles are counted, not sized, and not in the density"
    if cut:
        yield f"{cut} of {_number(vesicles, 'vesicle')} {'is' if cut == 1 else 'are'} cut by the border: counted, not sized"
    if larger := int((population.counts - population.cut)[~unknown].sum()) - sized:
        yield f"{_number(larger, 'vesicle')} as large as a picture: counted, not sized"
    if sized < CUSTOMARY:
        yield f"only {_number(sized, 'vesicle')} sized; about {CUSTOMARY} are customary"
    donors = len(set(population.donors.tolist()))
    nameless = int((population.donors == "").sum())
    if pictures > 1 and nameless == pictures:
        yield "the donors are unknown: the intervals say how these pictures scatter, not how donors do"
    elif pictures > 1 and donors == 1:
        yield "all pictures are of one donor: the intervals do not say how other donors are"
    elif 1 < donors < FEW_DONORS:
        yield f"only {donors} donors: so few say little of how donors differ, so the intervals are wide"
    if nameless and donors > 1:
        yield f"{_number(nameless, 'picture')} without a donor: taken together as one"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
