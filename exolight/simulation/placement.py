"""Where vesicles stand: mostly inside the picture, some cut by its border, some touching or overlapping, none hidden."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.simulation.outline import clip_polygon, fill, overlap, polygon_area
from exolight.simulation.vesicles import Vesicle

MAX_OVERLAP = 0.4  # of the smaller one's area: more and it is neither countable nor measurable
_TRIES = 40


class Placed(NamedTuple):
    """A vesicle, its centre (x, y) px, and its whole outline (K, 2) px, which may leave the picture."""

    vesicle: Vesicle
    centre: tuple[float, float]
    outline: NDArray[np.float32]


def place(
    rng: np.random.Generator, vesicles: list[Vesicle], hw: tuple[int, int], border_fraction: float, cluster_fraction: float
) -> list[Placed]:
    """Give every vesicle a place; one for which ``_TRIES`` draws find none is left out, so a crowded picture holds fewer than were asked for.

    ``border_fraction`` of them straddle a border, ``cluster_fraction`` touch or overlap one that is already there.
    """
    placed: list[Placed] = []
    for vesicle in vesicles:
        kind = rng.random()
        for _ in range(_TRIES):
            if kind < border_fraction:
                centre = _at_border(rng, vesicle.radius_px, hw)
            elif kind < border_fraction + cluster_fraction and placed:
                centre = _beside(rng, vesicle.radius_px, placed[int(rng.integers(len(placed)))])
            else:
                centre = _inside(rng, float(vesicle.radii.max()), hw)
            outline = vesicle.outline(centre)
            if _is_free(outline, placed, hw):
                placed.append(Placed(vesicle, centre, outline))
                break
    return placed


def visible_fractions(outlines: list[NDArray[np.float32]], hw: tuple[int, int]) -> NDArray[np.float64]:
    """Fraction (N,) of each outline's area that is inside the picture and not under a later one; N up to 255."""
    canvas = np.zeros(hw, np.uint8)
    for value, outline in enumerate(outlines, start=1):
        fill(canvas, outline, value)
    seen = np.bincount(canvas.ravel(), minlength=len(outlines) + 1)[1:]
    inside = np.array([polygon_area(clip_polygon(outline, hw)) for outline in outlines], dtype=np.float64)
    areas = np.array([polygon_area(outline) for outline in outlines], dtype=np.float64)
    return np.asarray(np.minimum(seen, inside) / np.maximum(areas, 1e-6), np.float64)  # painting makes slivers too wide


def _is_free(outline: NDArray[np.float32], placed: list[Placed], hw: tuple[int, int]) -> bool:
    return len(clip_polygon(outline, hw)) > 2 and all(overlap(outline, other.outline) <= MAX_OVERLAP for other in placed)


def _inside(rng: np.random.Generator, reach: float, hw: tuple[int, int]) -> tuple[float, float]:
    """A centre that keeps the vesicle off the border, or any where the picture is too small for that."""
    x, y = (rng.uniform(reach, side - reach) if side > 2 * reach else rng.uniform(0, side) for side in hw[::-1])
    return float(x), float(y)


def _at_border(rng: np.random.Generator, radius: float, hw: tuple[int, int]) -> tuple[float, float]:
    """A centre within 0.85 radii of one of the four borders, on either side of it."""
    height, width = hw
    along, across = rng.random(), rng.uniform(-0.85, 0.85) * radius
    if rng.random() < width / (width + height):
        return float(along * width), float(across if rng.random() < 0.5 else height + across)
    return float(across if rng.random() < 0.5 else width + across), float(along * height)


def _beside(rng: np.random.Generator, radius: float, other: Placed) -> tuple[float, float]:
    """A centre from which the vesicle touches or overlaps ``other``."""
    angle = rng.uniform(0, 2 * math.pi)
    distance = rng.uniform(0.75, 1.05) * (radius + other.vesicle.radius_px)
    return float(other.centre[0] + distance * math.cos(angle)), float(other.centre[1] + distance * math.sin(angle))
