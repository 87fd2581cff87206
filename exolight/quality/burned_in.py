"""What was written over a picture: strips of information along an edge, and boxes with a label. They show nothing of the specimen."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

STRIP_SHARE = 0.35  # of a row, written over: letters leave that much of a strip plain
STRIP_HEIGHT = 0.25  # of the picture, at most
STRIP_STEP = 0.3  # by which that share falls within three rows at the strip's edge, which is straight; the edges of grid bars and tears wander
BOX_AREA = 0.25  # of the picture, at most
BOX_FILL = 0.8  # of its bounding rectangle: letters take some
BOX_SPAN = 0.8  # of a side of the picture, at most: a grid bar runs through


def extremes(pixels: NDArray[Any]) -> tuple[Mask, Mask]:
    """(H, W) each: pixels that are as dark, and as bright, as any, give or take 1 % of the range that most pixels span.

    That range is taken between the 1 and 99 percent points, because a single hot pixel may lie far beyond all others.
    """
    low, high = float(pixels.min()), float(pixels.max())
    common_low, common_high = np.percentile(pixels[::2, ::2], (1, 99))
    tolerance = 0.01 * (float(common_high - common_low) or high - low)
    return pixels <= low + tolerance, pixels >= high - tolerance


def strip_rows(dark: Mask, bright: Mask) -> tuple[int, int]:
    """How many rows at the top and at the bottom of a picture are a strip of information, from its ``extremes`` (H, W)."""
    found = [0, 0]
    for extreme in (dark, bright):
        share = extreme.mean(axis=1)
        for end, rows in enumerate((share, share[::-1])):
            plain = int(np.argmin(np.append(rows, 0) > STRIP_SHARE))  # the first row that is none
            if 0 < plain <= STRIP_HEIGHT * len(rows) and rows[max(plain - 3, 0) : plain].max() - rows[plain : plain + 3].min() > STRIP_STEP:
                found[end] = max(found[end], plain)
    return found[0], found[1]


def label_boxes(dark: Mask, bright: Mask) -> Mask:
    """(H, W): plain rectangles of a size that a label or an inset has, from a picture's ``extremes``; letters in them included."""
    boxes = np.zeros(dark.shape, bool)
    height, width = dark.shape
    for extreme in (dark, bright):
        count, _, stats, _ = cv2.connectedComponentsWithStats(extreme.astype(np.uint8), connectivity=4)
        for x, y, w, h, area in stats[1:count]:
            small = max(w / width, h / height) < BOX_SPAN and w * h < BOX_AREA * dark.size
            corners = extreme[[y, y, y + h - 1, y + h - 1], [x, x + w - 1, x, x + w - 1]]  # something round has none
            if small and min(w, h) > 2 and area > BOX_FILL * w * h and area > 0.001 * dark.size and corners.any():
                boxes[y : y + h, x : x + w] = True
    return boxes
