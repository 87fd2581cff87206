"""Contact sheets: many pictures with their boxes in one figure."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from exolight.figures.overlays import SCORE_COLOURS, draw_boxes
from exolight.figures.style import WIDTH_INCH, for_picture, new_figure, row_aspects, say, shorten, tidy

_SHEET_DPI = 250  # a contact sheet is looked at enlarged


def mosaic_figure(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike] | None = None,
    names: Sequence[str] | None = None,
    columns: int = 4,
) -> Figure:
    """A contact sheet: pictures with their boxes, coloured by score where there are scores, with their names and numbers of boxes.

    Args:
        images: (H, W) or (H, W, 3) uint8, of any sizes.
        boxes: one (N, 4) xyxy px a picture. scores: one (N,) a picture.
    """
    if not len(images):
        figure = new_figure(1.2)
        axes = figure.subplots()
        tidy(axes)
        say(axes, "no pictures")
        return figure
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    cell = WIDTH_INCH / columns
    heights = [cell * aspect + 0.17 for aspect in row_aspects(images, columns)]  # inches
    figure = new_figure(sum(heights) + (0.45 if scores is not None else 0.0), dpi=_SHEET_DPI)
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights).ravel()
    for k, axes in enumerate(grid):
        for_picture(axes)
        if k >= len(images):
            continue
        small, scale = _shrink(images[k], round(cell * _SHEET_DPI))
        found = np.asarray(boxes[k], float).reshape(-1, 4)
        axes.imshow(draw_boxes(small, found * scale, None if scores is None else scores[k], text=False, thickness=2), interpolation="antialiased")
        name = "" if names is None else shorten(names[k], max(round(140 / columns) - 6, 6)) + "  "
        axes.set_title(f"{name}({len(found)})", fontsize=6, pad=2)
    if scores is not None:
        shown = ScalarMappable(cmap=ListedColormap(SCORE_COLOURS / 255))
        bar = figure.colorbar(shown, ax=list(grid), location="bottom", aspect=60, shrink=0.5, pad=0.01, panchor=False)  # the pictures stay where they are
        bar.set_label("score", fontsize=6, labelpad=1)
        bar.ax.tick_params(labelsize=6)
    return figure


def _shrink(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture of at most ``side`` px and the factors (4,) for its boxes: lines are drawn after shrinking, or they would fade."""
    factor = side / max(image.shape[:2])
    height, width = (max(1, round(s * factor)) for s in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    return np.asarray(small, np.uint8), np.array((width / image.shape[1], height / image.shape[0]) * 2)
