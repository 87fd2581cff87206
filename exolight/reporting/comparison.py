"""Conditions beside each other, as files and in sentences."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exolight.figures.population import ConditionSample, compare_figure
from exolight.figures.style import save
from exolight.measurement.compare import Comparison, DonorPoint, by_condition, pooled
from exolight.measurement.effect import Effect, mean_interval
from exolight.measurement.population import Population
from exolight.reporting.plain import write_csv, write_json

Row = dict[str, Any]

QUANTITIES = {"size": "median_diameter", "density": "density"}
MOST_PAIRS = 3  # that the figure's caption tells of
MARKS = (
    "Points are donors, bars their mean and its 95 % interval (Student's t), open where it leaves the plot. "
    "All donors weigh the same; sizes are weighted against the border's bias."
)
COLUMNS = (
    "first", "second", "quantity", "unit", "donors_first", "donors_second", "vesicles_first", "vesicles_second", "difference", "low", "high", "hedges_g",
    "p_value", "p_holm", "smallest_p", "paired", "wasserstein", "ks", "note",
)  # fmt: skip


def write_comparison(
    folder: Path, population: Population, comparisons: Sequence[Comparison], bin_width: float, diameter: str, sheet: Path, left_out: Sequence[Row] = ()
) -> None:
    """comparison.json with everything, comparison.csv with a row for each pair of conditions and quantity, figures/compare.png.

    Args:
        population: that was compared. comparisons: of its conditions.
        bin_width: of the histograms. diameter: what is called so, in words. sheet: where the conditions come from.
        left_out: rows of pictures with a condition or without, that were not analysed and are in no number; those of each condition are counted.
    """
    content = {
        "version": version("exolight"),
        "samples": str(sheet),
        "unit": population.unit,
        "diameter": diameter,
        "border_weighted": True,
        "bin_width": bin_width,
        "not_analysable": Counter(row["condition"] for row in left_out if row["condition"]),
        "pairs": comparisons,
        "in_words": [line.strip() for line in tell(comparisons).splitlines()],
    }
    write_json(folder / "comparison.json", content)
    write_csv(folder / "comparison.csv", COLUMNS, [_row(pair, quantity) for pair in comparisons for quantity in QUANTITIES])
    save(_figure(population, comparisons, bin_width, diameter), folder / "figures" / "compare.png")


def tell(comparisons: Sequence[Comparison]) -> str:
    """What was found, a paragraph for each pair of conditions; N is donors."""
    return "\n".join(_paragraph(pair, len(comparisons) > 1) for pair in comparisons)


def _row(pair: Comparison, quantity: str) -> Row:
    effect: Effect = getattr(pair, quantity)
    low, high = effect.interval or (None, None)
    row: Row = {"first": pair.conditions[0], "second": pair.conditions[1], "quantity": QUANTITIES[quantity]}
    row |= {"unit": pair.unit if quantity == "size" else "1/um2", "difference": effect.difference, "low": low, "high": high}
    row |= {f"{what}_{side}": number for what, numbers in _numbers(pair, effect).items() for side, number in zip(("first", "second"), numbers, strict=True)}
    row |= {name: getattr(effect, name) for name in ("hedges_g", "p_value", "p_holm", "smallest_p", "paired", "note")}
    return row | ({"wasserstein": pair.wasserstein, "ks": pair.ks} if quantity == "size" else {})


def _numbers(pair: Comparison, effect: Effect) -> dict[str, tuple[int, ...]]:
    return {"donors": effect.donors, "vesicles": tuple(sum(point.vesicles for point in _points(pair, name)) for name in pair.conditions)}


def _points(pair: Comparison, condition: str) -> list[DonorPoint]:
    return [point for point in pair.points if point.condition == condition]


def _paragraph(pair: Comparison, several: bool) -> str:
    first, second = (f'"{name}" ({_counted(pair, name)})' for name in pair.conditions)
    lines = [f"{first} and {second}:", _sentence("median diameters", pair.size, pair.conditions[1], pair.unit, several)]
    if isfinite(pair.wasserstein):
        lines.append(f"The size distributions lie {pair.wasserstein:.3g} {pair.unit} apart (Wasserstein), {pair.ks:.2f} (Kolmogorov-Smirnov).")
    return "\n  ".join([*lines, _sentence("densities", pair.density, pair.conditions[1], "vesicles per µm²", several)])


def _counted(pair: Comparison, condition: str) -> str:
    points = _points(pair, condition)
    vesicles = sum(point.vesicles for point in points)
    return f"{len(points)} donor{'' if len(points) == 1 else 's'}, {vesicles:,} vesicle{'' if vesicles == 1 else 's'}"


def _sentence(what: str, effect: Effect, second: str, unit: str, several: bool) -> str:
    """The difference of one quantity, how certain it is, and why not more so."""
    note = f" {effect.note[:1].upper()}{effect.note[1:]}." if effect.note else ""
    if not isfinite(effect.difference):
        return f"The donors' {what} are not compared.{note}"
    how = "larger" if effect.difference > 0 else "smaller"
    by = f'{abs(effect.difference):.3g} {unit} {how} in "{second}"' if effect.difference else "the same in both"
    said = f"The donors' {what} are on average {by}"
    if effect.interval is not None:
        said += f" (95 % interval of the difference {effect.interval[0]:+.3g} to {effect.interval[1]:+.3g})"
    if effect.p_value is not None:
        said += f", p = {effect.p_value:.2g}" + (f" ({effect.p_holm:.2g} corrected for several pairs)" if several else "")
    if effect.hedges_g is not None:
        said += f", Hedges' g = {effect.hedges_g:+.2f}"
    return f"{said}.{note}"


def _figure(population: Population, comparisons: Sequence[Comparison], bin_width: float, diameter: str) -> Figure:
    points = {name: _points(pair, name) for pair in comparisons for name in pair.conditions}
    samples = []
    for name, groups in by_condition(population).items():
        medians, densities = (np.array([getattr(point, quantity) for point in points[name]]) for quantity in ("median", "density_per_um2"))
        means = _mean(medians), _mean(densities)
        samples.append(ConditionSample(name, list(groups), medians, densities, *means, *pooled(list(groups.values()))))
    told = tell(comparisons) if len(comparisons) <= MOST_PAIRS else "The pairs of conditions are in comparison.csv."
    caption = f"{MARKS}\n{told}"
    return compare_figure(samples, population.unit, bin_width, diameter, caption, all(pair.size.paired for pair in comparisons))


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and interval of those that are known."""
    values = values[np.isfinite(values)]
    return (float(values.mean()) if len(values) else float("nan"), *mean_interval(values))
