"""How large the objects are: predicted beside true diameters, all together and one by one."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from exolight.figures.style import GREY, LINE_STYLES, PALETTE, legend, new_figure, say, tidy

_MOST_BINS = 400
_FEWEST_IN_GROUP, _MOST_GROUPS = 20, 8
_STEPS = {"nm": (5.0, 10.0), "px": (1.0, 2.0, 5.0, 10.0)}  # customary widths of bins


def size_distribution_figure(
    predicted: ArrayLike | None,
    true: ArrayLike | None = None,
    unit: Literal["nm", "px"] = "nm",
    bin_width: float | None = None,
    log_normal: bool = False,
) -> Figure:
    """Histograms of diameters over the same bins, which begin at multiples of their width, with medians and numbers.

    Args:
        predicted: (N,) diameters; None or empty where there are none. Values that are not finite and above 0 are left out.
        true: (M,), likewise.
        unit: of the diameters; "px" says in the figure that no scale is known.
        bin_width: in ``unit``; None: 5 or 10 nm (or 1, 2, 5 or 10 px), whichever is nearest to Freedman and Diaconis' rule.
        log_normal: whether to draw the log-normal distribution with the mean and the standard deviation of the logarithms of each sample.
    """
    samples = {name: kept for name, values in (("true", true), ("predicted", predicted)) if (kept := _usable(values)).size}
    figure = new_figure(3.0)
    axes = figure.subplots()
    label = "diameter (nm)" if unit == "nm" else "diameter (px; no nm per pixel is known)"
    tidy(axes, "diameters", label, "objects")
    if not samples:
        say(axes, "no diameters")
        return figure
    width = bin_width or _bin_width(list(samples.values()), _STEPS[unit])
    together = np.concatenate(list(samples.values()))
    first = np.floor(together.min() / width)
    edges = width * np.arange(first, np.floor(together.max() / width) + 2)
    tidy(axes, "diameters" if len(samples) == 2 else f"diameters ({next(iter(samples))} only)", label, f"objects per {width:g} {unit}")
    for name, values in samples.items():
        _histogram(axes, name, values, edges, unit, log_normal)
    axes.set_xlim(max(float(edges[0]) - width, 0.0), float(edges[-1]) + width)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    legend(axes)
    return figure


def diameter_errors_figure(pairs: ArrayLike, unit: Literal["nm", "px"] = "nm") -> Figure:
    """How far each found vesicle's measured diameter lies from its true one, over the true one; of groups by size the median and the quartiles.

    Args:
        pairs: (K, 2) measured and true diameters in ``unit``. Groups have equal numbers, at least ``_FEWEST_IN_GROUP``, and are at most ``_MOST_GROUPS``.
    """
    measured, true = np.asarray(pairs, np.float64).reshape(-1, 2).T
    figure = new_figure(3.0)
    axes = figure.subplots()
    tidy(axes, f"diameters of {len(true):,} found vesicles", f"true diameter ({unit})", f"measured − true ({unit})")
    if not len(true):
        say(axes, "no vesicles found whose true diameter is known")
        return figure
    difference = measured - true
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    axes.scatter(true, difference, s=8, color=PALETTE[0], alpha=0.35, linewidths=0, rasterized=True, label="a vesicle")
    order = np.argsort(true, kind="stable")
    groups = np.array_split(order, max(1, min(_MOST_GROUPS, len(true) // _FEWEST_IN_GROUP)))
    middles = np.array([np.median(true[group]) for group in groups])
    low, median, high = (np.array([np.percentile(difference[group], share) for group in groups]) for share in (25, 50, 75))
    label = f"median and quartiles{f' of {len(groups)} equal groups by size' if len(groups) > 1 else ''}"
    axes.errorbar(middles, median, (median - low, high - median), color=PALETTE[1], fmt="s-", markersize=4, linewidth=1.2, capsize=3, label=label)
    reach = 1.15 * max(float(np.percentile(np.abs(difference), 99)), float(np.abs([low, high]).max()), 1.0)
    beyond = int((np.abs(difference) > reach).sum())
    if beyond:
        axes.annotate(f"{beyond} beyond", (0.99, 0.02), xycoords="axes fraction", ha="right", fontsize=7, color="#555555")
    axes.set_ylim(-reach, reach)
    legend(axes)
    return figure


def _histogram(axes: Axes, name: str, values: NDArray[np.float64], edges: NDArray[np.float64], unit: str, log_normal: bool) -> None:
    """Filled steps, the median as a line, and the log-normal curve in numbers per bin."""
    k = ("true", "predicted").index(name)
    colour, style = PALETTE[k], LINE_STYLES[k]
    numbers, _ = np.histogram(values, edges)
    median = float(np.median(values))
    axes.stairs(numbers, edges, fill=True, facecolor=colour, alpha=0.25)
    axes.stairs(numbers, edges, color=colour, linestyle=style, linewidth=1.2, label=f"{name}: N = {len(values):,}, median {median:.1f} {unit}")
    axes.axvline(median, color=colour, linestyle=style, linewidth=1.6)
    logs = np.log(values)
    sigma = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    if log_normal and sigma > 0:
        x = np.linspace(max(edges[0], 1e-3 * edges[-1]), edges[-1], 300)
        density = np.exp(-0.5 * ((np.log(x) - logs.mean()) / sigma) ** 2) / (x * sigma * np.sqrt(2 * np.pi))
        expected = len(values) * (edges[1] - edges[0]) * density
        axes.plot(x, expected, color=colour, linestyle=":", linewidth=1.2, label=f"{name}: log-normal, σ of ln {sigma:.2f}")


def _usable(values: ArrayLike | None) -> NDArray[np.float64]:
    flat = np.asarray([] if values is None else values, float).ravel()
    return flat[np.isfinite(flat) & (flat > 0)]


def _bin_width(samples: list[NDArray[np.float64]], steps: tuple[float, ...]) -> float:
    """Of ``steps`` the one nearest to 2 IQR / n^(1/3) (Freedman and Diaconis, 1981) of the smaller sample; tenfold while there would be too many bins."""
    values = min(samples, key=len)
    low, high = np.percentile(values, (25, 75))
    wanted = 2 * (high - low) / len(values) ** (1 / 3)
    width = min(steps, key=lambda step: abs(step - wanted)) if wanted > 0 else steps[-1]
    largest = max(float(sample.max()) for sample in samples)
    while largest / width > _MOST_BINS:
        width *= 10
    return width
