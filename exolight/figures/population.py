"""A population's sizes: as each vesicle was found and corrected for the border, and conditions beside each other."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from exolight.figures.style import GREY, LINE_STYLES, PALETTE, new_figure, say, shorten, tidy

MARKERS = "osD^vP*X"  # a second mark besides the colour
_WRAPPED_AT = 116  # letters of 7 pt across a page
_MOST_ROWS = 5  # samples on a page

Floats = NDArray[np.float64]


class SizeSample(NamedTuple):
    """A size distribution and its numbers.

    Attributes:
        edges: (B + 1,) of the bins; counts: (B,).
        n: vesicles. median, interval (95 %), d10, d90: in the unit of the edges. log_mean, log_sd: of the logarithms; nan where not known.
    """

    edges: Floats
    counts: Floats
    n: int
    median: float
    interval: tuple[float, float]
    d10: float
    d90: float
    log_mean: float
    log_sd: float


class ConditionSample(NamedTuple):
    """One condition of a comparison, over its D donors.

    Attributes:
        donors: names. medians, densities: (D,) of each donor; nan where not known.
        median_mean, density_mean: mean over donors and its 95 % interval; nan where not known.
        diameters, weights: (V,) of all vesicles; the weights of each donor have the same sum.
    """

    name: str
    donors: Sequence[str]
    medians: Floats
    densities: Floats
    median_mean: tuple[float, float, float]
    density_mean: tuple[float, float, float]
    diameters: Floats
    weights: Floats


def size_histogram_figure(samples: Sequence[tuple[str, SizeSample, SizeSample]], unit: str, diameter: str, caption: str) -> Figure:
    """Histograms with the log-normal fit, the median and D10 and D90: left of the vesicles as found, right weighted against the border's bias.

    Args:
        samples: name ("" for none), unweighted and weighted sample; a row of the figure each, the first five.
        unit: of the diameters, nm or px. diameter: what is called so, for the axis.
        caption: sentences below.
    """
    shown = list(samples[:_MOST_ROWS])
    if len(shown) < len(samples):
        caption += f" {len(samples) - len(shown)} more conditions are in statistics.csv."
    filled = [one for _, *both in shown for one in both if one.n]
    figure = new_figure(0.5 + (2.1 if len(shown) < 4 else 1.75) * len(shown) + _caption_inch(caption))
    grid = figure.subplots(len(shown), 2, sharex=True, sharey="row", squeeze=False)
    for number, (name, *both) in enumerate(shown):
        row = grid[number]
        for axes, one, kind, colour in zip(row, both, ("as found", "border-weighted"), PALETTE, strict=False):
            last = number == len(shown) - 1
            title = f"{shorten(name, 24)}: {kind}" if name else kind
            tidy(axes, title, f"{diameter} ({unit})" if last else "", _per_bin(one, unit) if axes is row[0] else "")
            axes.tick_params(labelbottom=True, labelleft=True)
            if one.n:
                _size_histogram(axes, one, unit, colour)
            else:
                say(axes, "no vesicle is sized")
    if filled:
        low, high = min(one.edges[0] for one in filled), max(one.edges[-1] for one in filled)
        grid[0, 0].set_xlim(max(0.0, low - 0.03 * (high - low)), high + 0.03 * (high - low))
    _write_caption(figure, caption)
    return figure


def compare_figure(conditions: Sequence[ConditionSample], unit: str, bin_width: float, diameter: str, caption: str, paired: bool = False) -> Figure:
    """Each donor's median diameter and density, with means over donors and their 95 % intervals; below the size distributions, donors weighing the same.

    Args:
        conditions: in the order in which they are drawn.
        unit, diameter: as for ``size_histogram_figure``. bin_width: in ``unit``.
        caption: sentences below.
        paired: whether the same donors are in all conditions: a line joins each donor's points.
    """
    figure = new_figure(5.2 + 0.16 * math.ceil(len(conditions) / 2) + _caption_inch(caption))
    (medians, densities), (shares, cumulative) = figure.subplots(2, 2)
    tidy(medians, "median diameter of each donor", "", f"median {diameter} ({unit})")
    tidy(densities, "density of each donor", "", "vesicles per µm²")
    _donors(medians, conditions, [one.medians for one in conditions], [one.median_mean for one in conditions], paired, "no vesicle is sized")
    _donors(densities, conditions, [one.densities for one in conditions], [one.density_mean for one in conditions], paired, "no pixel size is known")
    tidy(shares, "size distributions", f"{diameter} ({unit})", f"share of the vesicles per {bin_width:g} {unit}")
    tidy(cumulative, "cumulative", f"{diameter} ({unit})", "share of the vesicles up to a size")
    sized = [one for one in conditions if len(one.diameters)]
    for axes in (shares, cumulative):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        if not sized:
            say(axes, "no vesicle is sized")
    if sized:
        everything = np.concatenate([one.diameters for one in sized])
        edges = bin_width * np.arange(np.floor(everything.min() / bin_width), np.floor(everything.max() / bin_width) + 2)
        for k, one in enumerate(conditions):
            if len(one.diameters):
                _distribution(shares, cumulative, one, edges, k)
        for axes in (shares, cumulative):
            axes.set_xlim(max(0.0, edges[0] - bin_width), edges[-1] + bin_width)
            axes.set_ylim(bottom=0)
        figure.legend(*cumulative.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=7, frameon=False, handlelength=2.4)
    _write_caption(figure, caption)
    return figure


def _size_histogram(axes: Axes, sample: SizeSample, unit: str, colour: str) -> None:
    axes.stairs(sample.counts, sample.edges, fill=True, facecolor=colour, alpha=0.25)
    axes.stairs(sample.counts, sample.edges, color=colour, linewidth=1.0)
    low, high = sample.interval
    interval = f" ({low:.1f} to {high:.1f})" if np.isfinite(low) else ""
    lines = [f"n = {sample.n:,}, median {sample.median:.1f}{interval} {unit}", f"D10 {sample.d10:.1f}, D90 {sample.d90:.1f} {unit}"]
    axes.axvline(sample.median, color="black", linewidth=1.3)
    for quantile in (sample.d10, sample.d90):
        axes.axvline(quantile, color="black", linewidth=0.9, linestyle="--")
    if sample.log_sd > 0:
        x = np.linspace(max(sample.edges[0], 1e-3 * sample.edges[-1]), sample.edges[-1], 300)
        density = np.exp(-0.5 * ((np.log(x) - sample.log_mean) / sample.log_sd) ** 2) / (x * sample.log_sd * np.sqrt(2 * np.pi))
        axes.plot(x, sample.counts.sum() * (sample.edges[1] - sample.edges[0]) * density, color=colour, linewidth=1.6, linestyle=":")
        lines[1] += f", log-normal {np.exp(sample.log_mean):.1f} {unit}, σ of ln {sample.log_sd:.2f}"
    axes.set_title(axes.get_title(loc="left"), fontsize=9, loc="left", pad=24)
    axes.text(0, 1.02, "\n".join(lines), transform=axes.transAxes, va="bottom", fontsize=6.5, linespacing=1.3)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def _donors(
    axes: Axes, conditions: Sequence[ConditionSample], values: Sequence[Floats], means: Sequence[tuple[float, float, float]], paired: bool, nothing: str
) -> None:
    """A column of points a condition, and right of it the mean with its interval."""
    known = np.concatenate([of_condition[np.isfinite(of_condition)] for of_condition in values])
    if not len(known):
        say(axes, nothing)
        return
    places = []
    for k, (of_condition, (mean, low, high)) in enumerate(zip(values, means, strict=True)):
        many = len(of_condition)
        places.append(k - 0.12 + (np.linspace(-0.12, 0.12, many) if many > 1 and not paired else np.zeros(many)))
        axes.plot(places[-1], of_condition, MARKERS[k % len(MARKERS)], color=_colour(k), markersize=4.5, alpha=0.8, linestyle="none", zorder=3)
        if np.isfinite(mean):
            axes.plot((k + 0.12, k + 0.32), (mean, mean), color="black", linewidth=1.6, zorder=4)
        if np.isfinite(low):
            axes.errorbar(k + 0.22, mean, ((mean - low,), (high - mean,)), color="black", linewidth=1.0, capsize=3, zorder=4)
    if paired:
        of_donor = [dict(zip(one.donors, column, strict=True)) for one, column in zip(conditions, values, strict=True)]
        for donor in conditions[0].donors:
            axes.plot([place[0] for place in places], [column.get(donor, np.nan) for column in of_donor], color=GREY, linewidth=0.7, zorder=2)
    # The interval of two donors would leave nothing of the points: it runs out of the plot.
    reach = max(float(np.ptp(known)), 0.1 * float(np.abs(known).max()), 1e-9)
    ends = np.array([end for _, *interval in means for end in interval if np.isfinite(end)] + [known.min(), known.max()])
    axes.set_ylim(max(ends.min() - 0.08 * reach, known.min() - 2 * reach, -0.02 * reach), min(ends.max() + 0.08 * reach, known.max() + 2 * reach))
    axes.set_xlim(-0.5, len(conditions) - 0.5)
    axes.grid(visible=False, axis="x")
    crowded = len(conditions) > 4
    labels = [shorten(one.name, 18 if len(conditions) > 3 else 24) + ("" if crowded else f"\n{_counted(len(one.donors), 'donor')}") for one in conditions]
    axes.set_xticks(range(len(conditions)), labels, rotation=35 if crowded else 0, ha="right" if crowded else "center", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)


def _distribution(shares: Axes, cumulative: Axes, sample: ConditionSample, edges: Floats, k: int) -> None:
    order = np.argsort(sample.diameters, kind="stable")
    weights = sample.weights / sample.weights.sum()
    look: dict[str, Any] = {"color": _colour(k), "linestyle": LINE_STYLES[k % len(LINE_STYLES)], "linewidth": 1.4}
    label = f"{shorten(sample.name, 20)}: {_counted(len(sample.donors), 'donor')}, {len(weights):,} sized"
    shares.stairs(np.histogram(sample.diameters, edges, weights=weights)[0], edges, **look)
    x = np.concatenate([edges[:1], sample.diameters[order], edges[-1:]])
    cumulative.step(x, np.concatenate([[0.0], weights[order].cumsum(), [1.0]]), where="post", label=label, **look)


def _colour(k: int) -> str:
    return PALETTE[k % (len(PALETTE) - 1)]  # but for yellow: a pale point is none


def _per_bin(sample: SizeSample, unit: str) -> str:
    return f"vesicles per {sample.edges[1] - sample.edges[0]:g} {unit}" if sample.n else "vesicles"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _lines(caption: str) -> list[str]:
    return [line for paragraph in caption.split("\n") for line in textwrap.wrap(paragraph.replace("$", r"\$"), _WRAPPED_AT)]


def _caption_inch(caption: str) -> float:
    return 0.14 * len(_lines(caption)) + 0.1


def _write_caption(figure: Figure, caption: str) -> None:
    figure.supxlabel("\n".join(_lines(caption)), x=0.01, ha="left", fontsize=7, linespacing=1.3)
