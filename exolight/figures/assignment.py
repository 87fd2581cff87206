"""Which cells and anchors learn which object, level by level."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from exolight.figures.style import PALETTE, WIDTH_INCH, for_picture, new_figure, say, tidy

_COLOURS = tuple(colour for colour in PALETTE if colour != "#000000")  # black is lost on a picture
_DPI = 250  # pictures are looked at enlarged
_COLUMNS = 3


def assignment_figure(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    strides: Sequence[int],
    rows: Sequence[ArrayLike],
    columns: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    anchors: Sequence[ArrayLike],
    num_anchors: int = 3,
) -> Figure:
    """One panel a level: the cells that learn, in the colour of their object, and the objects' boxes: solid where this level learns them, else dotted.

    A cell is divided into one strip an anchor from left to right; filled are those of the anchors that learn.

    Args:
        image: (H, W) or (H, W, 3) uint8, as the network sees it.
        boxes: (N, 4) xyxy px.
        strides: px a cell, one a level.
        rows, columns, targets, anchors: one (K,) int array each a level: the cell, the index of the object (into ``boxes``) and the anchor of each of K pairs.
        num_anchors: a cell has on each level.
    """
    frames = np.asarray(boxes, float).reshape(-1, 4)
    if not len(strides):
        figure = new_figure(1.2)
        axes = figure.subplots()
        tidy(axes)
        say(axes, "no levels")
        return figure
    across = min(_COLUMNS, len(strides))
    down = math.ceil(len(strides) / across)
    aspect = float(np.clip(image.shape[0] / image.shape[1], 0.4, 1.6))
    figure = new_figure(down * ((WIDTH_INCH / _COLUMNS - 0.08) * aspect + 0.36) + 0.2, dpi=_DPI)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid:
        for_picture(axes)
    learnt: set[int] = set()
    for axes, stride, *pairs in zip(grid, strides, rows, columns, targets, anchors, strict=False):
        row, column, target, anchor = (np.asarray(values, int).ravel() for values in pairs)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, alpha=0.75)
        _cells(axes, stride, row, column, target, anchor, num_anchors)
        mine = sorted(set(target.tolist()))
        _boxes(axes, frames, mine, "-", 1.1)
        _boxes(axes, frames, [k for k in range(len(frames)) if k not in mine], (0, (1, 1.5)), 0.8)
        cells = len(np.unique(np.stack((row, column)), axis=1).T)
        numbers = f"{len(mine)} of {len(frames)} objects\n{cells} cells, {len(row)} pairs" if len(frames) else "no objects"
        axes.set_title(f"stride {stride} px: {numbers}", fontsize=7)
        learnt.update(mine)
    lost = len(frames) - len(learnt)
    nowhere = f"{lost} object{' is' if lost == 1 else 's are'} learned nowhere" if lost else "every object is learned"
    if len(frames):
        strips = f"strips of a cell, left to right: its {num_anchors} anchors, filled where they learn; " if num_anchors > 1 else ""
        figure.supxlabel(f"{strips}{nowhere}", fontsize=7)
    return figure


def _cells(
    axes: Axes,
    stride: int,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    target: NDArray[np.int64],
    anchor: NDArray[np.int64],
    num_anchors: int,
) -> None:
    """A filled strip a pair and the outline of its cell; all arrays are (K,)."""
    x, y = column * stride - 0.5, row * stride - 0.5  # imshow's first pixel begins at -0.5
    width = stride / num_anchors
    colours = [_COLOURS[k % len(_COLOURS)] for k in target]
    strips = [Rectangle((left + a * width, top), width, stride) for left, top, a in zip(x, y, anchor, strict=True)]
    outlines = [Rectangle((left, top), stride, stride) for left, top in zip(x, y, strict=True)]
    axes.add_collection(PatchCollection(strips, facecolor=colours, edgecolor="none", alpha=0.7))
    axes.add_collection(PatchCollection(outlines, facecolor="none", edgecolor=colours, linewidth=0.5))


def _boxes(axes: Axes, boxes: NDArray[np.float64], which: list[int], style: str | tuple[float, tuple[float, float]], width: float) -> None:
    patches = [Rectangle((boxes[k, 0] - 0.5, boxes[k, 1] - 0.5), boxes[k, 2] - boxes[k, 0], boxes[k, 3] - boxes[k, 1]) for k in which]
    colours = [_COLOURS[k % len(_COLOURS)] for k in which]
    axes.add_collection(PatchCollection(patches, facecolor="none", edgecolor=colours, linestyle=style, linewidth=width))
