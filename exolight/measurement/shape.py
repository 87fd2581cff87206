"""Size and shape of an outline: pure functions of a simple polygon (K, 2) of points x, y, in whatever unit the points have."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.polygons import polygon_area


class Shape(NamedTuple):
    """Sizes in the unit of the outline's points, ``area`` in its square.

    Attributes:
        area: enclosed.
        diameter: of the disc of that area, 2 sqrt(area / pi): the area-equivalent one.
        perimeter: length of the outline.
        feret_max, feret_min: largest and smallest distance of two parallel lines that touch the outline from both sides (maximum and minimum calliper).
        ellipse_major, ellipse_minor: axes, end to end, of the ellipse with the outline's second moments.
        roundness: 4 pi area / perimeter^2: 1 for a disc, less for everything else.
    """

    area: float
    diameter: float
    perimeter: float
    feret_max: float
    feret_min: float
    ellipse_major: float
    ellipse_minor: float
    roundness: float

    def scaled(self, factor: float) -> "Shape":
        """The same shape ``factor`` times as large: px -> nm with nm per pixel."""
        lengths = {name: getattr(self, name) * factor for name in self._fields if name not in ("area", "roundness")}
        return self._replace(area=self.area * factor**2, **lengths)


def shape(points: NDArray[np.floating]) -> Shape:
    """Size and shape of a simple polygon (K, 2), in either sense of rotation. Raises ``ValueError`` where it encloses no area."""
    if points.ndim != 2 or points.shape[1] != 2 or not polygon_area(points) > 0:
        raise ValueError(f"an outline must be (K, 2) points that enclose an area, not {points.shape}")
    centred = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)  # far from the origin moments lose their digits
    area, perimeter = polygon_area(centred), float(np.hypot(*(np.roll(centred, -1, axis=0) - centred).T).sum())
    major, minor = _ellipse_axes(centred)
    hull = cv2.convexHull(centred.astype(np.float32))[:, 0].astype(np.float64)
    return Shape(
        area=area,
        diameter=2 * math.sqrt(area / math.pi),
        perimeter=perimeter,
        feret_max=float(np.hypot(*(hull[:, None] - hull[None]).T).max()),
        feret_min=_least_width(hull),
        ellipse_major=major,
        ellipse_minor=minor,
        roundness=4 * math.pi * area / perimeter**2,
    )


def _ellipse_axes(points: NDArray[np.float64]) -> tuple[float, float]:
    """Major and minor axis of the ellipse with the polygon's second central moments: 4 sqrt(eigenvalue of the covariance), because those of an ellipse are
    the squares of a quarter of its axes. The moments are exact sums over the polygon's sides (Green's theorem, in ``cv2.moments``)."""
    moments = cv2.moments(points.astype(np.float32)[:, None])
    xx, xy, yy = (moments[name] / moments["m00"] for name in ("mu20", "mu11", "mu02"))
    middle, half = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    return 4 * math.sqrt(middle + half), 4 * math.sqrt(max(middle - half, 0.0))


def _least_width(hull: NDArray[np.float64]) -> float:
    """Smallest width of a convex polygon (K, 2): one of its sides lies on one of the two lines (M. Shamos, thesis, Yale 1978: callipers)."""
    sides = np.roll(hull, -1, axis=0) - hull
    normals = np.stack((-sides[:, 1], sides[:, 0]), axis=1) / np.hypot(*sides.T)[:, None]
    heights = (hull[None] - hull[:, None]) @ normals[:, :, None]  # (sides, points, 1)
    return float(np.ptp(heights[:, :, 0], axis=1).min())
