"""Where vesicles stand: mostly inside the field, some cut by its border, some touching or overlapping, none hidden."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.polygons import clip_polygon, polygon_area
from exolight.simulation.outline import fill, overlap
from exolight.simulation.vesicles import Vesicle

MAX_OVERLAP = 0.4  # of the smaller one's area: more and it is neither countable nor measurable
_TRIES = 40


class Placed(NamedTuple):
    """A vesicle, its centre (x, y) nm, its whole outline (K, 2) nm, which may leave the field, and the list index of the one it is joined to, or None."""

    vesicle: Vesicle
    centre_nm: tuple[float, float]
    outline_nm: NDArray[np.float32]
    joined: int | None = None


def place(
    rng: np.random.Generator,
    vesicles: list[Vesicle],
    extent_nm: tuple[float, float],
    border_fraction: float,
    cluster_fraction: float,
    neck_fraction: float,
) -> list[Placed]:
    """Give every vesicle a place in a field of ``extent_nm`` = (height, width); one for which ``_TRIES`` draws find none is left out, so a crowded field
    holds fewer than were asked for.

    ``border_fraction`` of them straddle a border, ``cluster_fraction`` touch or overlap one that is already there, of these ``neck_fraction`` joined to it;
    the others stand apart.
    """
    placed: list[Placed] = []
    for vesicle in vesicles:
        kind, joined = rng.random(), rng.random() < neck_fraction
        for _ in range(_TRIES):
            other = None
            if kind < border_fraction:
                centre = _at_border(rng, vesicle.radius_nm, extent_nm)
            elif kind < border_fraction + cluster_fraction and placed:
                other = int(rng.integers(len(placed)))
                centre = _beside(rng, vesicle.radius_nm, placed[other])
            else:
                centre = _inside(rng, vesicle.reach_nm, extent_nm)
            outline = vesicle.outline(centre)
            if _is_free(vesicle, centre, outline, placed, extent_nm, 0.0 if other is None else MAX_OVERLAP):
                placed.append(Placed(vesicle, centre, outline, other if joined else None))
                break
    return placed


def visible_and_overlap(outlines: list[NDArray[np.float32]], hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each outline (K, 2) px: the fraction (N,) of its area that is inside the picture and not under a later one, and the fraction (N,) of its part
    inside the picture that it shares with others, over or under it.
    """
    last, times = np.zeros(hw, np.int32), np.zeros(hw, np.uint8)
    painted = []
    for value, outline in enumerate(outlines, start=1):
        fill(last, outline, value)
        low, high = (np.clip(corner, 0, hw[::-1]) for corner in (outline.min(axis=0), outline.max(axis=0)))
        (left, top), (right, bottom) = np.floor(low).astype(int), np.ceil(high).astype(int)
        own = np.zeros((bottom - top, right - left), np.uint8)
        if own.size:
            fill(own, outline, 1, (float(left), float(top)))
        times[top:bottom, left:right] += own
        painted.append((times[top:bottom, left:right], own > 0))  # a view: later ones are counted too
    shared = np.array([(seen[own] > 1).mean() if own.any() else 0.0 for seen, own in painted], dtype=np.float64)
    seen = np.bincount(last.ravel(), minlength=len(outlines) + 1)[1:]
    inside = np.array([polygon_area(clip_polygon(outline, hw)) for outline in outlines], dtype=np.float64)
    areas = np.array([polygon_area(outline) for outline in outlines], dtype=np.float64)
    return np.minimum(seen, inside) / np.maximum(areas, 1e-6), shared  # painting makes slivers too wide


def _is_free(
    vesicle: Vesicle, centre: tuple[float, float], outline: NDArray[np.float32], placed: list[Placed], extent_nm: tuple[float, float], most: float
) -> bool:
    """Whether an outline is in the field, in part at least, and overlaps none by more than ``most``."""
    near = [other for other in placed if math.dist(centre, other.centre_nm) < vesicle.reach_nm + other.vesicle.reach_nm]
    return len(clip_polygon(outline, extent_nm)) > 2 and all(overlap(outline, other.outline_nm) <= most for other in near)


def _inside(rng: np.random.Generator, reach: float, extent_nm: tuple[float, float]) -> tuple[float, float]:
    """A centre that keeps the vesicle off the border, or any where the field is too small for that."""
    x, y = (rng.uniform(reach, side - reach) if side > 2 * reach else rng.uniform(0, side) for side in extent_nm[::-1])
    return float(x), float(y)


def _at_border(rng: np.random.Generator, radius: float, extent_nm: tuple[float, float]) -> tuple[float, float]:
    """A centre within 0.85 radii of one of the four borders, on either side of it."""
    height, width = extent_nm
    along, across = rng.random(), rng.uniform(-0.85, 0.85) * radius
    if rng.random() < width / (width + height):
        return float(along * width), float(across if rng.random() < 0.5 else height + across)
    return float(across if rng.random() < 0.5 else width + across), float(along * height)


def _beside(rng: np.random.Generator, radius: float, other: Placed) -> tuple[float, float]:
    """A centre from which the vesicle touches or overlaps ``other``."""
    angle = rng.uniform(0, 2 * math.pi)
    distance = rng.uniform(0.75, 1.05) * (radius + other.vesicle.radius_nm)
    return float(other.centre_nm[0] + distance * math.cos(angle)), float(other.centre_nm[1] + distance * math.sin(angle))
