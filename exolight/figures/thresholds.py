"""What a score threshold does: the same pictures at two thresholds, and counts, precision, recall and size over all of them."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from exolight.figures.overlays import SCORE_COLOURS, draw_boxes
from exolight.figures.style import GREY, PALETTE, WIDTH_INCH, for_picture, new_figure, say, shorten, tidy

_MOST_PICTURES = 3
_DPI = 250  # pictures are looked at enlarged
_LOW, _HIGH = (0, (1, 1.2)), (0, (4, 1.5))  # dots and dashes that tell the two thresholds apart
_LINE_PT = 1.1  # of the boxes
_TRUE = PALETTE[3]
_LOOK = {"count": (PALETTE[2], "-"), "precision": (PALETTE[0], "-"), "recall": (PALETTE[1], "--"), "diameter": (PALETTE[2], "-")}

Style = Literal["-"] | tuple[float, tuple[float, float]]
Mark = tuple[float, str, Style, str]  # of a threshold: where, its colour, its line, what it says


def threshold_sweep_figure(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    thresholds: tuple[float, float],
    grid: ArrayLike,
    count: ArrayLike,
    precision: ArrayLike,
    recall: ArrayLike,
    diameter: ArrayLike,
    operating_point: float | None = None,
    true_count: float = math.nan,
    true_diameter: float = math.nan,
    unit: str = "nm",
    names: Sequence[str] | None = None,
) -> Figure:
    """The same pictures at a low and at a high threshold, boxes coloured by score, above curves over the threshold.

    Args:
        images: (H, W) or (H, W, 3) uint8; the first three are shown.
        boxes: one (N, 4) xyxy px a picture. scores: one (N,) a picture; a box is drawn where its score is at least the threshold.
        thresholds: (low, high).
        grid: (T,) thresholds of the curves, ascending.
        count: (T,) mean number of detections a picture. precision, recall: (T,). diameter: (T,) median, in ``unit``. NaN where a value is undefined.
        operating_point: the threshold in use, marked in all curves; it may be one of ``thresholds``.
        true_count, true_diameter: what ``count`` and ``diameter`` should be; NaN where nobody knows.
        names: of the pictures.
    """
    shown = min(len(images), _MOST_PICTURES)
    cell = WIDTH_INCH / _MOST_PICTURES - 0.06
    aspect = float(np.clip(max([image.shape[0] / image.shape[1] for image in images[:shown]], default=0.15), 0.15, 1.4))
    pictures_inch, curves_inch = 2 * (cell * aspect + 0.24) + 0.4, 2.2
    figure = new_figure(pictures_inch + curves_inch, dpi=_DPI)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(pictures_inch, curves_inch)).ravel()
    if shown:
        _pictures(above, list(images[:shown]), boxes, scores, thresholds, cell, names)
    else:
        axes = above.subplots()
        tidy(axes)
        say(axes, "no pictures")
    x = np.asarray(grid, float)
    first, second, third = below.subplots(1, 3)
    point = float("nan") if operating_point is None else float(operating_point)
    marks: list[Mark] = [(value, GREY, style, f"threshold {value:.2g}") for value, style in zip(thresholds, (_LOW, _HIGH), strict=True) if value != point]
    if np.isfinite(point):
        marks.append((point, "black", "-", f"operating point {point:.2g}"))
    heights = np.asarray(count, float)
    _curves(first, x, {"count": heights}, marks, point, true_count, "objects a picture", "no detections")
    tallest = np.nanmax([*heights[x >= thresholds[0] / 2], true_count, 1.0])
    first.set_ylim(top=1.1 * tallest)  # the weakest detections are so many that nothing else would be seen
    _curves(second, x, {"precision": precision, "recall": recall}, marks, point, math.nan, "precision, recall", "no objects to find")
    second.set_ylim(0, 1.04)
    _curves(third, x, {"diameter": diameter}, marks, point, true_diameter, f"median diameter ({unit})", "no diameters")
    handles = [Line2D([], [], color=colour, linestyle=style, linewidth=1.2 if colour == GREY else 0.8, label=text) for _, colour, style, text in marks]
    if np.isfinite((true_count, true_diameter)).any():
        handles.append(Line2D([], [], color=_TRUE, linestyle="-.", linewidth=1.0, label="true value"))
    handles += [line for line in second.get_lines() if line.get_label() in _LOOK]
    below.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, frameon=False)
    return figure


def _pictures(
    figure: SubFigure,
    images: list[NDArray[np.uint8]],
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    thresholds: tuple[float, float],
    cell_inch: float,
    names: Sequence[str] | None,
) -> None:
    """Two rows, one a threshold, of pictures with their boxes, and the scale of the scores below them."""
    grid = figure.subplots(2, len(images), squeeze=False)
    for row, threshold in zip(grid, thresholds, strict=True):
        for k, (axes, image) in enumerate(zip(row, images, strict=True)):
            score = np.asarray(scores[k]).ravel()
            kept = score >= float(threshold)  # in the scores' own precision, as suppression compares them
            pixels_a_point = max(image.shape[:2]) / (72 * cell_inch)
            painted = draw_boxes(
                image, np.asarray(boxes[k], float).reshape(-1, 4)[kept], score[kept], text=False, thickness=max(1, round(_LINE_PT * pixels_a_point))
            )
            axes.imshow(painted, interpolation="antialiased")
            for_picture(axes)
            name = "" if names is None else shorten(names[k], 16) + ": "
            axes.set_title(f"{name}{int(kept.sum())} with score ≥ {threshold:.2g}", fontsize=7, pad=3)
    shown = ScalarMappable(cmap=ListedColormap(SCORE_COLOURS / 255))
    bar = figure.colorbar(shown, ax=list(grid.ravel()), location="bottom", aspect=60, shrink=0.5 if len(images) > 1 else 0.3, pad=0.02, panchor=False)
    bar.set_label("score", fontsize=7, labelpad=1)
    bar.ax.tick_params(labelsize=6)


def _curves(
    axes: Axes, x: NDArray[np.float64], curves: dict[str, ArrayLike], marks: Sequence[Mark], point: float, true: float, ylabel: str, nothing: str
) -> None:
    """Curves (T,) by name over the thresholds ``x``, a dot on each at ``point``, vertical ``marks``, and the true value (NaN: none of them)."""
    tidy(axes, "", "score threshold", ylabel)
    axes.set_xlim(0, 1)
    heights = {name: np.asarray(values, float) for name, values in curves.items()}
    if not any(np.isfinite(y).any() for y in heights.values()):
        say(axes, nothing)
        return
    for value, colour, line, _ in marks:
        axes.axvline(value, color=colour, linestyle=line, linewidth=1.2 if colour == GREY else 0.8)
    if np.isfinite(true):
        axes.axhline(true, color=_TRUE, linestyle="-.", linewidth=1.0)
    for name, y in heights.items():
        colour, style = _LOOK[name]
        axes.plot(x, y, color=colour, linestyle=style, linewidth=1.4, label=name)
        finite = np.isfinite(y)
        if np.isfinite(point) and finite.any():
            axes.plot(point, np.interp(point, x[finite], y[finite]), "o", color=colour, markersize=4, zorder=5)
    axes.set_ylim(bottom=0)
