"""Boxes on pictures: one picture as an array, many as a contact sheet."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from exolight.figures.style import WIDTH_INCH, new_figure, say, shorten, tidy

MOST_TEXTS = 60  # more boxes than these get no text
PLAIN_COLOUR = (64, 224, 255)  # RGB, a cyan that no score has: for boxes without one (the truth)
_SHEET_DPI = 250  # a contact sheet is looked at enlarged
# Score 0..1 -> RGB: plasma from its violet to its yellow. Even in lightness like viridis, but viridis' greens and blues sink into a grey picture.
_SCORE_COLOURS = cv2.applyColorMap(np.linspace(70, 255, 256).astype(np.uint8)[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1]


def draw_boxes(
    image: NDArray[np.uint8],
    boxes_xyxy: ArrayLike,
    scores: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    colour: tuple[int, int, int] = PLAIN_COLOUR,
    text: bool = True,
    thickness: int | None = None,
) -> NDArray[np.uint8]:
    """A copy of a picture with its boxes drawn on it.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        boxes_xyxy: (N, 4) px, x2 and y2 exclusive: the line runs on the outermost pixels INSIDE the box. Parts outside the picture are not drawn.
        scores: (N,) in 0..1; they colour the boxes. Without them all are ``colour`` (RGB).
        labels: N words to write beside the score.
        text: False draws lines only. Text is left out anyway beyond ``MOST_TEXTS`` boxes and wherever it finds no room.
        thickness: of the lines in px; by itself it grows with the picture.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the picture is no uint8 (H, W) or (H, W, 3).
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"draw_boxes takes (H, W) or (H, W, 3) uint8, not {image.shape} {image.dtype}")
    canvas = np.ascontiguousarray(np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image.copy())
    boxes = np.asarray(boxes_xyxy, float).reshape(-1, 4)
    values = None if scores is None else np.asarray(scores, float).ravel()
    thickness = thickness or max(1, round(min(image.shape[:2]) / 450))
    colours = [colour if values is None else _score_colour(values[k]) for k in range(len(boxes))]
    order = range(len(boxes)) if values is None else np.argsort(values, kind="stable").tolist()  # the surest on top
    for k in order:
        left, top = np.floor(boxes[k, :2]).astype(int)
        right, bottom = np.ceil(boxes[k, 2:]).astype(int) - 1
        _frame(canvas, int(left), int(top), int(right), int(bottom), colours[k], thickness)
    if text and len(boxes) <= MOST_TEXTS and (values is not None or labels is not None):
        words = [" ".join(([labels[k]] if labels is not None else []) + ([f"{values[k]:.2f}"] if values is not None else [])) for k in range(len(boxes))]
        _write(canvas, boxes, words, list(order)[::-1])
    return canvas


