"""What a finished prediction says of the population: the statistics of every group, its figures, and its conditions beside each other."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.figures.population import SizeSample, size_histogram_figure
from exolight.figures.style import save
from exolight.measurement.compare import compare
from exolight.measurement.population import Population, is_analysed, population_from_rows
from exolight.measurement.samples import join_samples, read_sample_sheet, write_sample_sheet
from exolight.measurement.statistics import SizeStatistics, histogram
from exolight.measurement.summary import Summary, summarise
from exolight.reporting.comparison import write_comparison
from exolight.reporting.plain import plain, write_csv

Row = dict[str, Any]

SHEET = "samples.csv"  # in the folder of a prediction
BIN_WIDTHS = {"nm": 10.0, "px": 5.0}  # the same for all predictions, or else their modes were not comparable
MOST_BINS = 2000
LEVELS = {
    "all": (),
    "condition": ("condition",),
    "donor": ("condition", "donor"),
    "sample": ("condition", "donor", "sample"),
    "picture": ("condition", "donor", "sample", "picture"),
}
REPLICATES = {"picture": 100}  # of the bootstrap, which else has 400: there are many pictures, and 100 know a standard error to 7 %
_WEIGHTED = "Border-weighted: each vesicle counts W·H/((W−d)·(H−d)) times, because the border cuts, and so hides, large ones more often."
# Fields of statistics whose names say too little beside each other; the border-weighted number is the unweighted one.
_RENAMED = {("counts", "mean"): "vesicles_per_picture", ("counts", "sd"): "vesicles_per_picture_sd", ("sizes", "n"): "sized"}


def population_report(folder: Path, images: Sequence[Row], vesicles: Sequence[Row], samples: Path | None = None, bin_width: float | None = None) -> Row:
    """Write statistics.csv and figures/size_histogram, and where a sample sheet names two conditions comparison.csv, comparison.json and figures/compare.

    Without a sheet, a template of one is written as samples.csv unless one is there; with one, its copy.

    Args:
        folder: of the prediction, or another one that exists.
        images, vesicles: rows of images.csv and of detections.csv, as ``typed`` gives them.
        samples: a sample sheet.
        bin_width: of the histogram, in the unit of the sizes; None: 10 nm or 5 px.

    Returns:
        The ``Summary`` of everything in plain values.

    Raises:
        InputError: the sheet cannot be read or does not fit the pictures, the tables do not fit each other, or the bins would be too many. Conditions
            that cannot be compared are a note.
    """
    rows = sampled(images, samples)
    population, left_out = population_from_rows(rows, vesicles), not_analysable(rows)
    bin_width = choose_bin_width(population, bin_width)
    if not (folder / SHEET).exists():
        if samples is None:
            write_sample_sheet(folder / SHEET, [row["image"] for row in images])
        else:
            (folder / SHEET).write_bytes(samples.read_bytes())
    diameter = diameter_name(vesicles)
    summary = write_statistics(folder, population, bin_width, diameter, left_out)
    told = plain(summary) | {"diameter": diameter}
    if samples is not None and len(set(population.conditions.tolist()) - {""}) > 1:
        try:
            write_comparison(folder, population, compare(population), bin_width, diameter, samples, left_out)
        except InputError as error:
            told["notes"].append(f"conditions are not compared: {error}")
    return told


def sampled(images: Sequence[Row], samples: Path | None = None) -> list[Row]:
    """Rows of images.csv with what a sample sheet says of each; pictures that could not be read are left out. Raises ``InputError``."""
    rows = [row for row in images if not row.get("error")]
    return rows if samples is None else join_samples(rows, read_sample_sheet(samples))


def not_analysable(rows: Sequence[Row]) -> list[Row]:
    """Those of the ``sampled`` rows whose pictures were read, but not analysed: they are in no statistics, which is not being there with a count of 0."""
    return [row for row in rows if not is_analysed(row)]


def choose_bin_width(population: Population, asked: float | None = None) -> float:
    """The width of bins in the population's unit. Raises ``InputError`` where they would be too many."""
    width = BIN_WIDTHS[population.unit] if asked is None else asked
    bins = float(population.diameters.max(initial=0.0)) / width
    if bins > MOST_BINS and asked is not None:
        raise InputError(f"bin={asked:g}: the largest vesicle would be in bin {bins:.0f}; give a larger width in {population.unit}, such as bin=10")
    return width


