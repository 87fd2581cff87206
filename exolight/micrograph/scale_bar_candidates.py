"""What in a picture may be a scale bar: horizontal rectangles of even ink with straight edges, free on all sides; and how much of each it has."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST_SIDE = 2048  # of the picture that is searched

_LEVELS = (250, 235, 215, 190, 165, 140, 115, 90)  # grey levels of bright ink; 255 minus these of dark ink
_SHORTEST_PX, _SHORTEST, _LONGEST = 10, 0.02, 0.85  # of a bar; the latter two are shares of the picture's width
_THICKEST = 0.1  # share of the picture's height
_REACH = 5  # px around a candidate that must be free of its ink
_SPARE = 2  # px between a bar and the picture's border; a nearer one may be cut

Grey = NDArray[np.uint8]


class Candidate(NamedTuple):
    """A rectangle that may be a bar, px of the searched picture, x2 and y2 exclusive; ``bright`` where its ink is brighter than what surrounds it.

    Attributes:
        contrast: of the ink to the surroundings, grey levels.
        levels: at how many of eight thresholds it was found, always with the same ends.
        unevenness: standard deviation of the ink, in units of the contrast.
        free: shares of its upper, lower, left and right side that are free of its ink for some px.
        straight: shares of its columns whose upper and lower edge lie on the same row.
        ragged: standard deviation of its left and right end from row to row, px.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    bright: bool
    contrast: float
    levels: int
    unevenness: float
    free: tuple[float, float, float, float]
    straight: tuple[float, float]
    ragged: tuple[float, float]

    @property
    def width(self) -> int:
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        return self.y2 - self.y1


class _Found(NamedTuple):
    bright: bool
    x: int
    y: int
    width: int
    height: int


def eight_bit(pixels: NDArray[Any]) -> Grey:
    """(H, W) of any number type -> uint8. What is beyond the hundredths at both ends, as ink is, saturates; uint8 stays as it is."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    step = max(1, max(pixels.shape) // 1024)
    low, high = np.percentile(pixels[::step, ::step], (1, 99))
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scale = 176 / (float(high) - float(low))
    return cv2.convertScaleAbs(np.clip(pixels.astype(np.float32) * scale + (40 - float(low) * scale), 0, 255))


def reduced(pixels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The picture to search, of ``LARGEST_SIDE`` at the most, and by which whole number it is smaller; the rows and columns left over at the end are cut."""
    factor = -(-max(pixels.shape) // LARGEST_SIDE)
    height, width = (side // factor for side in pixels.shape)
    if factor == 1:
        return pixels, 1
    return cv2.resize(pixels[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA), factor


def candidates(grey: Grey) -> list[Candidate]:
    """Everything in an uint8 picture (H, W) that has the shape of a bar, in no order."""
    if min(grey.shape) < 16:
        return []
    groups: list[list[_Found]] = []
    for found in _rectangles(grey):
        for group in groups:
            if _same(group[0], found):
                group.append(found)
                break
        else:
            groups.append([found])
    measured = (_measure(grey, group) for group in groups if len(group) > 1)
    return [candidate for candidate in measured if candidate is not None]


def _rectangles(grey: Grey) -> Iterator[_Found]:
    """Rectangles of ink at every level, of both inks: what an opening by a short horizontal line leaves standing, where it fills its box and stands free."""
    height, width = grey.shape
    shortest = max(_SHORTEST_PX, round(_SHORTEST * width))
    line = np.ones((1, shortest), np.uint8)
    for bright in (True, False):
        inked = grey if bright else cv2.bitwise_not(grey)
        for level in _LEVELS:
            mask = np.asarray(cv2.threshold(inked, level - 1, 1, cv2.THRESH_BINARY)[1], np.uint8)
            stats = cv2.connectedComponentsWithStats(cv2.morphologyEx(mask, cv2.MORPH_OPEN, line), connectivity=4)[2][1:]
            x, _, w, h, area = stats.T
            fits = (w <= _LONGEST * width) & (h <= _THICKEST * height) & (w >= 2 * h) & (area >= 0.85 * w * h)
            inside = (x >= _SPARE) & (x + w <= width - _SPARE)
            stats = stats[fits & inside]
            if len(stats):
                for row in stats[_stands_free(mask, stats)][:, :4].tolist():
                    yield _Found(bright, *row)


def _stands_free(mask: Grey, stats: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(N,) whether the lines two px beside each box hold little ink: the ends next to none, one long side almost none, the other (letters) not half."""
    total = cv2.integral(cv2.copyMakeBorder(mask, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0))
    x, y, w, h, _ = stats.T + np.array([4, 4, 0, 0, 0])[:, None]

    def share(x1: NDArray[np.int_], y1: NDArray[np.int_], x2: NDArray[np.int_], y2: NDArray[np.int_]) -> NDArray[np.float64]:
        return np.asarray((total[y2, x2] - total[y1, x2] - total[y2, x1] + total[y1, x1]) / ((x2 - x1) * (y2 - y1)))

    above, below = share(x, y - 3, x + w, y - 2), share(x, y + h + 2, x + w, y + h + 3)
    left, right = share(x - 3, y, x - 2, y + h), share(x + w + 2, y, x + w + 3, y + h)
    return np.asarray((np.minimum(above, below) < 0.15) & (np.maximum(above, below) < 0.5) & (np.maximum(left, right) < 0.3))


def _same(a: _Found, b: _Found) -> bool:
    shared = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    joint = max(a.x + a.width, b.x + b.width) - min(a.x, b.x)
    return a.bright == b.bright and shared > 0.85 * joint and min(a.y + a.height, b.y + b.height) > max(a.y, b.y)


def _measure(grey: Grey, group: list[_Found]) -> Candidate | None:
    """The middle one of the rectangles found at several levels, measured on the grey levels; None where it has no contrast."""
    bright, x, y, w, h = group[len(group) // 2]
    sign = 1.0 if bright else -1.0
    top, left = max(y - _REACH, 0), max(x - _REACH, 0)
    part = sign * grey[top : y + h + _REACH, left : x + w + _REACH].astype(np.float32)
    y, x = y - top, x - left
    inner = part[y + (h > 2) : y + h - (h > 2), x + 1 : x + w - 1]
    ink = float(np.median(inner))
    sides = (part[: max(y - 1, 0), x : x + w], part[y + h + 1 :, x : x + w], part[y : y + h, : max(x - 1, 0)], part[y : y + h, x + w + 1 :])
    contrast = ink - float(np.median(np.concatenate([side.ravel() for side in sides])))
    if contrast <= 0:
        return None
    half = ink - contrast / 2
    lines = [side.min(axis=axis) if side.size else np.full(1, -np.inf) for side, axis in zip(sides, (0, 0, 1, 1), strict=True)]
    rows, columns = part[:, x : x + w] > half, part[y : y + h] > half
    edges = (np.argmax(rows, axis=0), np.argmax(rows[::-1], axis=0))
    ends = (np.argmax(columns, axis=1), np.argmax(columns[:, ::-1], axis=1))
    return Candidate(
        x + left,
        y + top,
        x + left + w,
        y + top + h,
        bright,
        contrast,
        len(group),
        float(inner.std()) / contrast,
        tuple(float((line < half).mean()) for line in lines),  # type: ignore[arg-type]
        tuple(float((np.abs(edge - np.median(edge)) < 0.6).mean()) for edge in edges),  # type: ignore[arg-type]
        tuple(float(end.std()) for end in ends),  # type: ignore[arg-type]
    )
