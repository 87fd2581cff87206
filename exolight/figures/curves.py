"""Precision, recall and F1 as curves, one a class and their mean."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from exolight.figures.style import GREY, LINE_STYLES, PALETTE, legend, new_figure, say, shorten, tidy

_MOST_NAMED = 10  # classes told apart by colour; more are drawn thin and grey under their mean


def precision_recall_figure(
    recall: ArrayLike, precision: ArrayLike, average_precision: ArrayLike, class_names: list[str], iou_threshold: float = 0.5
) -> Figure:
    """Precision over recall.

    Args:
        recall: (C, T), or (T,) where all classes share one grid.
        precision: (C, T); NaN throughout for a class that has no objects.
        average_precision: (C,), the area under each curve, NaN where there is none.
        class_names: C names.
        iou_threshold: at which a detection counts as right; told in the title.
    """
    heights = np.atleast_2d(np.asarray(precision, float))
    grids = np.broadcast_to(np.asarray(recall, float), heights.shape)
    areas = np.atleast_1d(np.asarray(average_precision, float))
    known = np.isfinite(areas)
    mean = float(areas[known].mean()) if known.any() else float("nan")
    shared = bool((grids == grids[:1]).all())
    labels = [f"{shorten(name, 24)}  {_number(area)}" for name, area in zip(class_names, areas, strict=True)]
    figure = new_figure(3.6)
    axes = figure.subplots()
    _draw(axes, grids, heights, labels, f"mean of classes  {_number(mean)}" if shared else None)
    tidy(axes, f"precision and recall, IoU {iou_threshold:.2f}: mean average precision {_number(mean)}", "recall", "precision")
    _finish(axes, heights, "lower left")
    return figure


def confidence_curve_figure(confidence: ArrayLike, values: ArrayLike, class_names: list[str], ylabel: str, best: tuple[float, float] | None = None) -> Figure:
    """Precision, recall or F1 (``ylabel``) over the score threshold.

    Args:
        confidence: (T,) thresholds.
        values: (C, T), or (T,) for one class; NaN throughout for a class that has no objects.
        class_names: C names.
        best: (threshold, value) of the operating point, marked and written down.
    """
    heights = np.atleast_2d(np.asarray(values, float))
    grids = np.broadcast_to(np.asarray(confidence, float), heights.shape)
    figure = new_figure(3.6)
    axes = figure.subplots()
    _draw(axes, grids, heights, [shorten(name, 24) for name in class_names], "mean of classes")
    if best is not None and np.isfinite(best).all():
        axes.axvline(best[0], color=GREY, linewidth=0.8, linestyle="--")
        axes.plot(*best, "o", color=PALETTE[1], markersize=5, label=f"operating point: {best[1]:.3f} at {best[0]:.3f}", zorder=5)
    tidy(axes, f"{ylabel} over the score threshold", "score threshold", ylabel)
    _finish(axes, heights, "best")
    return figure


def _draw(axes: Axes, grids: NDArray[np.float64], heights: NDArray[np.float64], labels: list[str], mean_label: str | None) -> None:
    """A line a class that has one, (C, T) over (C, T), and their mean in bold where there are several and they share a grid (``mean_label``)."""
    known = np.isfinite(heights).any(axis=1)
    many = int(known.sum()) > _MOST_NAMED
    for k in np.flatnonzero(known):
        colour, style = (GREY, "-") if many else (PALETTE[k % len(PALETTE)], LINE_STYLES[k // len(PALETTE) % len(LINE_STYLES)])
        axes.plot(grids[k], heights[k], color=colour, linestyle=style, linewidth=0.7 if many else 1.4, label=None if many else labels[k])
    if known.sum() > 1 and mean_label is not None:
        axes.plot(grids[0], np.nanmean(heights[known], axis=0), color="black", linewidth=2.6, label=mean_label)


def _finish(axes: Axes, heights: NDArray[np.float64], loc: Literal["best", "lower left"]) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    if np.isfinite(heights).any():
        legend(axes, loc=loc)
    else:
        say(axes, "no objects to score")


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "no objects"
