"""Boxes on one picture, as an array. OpenCV only: prediction starts without matplotlib."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_TEXTS = 60  # more boxes than these get no text
PLAIN_COLOUR = (64, 224, 255)  # RGB, a cyan that no score has: for boxes without one (the truth)
BAR_COLOUR = (90, 255, 90)  # RGB: a green that neither scores nor the truth have
# Score 0..1 -> RGB: plasma from its violet to its yellow. Even in lightness like viridis, but viridis' greens and blues sink into a grey picture.
SCORE_COLOURS = cv2.applyColorMap(np.linspace(70, 255, 256).astype(np.uint8)[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1]


def draw_boxes(
    image: NDArray[np.uint8],
    boxes_xyxy: ArrayLike,
    scores: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    colour: tuple[int, int, int] = PLAIN_COLOUR,
    text: bool = True,
    thickness: int | None = None,
    outlines: Sequence[NDArray[np.floating] | None] | None = None,
) -> NDArray[np.uint8]:
    """A copy of a picture with its boxes drawn on it.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        boxes_xyxy: (N, 4) px, x2 and y2 exclusive: the line runs on the outermost pixels INSIDE the box. Parts outside the picture are not drawn.
        scores: (N,) in 0..1; they colour the boxes. Without them all are ``colour`` (RGB).
        labels: N words to write beside the score.
        text: False draws lines only. Text is left out anyway beyond ``MOST_TEXTS`` boxes and wherever it finds no room.
        thickness: of the lines in px; by itself it grows with the picture.
        outlines: N of (K, 2) x, y px, or None: drawn in place of the box where there is one.

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
        outline = None if outlines is None else outlines[k]
        if outline is not None:
            points = np.rint((np.asarray(outline, float) - 0.5) * 16).astype(np.int32)  # OpenCV counts from the middle of the first pixel, in fixed point
            cv2.polylines(canvas, [points], True, colours[k], thickness, cv2.LINE_AA, shift=4)
            continue
        left, top = np.floor(boxes[k, :2]).astype(int)
        right, bottom = np.ceil(boxes[k, 2:]).astype(int) - 1
        _frame(canvas, int(left), int(top), int(right), int(bottom), colours[k], thickness)
    if text and len(boxes) <= MOST_TEXTS and (values is not None or labels is not None):
        words = [" ".join(([labels[k]] if labels is not None else []) + ([f"{values[k]:.2f}"] if values is not None else [])) for k in range(len(boxes))]
        _write(canvas, boxes, words, list(order)[::-1])
    return canvas


def outline_scale_bar(canvas: NDArray[np.uint8], boxes_xyxy: ArrayLike, words: str) -> tuple[int, int, int, int]:
    """Frames around the bar that is burned into a picture (H, W, 3) RGB and around its label, boxes (N, 4) px, and words above or below them; in place.

    Returns:
        xyxy px of all that was drawn, to be kept free.
    """
    height, width = canvas.shape[:2]
    boxes, words = np.asarray(boxes_xyxy, float).reshape(-1, 4), words.replace("µ", "u")  # which OpenCV's letters may lack
    pen, size = max(1, round(min(height, width) / 450)), float(np.clip(min(height, width) / 1000, 0.35, 4.0))
    around = np.hstack([np.floor(boxes[:, :2]) - 2 * pen, np.ceil(boxes[:, 2:]) - 1 + 2 * pen]).astype(int)
    for left, top, right, bottom in around.tolist():
        _frame(canvas, left, top, right, bottom, BAR_COLOUR, pen)
    (w, h), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, pen)
    (left, top, _, _), (_, _, right, bottom) = around.min(axis=0).tolist(), around.max(axis=0).tolist()
    x, y = min(max(left, 0), max(width - w, 0)), top - base - pen
    if y < h:
        y = bottom + h + 2 * pen
    strip = canvas[y - h : y + base, x : x + w]
    strip[:] = (strip * 0.35).astype(np.uint8)  # the paper of many labels is as light as the words
    cv2.putText(canvas, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, BAR_COLOUR, pen, cv2.LINE_AA)
    return min(left, x), min(top, y - h), max(right + 1, x + w), max(bottom + 1, y + base)


def draw_scale_bar(canvas: NDArray[np.uint8], pixel_size_nm: float | None, boxes_xyxy: ArrayLike = (), kept_free_xyxy: ArrayLike = ()) -> NDArray[np.uint8]:
    """An (H, W, 3) RGB picture with a scale bar on a dark strip in a corner, in place, and returned; as it is where nobody knows its scale.

    The bar is the longest of 1, 2, 5, 10, ... nm that takes at most a quarter of the width; ``pixel_size_nm`` are those of the canvas. Of the corners it takes
    the one that hides the fewest of the boxes (N, 4) px, before that the fewest of ``kept_free_xyxy`` (M, 4), the lower right one where it has the choice.
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
    pen = max(1, round(size))
    (w, h), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, pen)
    gap, thick = max(3, h // 2), max(2, h // 4)
    strip_w, strip_h = max(w, length) + 2 * gap, h + base + thick + 2 * gap
    corners = [(x, y) for y in (height - strip_h, 0) for x in (width - strip_w, 0)]
    kept_free, boxes = (np.asarray(given, float).reshape(-1, 4).tolist() for given in (kept_free_xyxy, boxes_xyxy))

    def hidden(corner: tuple[int, int]) -> tuple[int, int]:
        strip = (*corner, corner[0] + strip_w, corner[1] + strip_h)
        return sum(_meet(strip, tuple(box)) for box in kept_free), sum(_meet(strip, tuple(box)) for box in boxes)

    left, top = min(corners, key=hidden)
    strip = canvas[top : top + strip_h, left : left + strip_w]
    strip[:] = (strip * 0.35).astype(np.uint8)
    bottom, middle = top + strip_h - gap, left + strip_w // 2
    cv2.putText(canvas, words, (middle - w // 2, bottom - thick - base), cv2.FONT_HERSHEY_SIMPLEX, size, (245, 245, 245), pen, cv2.LINE_AA)
    canvas[bottom - thick : bottom, middle - length // 2 : middle - length // 2 + length] = 245
    return canvas


def _score_colour(score: float) -> tuple[int, int, int]:
    red, green, blue = SCORE_COLOURS[int(np.clip(np.nan_to_num(score), 0, 1) * 255)]
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


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
