"""What is annotated: how many objects, how large, of what shape, and where they stand."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from exolight.figures.style import PALETTE, new_figure, say, shorten, tidy

_COLOURS = "cividis"
_MOST_CLASSES = 20  # bars that can be read; the rarest beyond are left out and that is said


def labels_figure(
    boxes_per_image: Sequence[NDArray[np.float32]],
    image_hw_per_image: Sequence[tuple[int, int]],
    labels: Sequence[NDArray[np.int64]],
    class_names: list[str],
) -> Figure:
    """Four views of an annotated data set.

    Args:
        boxes_per_image: one (N, 4) xyxy px a picture, N may be 0.
        image_hw_per_image: (height, width) px a picture.
        labels: one (N,) class index a picture.
        class_names: their names; with one class the pictures are counted by their number of objects instead of the objects by class.
    """
    counts = np.array([len(boxes) for boxes in boxes_per_image], int)
    boxes = np.concatenate([np.asarray(b, float).reshape(-1, 4) for b in boxes_per_image] or [np.empty((0, 4))])
    classes = np.concatenate([np.asarray(c, int).ravel() for c in labels] or [np.empty(0, int)])
    sides = np.repeat(np.array(image_hw_per_image, float).reshape(-1, 2), counts, axis=0)[:, ::-1]  # (M, 2) width, height of each box's picture
    figure = new_figure(5.4)
    empty = int((counts == 0).sum())
    title = f"{_plural(len(counts), 'picture')}, {_plural(len(boxes), 'object')}; {_plural(empty, 'picture')} without any"
    figure.suptitle(title, fontsize=10)
    (first, sizes), (shapes, places) = figure.subplots(2, 2)
    if len(class_names) > 1:
        _per_class(first, classes, class_names)
    else:
        _per_picture(first, counts)
    _sizes(sizes, boxes)
    _shapes(shapes, boxes)
    _places(places, (boxes[:, :2] + boxes[:, 2:]) / 2 / np.maximum(sides, 1))
    return figure


def _per_class(axes: Axes, classes: NDArray[np.int64], class_names: list[str]) -> None:
    numbers = np.bincount(classes, minlength=len(class_names))
    order = np.arange(len(class_names)) if len(class_names) <= _MOST_CLASSES else np.argsort(-numbers, kind="stable")[:_MOST_CLASSES]
    bars = axes.barh([shorten(class_names[k], 18) for k in order], numbers[order], color=PALETTE[0], height=0.7)
    axes.bar_label(bars, padding=2, fontsize=7 if len(order) <= 10 else 5)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    tidy(axes, "objects per class" + (f" (the {_MOST_CLASSES} most frequent)" if len(class_names) > _MOST_CLASSES else ""), "objects")
    if len(order) > 10:
        axes.tick_params(axis="y", labelsize=5)


def _per_picture(axes: Axes, counts: NDArray[np.int64]) -> None:
    tidy(axes, "objects per picture", "objects in a picture", "pictures")
    if not len(counts):
        say(axes, "no pictures")
        return
    step = max(1, round((int(counts.max()) + 1) / 40))
    axes.hist(counts, bins=(np.arange(0, counts.max() + 1 + step, step) - 0.5).tolist(), color=PALETTE[0], edgecolor="white", linewidth=0.4)
    axes.set_xlim(-0.7, max(int(counts.max()), 4) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _sizes(axes: Axes, boxes: NDArray[np.float64]) -> None:
    """Distribution of sqrt(width x height), the side of a square of the same area."""
    tidy(axes, "size", "sqrt(width × height) (px)", "objects")
    if not len(boxes):
        say(axes, "no objects")
        return
    size = np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 0))
    axes.hist(size, bins=int(np.clip(np.sqrt(len(size)) * 2, 10, 50)), color=PALETTE[2], edgecolor="white", linewidth=0.4)
    median = float(np.median(size))
    tidy(axes, f"size: median {median:.0f} px", "sqrt(width × height) (px)", "objects")
    axes.axvline(median, color="black", linewidth=1, linestyle="--")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _shapes(axes: Axes, boxes: NDArray[np.float64]) -> None:
    """Height over width: points while they can be told apart, their density beyond."""
    tidy(axes, "width and height", "width (px)", "height (px)")
    if not len(boxes):
        say(axes, "no objects")
        return
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    limit = 1.05 * max(float(width.max()), float(height.max()), 1.0)
    axes.plot((0, limit), (0, limit), color="#BBBBBB", linewidth=0.8, zorder=0)
    if len(boxes) <= 400:
        axes.scatter(width, height, s=9, alpha=0.5, color=PALETTE[0], linewidths=0)
    else:
        cells = axes.hexbin(width, height, gridsize=32, extent=(0, limit, 0, limit), mincnt=1, bins="log", cmap=_COLOURS, linewidths=0)
        _bar(axes, cells, "objects (logarithmic)")
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)
    axes.set_aspect("equal")


def _places(axes: Axes, centres: NDArray[np.float64]) -> None:
    """Heat map of the centres (M, 2), x and y as fractions of the picture; y points down, as in the picture."""
    tidy(axes, "where they stand", "x / picture width", "y / picture height")
    axes.grid(visible=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)
    axes.set_aspect("equal")
    if not len(centres):
        say(axes, "no objects")
        return
    cells = int(np.clip(np.sqrt(len(centres)) / 1.5, 5, 24))  # each way: a few objects a cell, or chance is all one sees
    numbers, _, _ = np.histogram2d(centres[:, 1], centres[:, 0], bins=cells, range=((0, 1), (0, 1)))
    image = axes.imshow(numbers, extent=(0, 1, 1, 0), cmap=_COLOURS, interpolation="nearest", vmin=0)
    _bar(axes, image, "objects")


def _bar(axes: Axes, mappable: ScalarMappable, label: str) -> None:
    """A slim colour bar beside a plot."""
    figure = axes.get_figure()
    if figure is None:  # only for axes that were removed
        return
    bar = figure.colorbar(mappable, ax=axes, shrink=0.9, aspect=18, format="%g")
    bar.set_label(label, fontsize=7)
    bar.ax.tick_params(labelsize=6)
    bar.outline.set_visible(False)


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
