"""Shape: one object as a tool has it, drawn as a box, an ellipse or a polygon."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.data.annotations.masks import outline

CORNERS = 64  # of the polygon that stands for an ellipse; its area is 0.16 % too small


class Shape(NamedTuple):
    """One object, in px of its picture.

    Attributes:
        place: where it stands (file and line, or key), to begin its problem with.
        name: of its class.
        box: x1, y1, x2, y2.
        outline: (K, 2) float64 x, y, or None where only a box was drawn.
        ignore: a region that counts neither way.
        score: confidence of a detection, where it is one.
        round: drawn as an ellipse, which may reach beyond the picture; a vesicle cut by the border is drawn so.
    """

    place: str
    name: str
    box: tuple[float, float, float, float]
    outline: NDArray[np.float64] | None = None
    ignore: bool = False
    score: float | None = None
    round: bool = False


def polygon(place: str, name: str, points: ArrayLike, ignore: bool = False) -> Shape:
    """A polygon (K, 2) px. Raises ``ValueError`` for fewer than three points."""
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    if len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} points, wanted at least 3")
    return Shape(place, name, extent(corners), corners, ignore)


def rectangle(place: str, name: str, box: tuple[float, float, float, float], degrees: float = 0.0, about: tuple[float, float] | None = None) -> Shape:
    """A rectangle turned clockwise ``about`` a point, by default its centre; turned, it is known by its corners."""
    if degrees % 360 == 0:
        return Shape(place, name, box)
    x1, y1, x2, y2 = box
    pivot = np.array([(x1 + x2) / 2, (y1 + y2) / 2] if about is None else about, np.float64)
    corners = _turned(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64) - pivot, degrees) + pivot
    return Shape(place, name, extent(corners), corners)


def stencil(place: str, name: str, pixels: NDArray[np.bool_], corner: tuple[int, int]) -> Shape:
    """The pixels (h, w) of an object, the first of which lies at ``corner`` (x, y). Raises ``ValueError`` where there is none."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        raise ValueError("a mask without a pixel")
    window = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x, y = corner[0] + float(columns[0]), corner[1] + float(rows[0])
    return Shape(place, name, (x, y, x + window.shape[1], y + window.shape[0]), np.asarray(outline(window), np.float64) + np.array([x, y]))


def ellipse(place: str, name: str, centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> Shape:
    """An ellipse with its radii along x and y before it is turned clockwise. Raises ``ValueError`` for radii that are not positive."""
    (cx, cy), (rx, ry) = centre, radii
    if rx <= 0 or ry <= 0:
        raise ValueError(f"an ellipse with radii of {rx:g} and {ry:g} px, wanted more than 0")
    angle = math.radians(degrees)
    half_w, half_h = math.hypot(rx * math.cos(angle), ry * math.sin(angle)), math.hypot(rx * math.sin(angle), ry * math.cos(angle))
    around = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    rim = _turned(np.stack([rx * np.cos(around), ry * np.sin(around)], axis=1), degrees) + centre
    return Shape(place, name, (cx - half_w, cy - half_h, cx + half_w, cy + half_h), rim, round=True)


def extent(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of points (K, 2)."""
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def _turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Clockwise as seen, about the origin; y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])
