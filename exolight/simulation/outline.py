"""Outlines of vesicles: star-shaped curves round a centre, painted, and how far two of them overlap.

An outline is the OUTER MEMBRANE. Points are x, y in nm (or px, where the truth about a picture is written), (0, 0) the outer corner of the first pixel.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.polygons import polygon_area

ANGLES = 128  # points of an outline: the chord error of a circle of 100 nm radius is 0.03 nm
_SUBPIXEL_BITS = 4  # fillPoly takes fixed-point coordinates; 1/16 px


def random_radii(rng: np.random.Generator, diameter: float, aspect: float, roughness: float) -> NDArray[np.float32]:
    """Radius of an ellipse disturbed by Fourier harmonics, at equal angles from the x axis towards y: (ANGLES,), in the unit of ``diameter``.

    ``aspect`` is long over short axis (>= 1). ``roughness`` is the strength of the disturbance, whose standard deviation, in radii, is about half of it: mostly
    of the 2nd to 7th harmonic, whose amplitude falls with the order because a membrane is stiff; a tenth of it of the 8th to 19th, the bumps of what sits
    on a membrane. The area enclosed by ``polygon`` of the result is that of a disc of ``diameter``, so the diameter is the area-equivalent one.
    """
    theta = np.arange(ANGLES) * (2 * math.pi / ANGLES)
    turned = theta - rng.uniform(0, math.pi)
    radii = 1 / np.sqrt(np.cos(turned) ** 2 / aspect + np.sin(turned) ** 2 * aspect)
    orders = np.arange(2, 20)
    weights = rng.normal(size=len(orders)) * np.where(orders < 8, 1 / orders, 0.03)
    phases = rng.uniform(0, 2 * math.pi, len(orders))
    wobble = (weights[:, None] * np.cos(orders[:, None] * theta + phases[:, None])).sum(axis=0)
    radii = radii * np.clip(1 + roughness * wobble, 0.6, 1.5)
    area = 0.5 * math.sin(2 * math.pi / ANGLES) * float((radii * np.roll(radii, 1)).sum())
    return (radii * (diameter / 2) * math.sqrt(math.pi / area)).astype(np.float32)


def polygon(centre: tuple[float, float], radii: NDArray[np.float32]) -> NDArray[np.float32]:
    """(ANGLES,) radii round ``centre`` = (x, y) -> (ANGLES, 2) points x, y."""
    theta = np.arange(len(radii)) * (2 * math.pi / len(radii))
    return np.stack((centre[0] + radii * np.cos(theta), centre[1] + radii * np.sin(theta)), axis=1).astype(np.float32)


def fill(canvas: NDArray[Any], points: NDArray[np.float32], value: int, offset: tuple[float, float] = (0.0, 0.0)) -> None:
    """Paint a polygon (K, 2) into ``canvas``, whose outer corner lies at ``offset`` = (x, y). In place; its edges lie up to a pixel off."""
    corners = (points - np.asarray(offset, np.float32) - 0.5) * (1 << _SUBPIXEL_BITS)  # OpenCV counts from the centre of the first pixel
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], value, shift=_SUBPIXEL_BITS)


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Area common to two polygons (K, 2), as a fraction of the smaller one, to a few per cent."""
    low = np.maximum(a.min(axis=0), b.min(axis=0))
    high = np.minimum(a.max(axis=0), b.max(axis=0))
    if (high <= low).any():
        return 0.0
    width, height = (int(side) + 1 for side in np.ceil(high - low))
    canvases = np.zeros((2, height, width), np.uint8)
    for canvas, points in zip(canvases, (a, b), strict=True):
        fill(canvas, points, 1, (float(low[0]), float(low[1])))
    return float((canvases[0] & canvases[1]).sum()) / max(min(polygon_area(a), polygon_area(b)), 1.0)