def draw_scale_bar(canvas: NDArray[np.uint8], pixel_size_nm: float | None) -> NDArray[np.uint8]:
    """An (H, W, 3) RGB picture with a scale bar on a dark strip in its lower right corner, in place, and returned; as it is where nobody knows its scale.

    The bar is the longest of 1, 2, 5, 10, ... nm that takes at most a quarter of the width; ``pixel_size_nm`` are those of the canvas.
    """
    height, width = canvas.shape[:2]
    if pixel_size_nm is None or min(height, width) < 64:
        return canvas
    most = width * pixel_size_nm / 4
    decade = 10.0 ** math.floor(math.log10(most))
    length_nm = decade * max(step for step in (1, 2, 5) if step * decade <= most)
    length = round(length_nm / pixel_size_nm)
    size = float(np.clip(min(height, width) / 1000, 0.35, 4.0))
    words = f"{length_nm:g} nm" if length_nm < 1000 else f"{length_nm / 1000:g} um"  # OpenCV's letters have no micro sign
    (w, h), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, max(1, round(size)))
    gap, thick = max(3, h // 2), max(2, h // 4)
    strip_w, strip_h = max(w, length) + 2 * gap, h + base + thick + 2 * gap
    strip = canvas[height - strip_h :, width - strip_w :]
    strip[:] = (strip * 0.35).astype(np.uint8)
    middle, bottom = width - strip_w // 2, height - gap
    cv2.putText(
        canvas, words, (middle - w // 2, bottom - thick - base), cv2.FONT_HERSHEY_SIMPLEX, size, (245, 245, 245), max(1, round(size)), cv2.LINE_AA
    )  # fmt: skip
    left = middle - length // 2
    canvas[bottom - thick : bottom, left : left + length] = 245
    return canvas


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
    figure = new_figure(rows * (cell * _row_aspect(images) + 0.17) + (0.45 if scores is not None else 0.0), dpi=_SHEET_DPI)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, axes in enumerate(grid):
        axes.set_axis_off()
        if k >= len(images):
            continue
        small, scale = _shrink(images[k], round(cell * _SHEET_DPI))
        found = np.asarray(boxes[k], float).reshape(-1, 4)
        axes.imshow(draw_boxes(small, found * scale, None if scores is None else scores[k], text=False, thickness=2), interpolation="antialiased")
        name = "" if names is None else shorten(names[k], max(round(140 / columns) - 6, 6)) + "  "
        axes.set_title(f"{name}({len(found)})", fontsize=6, pad=2)
    if scores is not None:
        bar = figure.colorbar(ScalarMappable(cmap=ListedColormap(_SCORE_COLOURS / 255)), ax=list(grid), location="bottom", aspect=60, shrink=0.5, pad=0.01)
        bar.set_label("score", fontsize=6, labelpad=1)
        bar.ax.tick_params(labelsize=6)
    return figure


def _score_colour(score: float) -> tuple[int, int, int]:
    red, green, blue = _SCORE_COLOURS[int(np.clip(np.nan_to_num(score), 0, 1) * 255)]
    return int(red), int(green), int(blue)


def _frame(canvas: NDArray[np.uint8], left: int, top: int, right: int, bottom: int, colour: tuple[int, int, int], thickness: int) -> None:
    """A rectangle whose line lies inside its corners (inclusive), in place."""
    for inset in range(thickness):
        if left + inset <= right - inset and top + inset <= bottom - inset:
            cv2.rectangle(canvas, (left + inset, top + inset), (right - inset, bottom - inset), colour, 1)


def _write(canvas: NDArray[np.uint8], boxes: NDArray[np.float64], words: list[str], order: list[int]) -> None:
    """Words above or below their boxes, in ``order``, on a dark strip; none where it would leave the picture or cover another. In place."""
    height, width = canvas.shape[:2]
    size = float(np.clip(min(height, width) / 1200, 0.32, 2.0))
    taken: list[tuple[int, int, int, int]] = []
    for k in order:
        (w, h), base = cv2.getTextSize(words[k], cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        w, h = w + 2, h + base + 1
        left = int(np.clip(boxes[k, 0], 0, max(width - w, 0)))
        for top in (int(boxes[k, 1]) - h, math.ceil(boxes[k, 3])):
            room = (left, top, left + w, top + h)
            if top < 0 or room[2] > width or room[3] > height or any(_meet(room, other) for other in taken):
                continue
            strip = canvas[top : top + h, left : left + w]
            strip[:] = (strip * 0.35).astype(np.uint8)
            cv2.putText(canvas, words[k], (left + 1, top + h - base), cv2.FONT_HERSHEY_SIMPLEX, size, (245, 245, 245), 1, cv2.LINE_AA)
            taken.append(room)
            break


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _row_aspect(images: Sequence[NDArray[np.uint8]]) -> float:
    """Height over width to reserve for a row: that of the tallest picture, within reason."""
    return float(np.clip(max(image.shape[0] / image.shape[1] for image in images), 0.4, 1.6))


def _shrink(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture of at most ``side`` px and the factors (4,) for its boxes: lines are drawn after shrinking, or they would fade."""
    factor = side / max(image.shape[:2])
    height, width = (max(1, round(s * factor)) for s in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    return np.asarray(small, np.uint8), np.array((width / image.shape[1], height / image.shape[0]) * 2)
