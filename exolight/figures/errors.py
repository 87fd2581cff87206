"""Where a detector errs: classes confused, scores that promise too much, counts, and the pictures with most errors."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from exolight.figures.style import GREY, LINE_STYLES, PALETTE, WIDTH_INCH, for_picture, legend, new_figure, row_aspects, say, shorten, tidy

COLUMN_INCH = WIDTH_INCH / 2  # one of two columns of a page
AGREEMENT = 1.96  # standard deviations either side of the bias: 95 % of a normal distribution (Bland and Altman, Lancet 1986, 327:307)

_PICTURE_DPI = 250  # pictures are looked at enlarged
_RIGHT, _FALSE, _MISSED = PALETTE[4], PALETTE[1], PALETTE[7]  # light enough to stand out on a grey picture


def confusion_matrix_figure(counts: ArrayLike, class_names: list[str], iou_threshold: float = 0.5) -> Figure:
    """What objects of each class were taken for: coloured by the share of their column, the counts written in while they can be read.

    Args:
        counts: (C + 1, C + 1), rows predicted, columns true. The last row holds the objects that were missed, the last column the detections of nothing; the
            corner of both has no meaning and is left empty.
        class_names: C names.
        iou_threshold: at which a detection counts as an object; told in the title.
    """
    table = np.nan_to_num(np.array(counts, float))
    table[-1, -1] = 0
    total = table.sum(axis=0)
    share = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
    share[-1, -1] = np.nan
    cells = len(table)
    narrow = cells <= 3
    width, height = (COLUMN_INCH, 3.1) if narrow else (WIDTH_INCH, min(1.3 + 0.42 * cells, 7.0))
    figure = new_figure(height)
    figure.set_figwidth(width)
    axes = figure.subplots()
    tidy(axes, f"confusion matrix, IoU {iou_threshold:.2f}", "true", "predicted")
    axes.grid(visible=False)
    if not total.any():
        say(axes, "no objects and no detections")
        return figure
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    names = [*(shorten(name, 14 if narrow else 18) for name in class_names), "background"]
    turned = cells > 6
    axes.set_xticks(range(cells), names, rotation=40 if turned else 0, ha="right" if turned else "center", rotation_mode="anchor")
    axes.set_yticks(range(cells), names, rotation=90 if narrow else 0, va="center")
    axes.tick_params(length=0, labelsize=7 if cells <= 16 else 5)
    axes.spines[:].set_visible(False)
    size = min(8.0, 72 * (width - 1.3) / cells / (0.65 * len(f"{table.max():.0f}")), 72 * (height - 1.3) / cells / 1.2)  # pt, to fit the cell
    colours = image.to_rgba(share)
    for row, column in np.argwhere(np.isfinite(share)) if size >= 4 else ():  # smaller ones nobody reads
        text = f"{table[row, column]:.0f}" + (f"\n{100 * share[row, column]:.0f} %" if cells <= 8 and total[column] else "")
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=_ink(colours[row, column]))
    bar = figure.colorbar(image, ax=axes, aspect=30, pad=0.02)
    bar.set_label("share of the column", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    bar.outline.set_visible(False)
    return figure


def reliability_figure(
    mean_score: ArrayLike,
    share_true: ArrayLike,
    counts: ArrayLike,
    ece: ArrayLike,
    temperature: float | None = None,
    edges: ArrayLike | None = None,
) -> Figure:
    """Whether 0.8 means that 80 % are true: the share of true detections over their mean score in B bins, and how many detections the bins hold.

    Args:
        mean_score: (B,), or (2, B) for the scores as the network gives them and after they were divided by the temperature; NaN for an empty bin.
        share_true: the same shape.
        counts: the same shape, detections a bin.
        ece: the expected calibration error, one number, or (2,).
        temperature: that of the second row, or of the only one where it was applied there.
        edges: (B + 1,) of the bins' scores; None: bins of equal widths from 0 to 1.
    """
    scores, shares, numbers = (np.atleast_2d(np.asarray(values, float)) for values in (mean_score, share_true, counts))
    numbers = np.nan_to_num(numbers)
    errors = np.atleast_1d(np.asarray(ece, float))
    borders = np.linspace(0, 1, scores.shape[1] + 1) if edges is None else np.asarray(edges, float)
    figure = new_figure(4.0)
    figure.set_figwidth(COLUMN_INCH)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    tidy(above, "reliability of the scores", "", "share of true detections")
    tidy(below, "", "score", "detections")
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    if not numbers.any():
        say(above, "no detections")
        say(below, "")
        return figure
    above.plot((0, 1), (0, 1), color=GREY, linewidth=0.8, label="perfect")
    for k, (error, number) in enumerate(zip(errors, numbers, strict=True)):
        drawn = np.isfinite(scores[k]) & np.isfinite(shares[k]) & (number > 0)
        last = temperature is not None and k == len(errors) - 1
        label = (f"temperature {temperature:.2f}" if last else "as given") + f": ECE {_three(error)}"
        look = {"color": PALETTE[k], "linestyle": LINE_STYLES[k]}
        above.plot(scores[k, drawn], shares[k, drawn], marker="os"[k], markersize=3.5, linewidth=1.3, label=label, clip_on=False, **look)
        below.stairs(number, borders, fill=True, facecolor=PALETTE[k], alpha=0.25)
        below.stairs(number, borders, linewidth=1.1, **look)
    if numbers.max() > 30 * np.median(numbers[numbers > 0]):  # or the tall bins leave nothing of the others
        below.set_yscale("log")
        below.set_ylim(bottom=0.5)
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        below.yaxis.set_minor_locator(NullLocator())
        below.yaxis.set_minor_formatter(NullFormatter())
    else:
        below.set_ylim(bottom=0)
        below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    figure.align_ylabels()
    legend(above)
    return figure


def count_agreement_figure(found: ArrayLike, true: ArrayLike) -> Figure:
    """Numbers of objects a picture, found against true, and their difference over their mean with its bias and limits of agreement (Bland and Altman).

    Pictures with equal numbers share a disc, whose area grows with them.

    Args:
        found: (P,) objects found in each picture. true: (P,) objects there are; pictures where either is NaN are left out.
    """
    pairs = np.stack((np.asarray(true, float).ravel(), np.asarray(found, float).ravel()), axis=1)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2)
    tidy(left, f"{len(pairs):,} picture{'' if len(pairs) == 1 else 's'}", "true number of objects", "number found")
    tidy(right, "agreement", "mean of found and true", "found − true")
    if not len(pairs):
        say(left, "no pictures")
        say(right, "no pictures")
        return figure
    places, pictures = np.unique(pairs, axis=0, return_counts=True)
    difference = pairs[:, 1] - pairs[:, 0]
    limit = 1.05 * max(float(pairs.max()), 4.0)
    left.plot((0, limit), (0, limit), color=GREY, linewidth=0.8, zorder=1)
    _discs(left, places[:, 0], places[:, 1], pictures)
    _discs(right, places.mean(axis=1), places[:, 1] - places[:, 0], pictures)
    left.set(xlim=(-0.03 * limit, limit), ylim=(-0.03 * limit, limit), aspect="equal")
    low, high = float(pairs.mean(axis=1).min()), float(pairs.mean(axis=1).max())
    right.set_xlim(low - max(0.08 * (high - low), 1), high + max(0.08 * (high - low), 1))
    if pictures.max() > 1:
        for number in (1, int(pictures.max())):
            left.scatter([], [], s=_area(number), color=PALETTE[0], alpha=0.6, linewidths=0, label=f"{number} picture{'' if number == 1 else 's'}")
        legend(left)
    bias = float(difference.mean())
    spread = AGREEMENT * float(difference.std(ddof=1)) if len(pairs) > 1 else 0.0
    right.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    _level(right, bias, "bias", "-", "center")
    if spread > 0:
        _level(right, bias + spread, f"+{AGREEMENT} SD", "--", "bottom")
        _level(right, bias - spread, f"−{AGREEMENT} SD", "--", "top")
    reach = 1.25 * max(float(np.abs(difference).max()), abs(bias) + spread, 1.0)
    right.set_ylim(-reach, reach)
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure


def worst_figure(
    images: Sequence[NDArray[np.uint8]],
    truth_boxes: Sequence[ArrayLike],
    found_boxes: Sequence[ArrayLike],
    found_scores: Sequence[ArrayLike],
    missed: Sequence[ArrayLike],
    false: Sequence[ArrayLike],
    names: Sequence[str],
    most: int = 6,
) -> Figure:
    """The pictures with most errors, the worst first: objects found, missed (dashed) and false detections with their scores. Pictures without any are left out.

    Args:
        images: (H, W) or (H, W, 3) uint8, of any sizes.
        truth_boxes: one (M, 4) xyxy px a picture. found_boxes: one (N, 4) a picture. found_scores: one (N,) a picture.
        missed: one (M,) bool a picture, the object was not found. false: one (N,) bool a picture, the detection is of nothing. What lies on regions to ignore
            is neither.
        names: of the pictures.
        most: pictures to show.
    """
    wrong = [int(np.sum(m)) + int(np.sum(f)) for m, f in zip(missed, false, strict=True)]
    order = [k for k in np.argsort(-np.array(wrong, int), kind="stable").tolist() if wrong[k]][:most]
    if not order:
        figure = new_figure(1.2)
        axes = figure.subplots()
        tidy(axes)
        say(axes, "no picture has an error" if len(images) else "no pictures")
        return figure
    columns = min(3, len(order))
    rows = math.ceil(len(order) / columns)
    heights = [(WIDTH_INCH / 3 - 0.08) * aspect + 0.22 for aspect in row_aspects([images[k] for k in order], columns)]  # inches
    figure = new_figure(sum(heights) + 0.25, dpi=_PICTURE_DPI)
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights).ravel()
    for axes in grid:
        for_picture(axes)
    for axes, k in zip(grid, order, strict=False):
        axes.imshow(images[k], cmap="gray", vmin=0, vmax=255)
        bad, lost = np.asarray(false[k], bool).ravel(), np.asarray(missed[k], bool).ravel()
        found = np.asarray(found_boxes[k], float).reshape(-1, 4)
        _frames(axes, found[~bad], _RIGHT, "-", 0.8)
        _frames(axes, np.asarray(truth_boxes[k], float).reshape(-1, 4)[lost], _MISSED, (0, (2.5, 1.5)), 1.3)
        _frames(axes, found[bad], _FALSE, "-", 1.3)
        _write_scores(axes, found[bad], np.asarray(found_scores[k], float).ravel()[bad], images[k].shape[:2])
        axes.set_title(f"{shorten(names[k], 20)}: {lost.sum()} missed, {bad.sum()} false", fontsize=7, pad=3)
    styles = ((_RIGHT, "-", 1.2, "found"), (_MISSED, (0, (2.5, 1.5)), 1.5, "missed"), (_FALSE, "-", 1.5, "false, with its score"))
    handles = [Line2D([], [], color=colour, linestyle=style, linewidth=width, label=label) for colour, style, width, label in styles]  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7, frameon=False, handlelength=2.4)
    return figure


def _ink(rgba: NDArray[np.float64]) -> str:
    """Black or white, whichever has the larger contrast on a colour (relative luminance of WCAG 2)."""
    linear = np.where(rgba[:3] <= 0.04045, rgba[:3] / 12.92, ((rgba[:3] + 0.055) / 1.055) ** 2.4)
    return "white" if float(linear @ (0.2126, 0.7152, 0.0722)) < 0.179 else "black"


def _three(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "unknown"


def _area(pictures: ArrayLike) -> NDArray[np.float64]:
    """Of a disc, in square points; it stops growing where discs would hide each other."""
    return np.minimum(16.0 * np.asarray(pictures, float), 300)


def _discs(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], pictures: NDArray[np.int64]) -> None:
    axes.scatter(x, y, s=_area(pictures), color=PALETTE[0], alpha=0.6, linewidths=0, zorder=3)


def _level(axes: Axes, value: float, name: str, style: str, va: str) -> None:
    """A horizontal line and, right of the plot, what it is."""
    axes.axhline(value, color=PALETTE[1], linewidth=1.1, linestyle=style, zorder=2)
    words = f"{name}\n{value:.1f}".replace("-", "−")
    axes.text(1.02, value, words, transform=axes.get_yaxis_transform(), ha="left", va=va, fontsize=7, color=PALETTE[1], linespacing=1.1)


def _frames(axes: Axes, boxes: NDArray[np.float64], colour: str, style: str | tuple[float, tuple[float, float]], width: float) -> None:
    """Outlines of boxes (N, 4) xyxy px on a picture, whose first pixel's outer corner is (-0.5, -0.5) in ``imshow``."""
    patches = [Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
    axes.add_collection(PatchCollection(patches, facecolor="none", edgecolor=colour, linestyle=style, linewidth=width))


def _write_scores(axes: Axes, boxes: NDArray[np.float64], scores: NDArray[np.float64], image_hw: tuple[int, ...]) -> None:
    """Scores (N,) on dark strips above their boxes (N, 4), or below where there is no room; of those that would overlap the highest."""
    height, width = image_hw
    taken: list[tuple[float, float]] = []
    for k in np.argsort(-np.nan_to_num(scores), kind="stable"):
        x1, y1, x2, y2 = boxes[k]
        up, left = y1 > 0.07 * height, x1 < 0.85 * width
        x, y = x1 if left else x2, y1 if up else y2
        if any(abs(x - other_x) < 0.11 * width and abs(y - other_y) < 0.06 * height for other_x, other_y in taken):
            continue
        taken.append((x, y))
        axes.annotate(
            f"{scores[k]:.2f}" if np.isfinite(scores[k]) else "?",
            (x, y),
            xytext=(0, 2 if up else -2),
            textcoords="offset points",
            ha="left" if left else "right",
            va="bottom" if up else "top",
            fontsize=6,
            color="white",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "#000000A0", "edgecolor": "none"},
            clip_on=True,
        )
