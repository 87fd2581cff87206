"""Polygons (K, 2) of points x, y: their area, what of them lies in a picture, and which pixels lie in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def polygon_area(points: NDArray[np.floating]) -> float:
    """Area of a simple polygon (K, 2) (shoelace formula); 0 for fewer than three points."""
    x, y = np.asarray(points, np.float64).T
    return 0.5 * abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()))


def clip_polygon(points: NDArray[Any], hw: tuple[float, float]) -> NDArray[Any]:
    """The part of a polygon (K, 2) inside a field of ``hw`` = (height, width), closed along its border: (K', 2), K' = 0 where nothing is inside.

    Clamping the points instead would keep the extent of what is outside and make the box of a cut vesicle too large. Sutherland and Hodgman,
    Commun. ACM 17 (1974) 32: one half plane after the other. Computed in the floating-point type of ``points``.
    """
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, hw[1], -1), (1, hw[0], -1)):
        inside = sign * (points[:, axis] - limit)  # how far
        if (inside >= 0).all():
            continue
        before, behind = np.roll(inside, 1), np.roll(points, 1, axis=0)
        crosses = before * inside < 0
        share = np.where(crosses, before / np.where(crosses, before - inside, 1), 0)
        crossing = behind + share[:, None] * (points - behind)
        crossing[:, axis] = limit
        corners = np.stack((crossing, points), axis=1)  # where the line to each point crosses, then the point
        points = corners[np.stack((crosses, inside >= 0), axis=1)]
    return points


def pixels_inside(points: NDArray[np.floating], hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W): the pixels whose centres lie inside a polygon (K, 2) px, by the even-odd rule. The centre of the first pixel is (0.5, 0.5).

    OpenCV's fillPoly also takes the pixels that the line itself passes, which makes every object a pixel too wide.
    """
    x, y = np.asarray(points, np.float64).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    centres = np.arange(hw[0])[:, None] + 0.5
    rows, edges = np.nonzero((y <= centres) != (next_y <= centres))
    share = (rows + 0.5 - y[edges]) / (next_y - y)[edges]
    crossings = np.floor(x[edges] + share * (next_x - x)[edges] + 0.5).clip(0, hw[1]).astype(np.intp)  # the first pixel on the right of each
    passed = np.zeros((hw[0], hw[1] + 1), np.int32)
    np.add.at(passed, (rows, crossings), 1)
    return np.asarray(np.cumsum(passed[:, :-1], axis=1) % 2 == 1)