def diameter_name(vesicles: Sequence[Row]) -> str:
    """What the diameters are of."""
    return "area-equivalent diameter" if any(row.get("measured_from") == "contour" for row in vesicles) else "box diameter √(w·h)"


def write_statistics(folder: Path, population: Population, bin_width: float, diameter: str, left_out: Sequence[Row] = ()) -> Summary:
    """statistics.csv, a row for each group of each level, and figures/size_histogram; returns the summary of everything.

    The pictures ``left_out``, see ``not_analysable``, are counted in a column of their own; a group that has no others has no numbers but that.
    """
    drawn: list[tuple[str, Population, Summary]] = []

    def rows() -> Iterator[Row]:
        for level, names, group, missing in _groups(population, left_out):
            row: Row = {"level": level} | dict.fromkeys(LEVELS["picture"], "") | names | {"not_analysable": missing}
            if len(group.counts) or level == "all":
                summary = summarise(group, bin_width, REPLICATES.get(level, 400))
                if missing:
                    words = f"{missing} of {missing + len(group.counts)} pictures are not analysable (images.csv says why): they are in no number"
                    summary = replace(summary, notes=(words, *summary.notes))
                if level in ("all", "condition"):
                    drawn.append((names.get("condition", ""), group, summary))
                row |= _row(summary)
            yield row

    table = rows()
    first = next(table)
    write_csv(folder / "statistics.csv", list(first), chain([first], table))
    save(_figure(drawn, bin_width, diameter), folder / "figures" / "size_histogram.png")
    return drawn[0][2]


def _groups(population: Population, left_out: Sequence[Row]) -> Iterator[tuple[str, dict[str, str], Population, int]]:
    """Level, names, pictures and how many more are left out: of all, then of each group of each level that has a name."""
    nothing = population.select(np.zeros(len(population.counts), bool))
    for level, names in LEVELS.items():
        groups = population.split(*names) if names else {(): population}
        missing = Counter(tuple(_name(row, one) for one in names) for row in left_out)
        for key in dict.fromkeys([*groups, *missing]):
            if not names or key[-1]:
                yield level, dict(zip(names, key, strict=True)), groups.get(key, nothing), missing[key]


def _name(row: Mapping[str, Any], level: str) -> str:
    return str(row.get("image" if level == "picture" else level) or "")


def _row(summary: Summary) -> Row:
    """All numbers of a summary, each with the ends of its interval."""
    row: Row = {"unit": summary.unit, "bin_width": summary.bin_width} | {f"{part}_drawn": words for part, words in summary.drawn.items()}
    for part, prefix in (("counts", ""), ("sizes", ""), ("weighted", "weighted_")):
        for name, value in getattr(summary, part)._asdict().items():
            column = prefix + _RENAMED.get((part, name), name)
            if column != "weighted_n":
                row[column] = value
            if name in summary.intervals[part]:
                row[f"{column}_low"], row[f"{column}_high"] = summary.intervals[part][name]
    return row


def _figure(groups: Sequence[tuple[str, Population, Summary]], bin_width: float, diameter: str) -> Figure:
    """Of all, and of each condition."""
    rows, summary = [], groups[0][2]
    for name, group, numbers in groups:
        weights = group.weights * (len(group.weights) / group.weights.sum() if len(group.weights) else 1)  # to be as many as are there
        rows.append((name or ("all" if len(groups) > 1 else ""), _sample(group, None, numbers, bin_width), _sample(group, weights, numbers, bin_width)))
    drawn = f"; 95 % intervals over {summary.drawn['sizes']}" if summary.drawn["sizes"] else ""
    counted = f"n: vesicles sized, of {summary.counts.vesicles:,} in {summary.counts.pictures:,} pictures{drawn}."
    caption = f"{counted} Bins of {bin_width:g} {summary.unit}. Full lines: median; broken lines: D10 and D90; dotted curves: log-normal fits. {_WEIGHTED}"
    return size_histogram_figure(rows, summary.unit, diameter, "\n".join([caption, *(f"{note[:1].upper()}{note[1:]}." for note in summary.notes)]))


def _sample(group: Population, weights: NDArray[np.float64] | None, summary: Summary, bin_width: float) -> SizeSample:
    part = "sizes" if weights is None else "weighted"
    numbers: SizeStatistics = getattr(summary, part)
    edges, counts = histogram(group.diameters, weights, bin_width)
    interval = summary.intervals[part]["median"]
    return SizeSample(edges, counts, numbers.n, numbers.median, interval, numbers.d10, numbers.d90, numbers.log_mean, numbers.log_sd)
