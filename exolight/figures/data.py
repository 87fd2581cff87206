"""What a data set is like before anything has learned from it: how places and sizes of its objects hang together, and how large the network would see them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from exolight.figures.style import GREY, LINE_STYLES, PALETTE, WIDTH_INCH, legend, new_figure, say, tidy

_QUANTITIES = ("x", "y", "width", "height")


def labels_correlogram_figure(boxes_per_image: Sequence[NDArray[np.float32]], image_hw_per_image: Sequence[tuple[int, int]]) -> Figure:
    """Each of centre x, centre y, width and height over each other, as shares of the picture: what the annotation of a whole data set has in common.

    Args:
        boxes_per_image: one (N, 4) xyxy px a picture, N may be 0.
        image_hw_per_image: (height, width) px a picture.
    """
    figure = new_figure(WIDTH_INCH * 0.9)
    rows = [np.asarray(boxes, float).reshape(-1, 4) / (hw[1], hw[0], hw[1], hw[0]) for boxes, hw in zip(boxes_per_image, image_hw_per_image, strict=True)]
    shares = np.concatenate(rows or [np.empty((0, 4))])
    if not len(shares):
        axes = figure.subplots()
        tidy(axes)
        say(axes, "no objects")
        return figure
    values = np.column_stack(((shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]))
    limits = (1.0, 1.0, *(max(float(values[:, k].max()), 1e-3) for k in (2, 3)))
    cells = int(np.clip(np.sqrt(len(values)), 8, 40))
    grid = figure.subplots(4, 4, squeeze=False)
    for row in range(4):
        for column in range(4):
            axes = grid[row, column]
            if column > row:
                axes.set_visible(False)
                continue
            tidy(axes, "", _QUANTITIES[column] if row == 3 else "", _QUANTITIES[row] if column == 0 and row else "")
            if row == column:
                axes.hist(values[:, row], bins=cells, range=(0, limits[row]), color=PALETTE[0])
                axes.set_yticks([])
            else:
                counts, *_ = np.histogram2d(values[:, row], values[:, column], bins=cells, range=((0, limits[row]), (0, limits[column])))
                norm, extent = LogNorm(1, max(float(counts.max()), 2)), (0, limits[column], 0, limits[row])
                axes.imshow(np.ma.masked_equal(counts, 0), norm=norm, extent=extent, origin="lower", aspect="auto", cmap="cividis", interpolation="nearest")
                axes.set_ylim((limits[row], 0) if row == 1 else (0, limits[row]))  # y points down, as in the picture
                axes.grid(visible=False)
            axes.set_xlim(0, limits[column])
            axes.tick_params(labelsize=6)
    return figure


def image_sizes_figure(sizes: Mapping[int, NDArray[np.float64]], least_px: float, cell_px: float) -> Figure:
    """How many objects are how narrow at each size of the network's input: which size the smallest ones need.

    Args:
        sizes: for each image size (N, 2) widths and heights in px of the network's input.
        least_px: narrower objects are ignored in training.
        cell_px: the finest stride; narrower objects share a cell of the finest grid with others.
    """
    figure = new_figure(2.9)
    axes = figure.subplots()
    tidy(axes, "how large the network sees the objects", "narrower side of an object (px of the network's input)", "objects that are narrower")
    if not any(len(each) for each in sizes.values()):
        say(axes, "no objects")
        return figure
    for k, (image_size, each) in enumerate(sizes.items()):
        side = np.sort(each.min(axis=1))
        share = np.arange(1, len(side) + 1) / len(side)
        style = LINE_STYLES[k // len(PALETTE) % len(LINE_STYLES)]
        axes.plot(side, share, style, color=PALETTE[k % len(PALETTE)], label=f"image size {image_size}", drawstyle="steps-post", linewidth=1.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0, 1.02)
    marks: tuple[tuple[float, str, Literal["right", "left"], int], ...] = (
        (least_px, f"under {least_px:g} px:\nignored in training", "right", -3),
        (cell_px, f"one cell of\nstride {cell_px:g}", "left", 3),
    )
    for at, said, side_of_line, points in marks:
        axes.axvline(at, color=GREY, linewidth=1)
        axes.annotate(said, (at, 0.98), xytext=(points, 0), textcoords="offset points", fontsize=6, va="top", ha=side_of_line, color="#444444")
    axes.set_xlim(left=min(axes.get_xlim()[0], least_px / 3))
    legend(axes)
    return figure
