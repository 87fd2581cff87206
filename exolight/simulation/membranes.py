"""Bodies that are no vesicles: scraps, hooks, what is left of broken, folded and spilt membranes, heaps of protein. And the neck that joins two vesicles.

A vesicle is one closed, roundish outline. These are drawn like it (the same stain, rim and halo), so that only the outline tells them apart.
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field, Grid
from exolight.simulation.noise import Texture
from exolight.simulation.outline import fill, polygon, random_radii
from exolight.simulation.placement import Placed

_HALO_REACH_NM = 90.0


@dataclass(frozen=True)
class Membrane:
    """A body of any outline.

    Attributes:
        pieces: closed curves (K, 2) x, y nm; the body is their union.
        base_nm, rim_nm: stain relative to the film, and how much less of it in a band along the edge. mottle_nm: its unevenness.
        halo_nm: stain at the edge. halo_decay_nm: how wide it is.
        folds: bright lines with a dark flank: x, y nm of a point, direction in rad, strength nm.
    """

    pieces: tuple[NDArray[np.float32], ...]
    base_nm: float
    rim_nm: float
    mottle_nm: float
    halo_nm: float
    halo_decay_nm: float
    folds: tuple[tuple[float, float, float, float], ...] = ()

    @functools.cached_property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest x, y nm."""
        points = np.concatenate(self.pieces)
        return points.min(axis=0), points.max(axis=0)


def scrap(rng: np.random.Generator, at_nm: tuple[float, float]) -> Membrane:
    """A bit, a worm or a hook of membrane: a line of 40-260 nm, straight, curled or bent to a hook, 10-34 nm thick, tapered."""
    length, thick = float(np.exp(rng.uniform(math.log(40), math.log(260)))), float(rng.uniform(10, 34))
    length = max(length, 1.5 * thick)
    steps = max(int(length / 5), 5)
    turned = rng.choice((-1, 1)) * rng.choice((rng.uniform(0, 0.6), rng.uniform(0.7, 1.5)), p=(0.5, 0.5)) * math.pi  # all along it; more than 0.7: a hook
    turned *= min(1.0, length / (2.2 * thick * max(abs(turned), 0.1)))  # no tighter than it is thick
    headings = rng.uniform(0, 2 * math.pi) + turned * np.linspace(0, 1, steps) + np.cumsum(rng.normal(size=steps)) * 0.05
    line = np.asarray(at_nm) + np.cumsum(np.stack((np.cos(headings), np.sin(headings)), 1) * (length / steps), axis=0)
    along = np.linspace(0, 1, steps)
    taper = np.clip(1 - np.abs(2 * along - 1) ** rng.uniform(3, 20), rng.uniform(0.15, 0.8), 1) * (1 + rng.uniform(-0.6, 0.6) * (along - 0.5))
    wobble = 1 + 0.12 * np.sin(along * rng.uniform(3, 12) + rng.uniform(0, 6))
    pieces = _stroke(line, headings, thick / 2 * taper * wobble)
    return Membrane(tuple(pieces), rng.uniform(-9, 2), rng.uniform(0, 6), rng.uniform(0.8, 3.0), rng.uniform(6, 28), rng.uniform(8, 40), _folds(rng, line, 0.3))


def broken_membrane(rng: np.random.Generator, at_nm: tuple[float, float]) -> Membrane:
    """What a burst vesicle or a cell leaves: two to six ragged lobes of 40-220 nm run together, with tails and folds; some are crumpled to a dense heap."""
    crumpled = rng.random() < 0.4
    size = float(np.exp(rng.uniform(math.log(40), math.log(200))))
    lobes = int(rng.integers(2, 7))
    centre, pieces, points = np.asarray(at_nm, float), [], []
    for _ in range(lobes):
        points.append(centre.copy())
        radii = random_radii(rng, size * rng.uniform(0.45, 1.1), rng.uniform(1.0, 2.2), rng.uniform(0.15, 0.4))
        pieces.append(polygon((float(centre[0]), float(centre[1])), radii))
        angle = rng.uniform(0, 2 * math.pi)
        centre = centre + size * rng.uniform(0.3, 0.7) * np.array((math.cos(angle), math.sin(angle)))
    for _ in range(int(rng.integers(0, 4))):  # tails
        steps = int(rng.integers(4, 14))
        headings = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(size=steps) * 0.3)
        line = points[int(rng.integers(len(points)))] + np.cumsum(np.stack((np.cos(headings), np.sin(headings)), 1) * 9, axis=0)
        pieces += _stroke(line, headings, rng.uniform(4, 12) * np.linspace(1.2, 0.4, steps))
    return Membrane(
        tuple(pieces),
        rng.uniform(-4, 10) if crumpled else rng.uniform(-9, 8),
        rng.uniform(0, 9),
        rng.uniform(1.5, 7.0) if crumpled else rng.uniform(1.5, 5.0),
        rng.uniform(15, 45) if crumpled else rng.uniform(8, 34),
        rng.uniform(15, 70),
        _folds(rng, np.asarray(points), 9.0 if crumpled else 2.5, size / 2 if crumpled else 0.0),
    )


def heap(rng: np.random.Generator, at_nm: tuple[float, float]) -> Membrane:
    """An aggregate: lumps of 6-26 nm heaped up to 30-140 nm, with gaps where the stain stands, in a dark puddle."""
    size, lump = (float(np.exp(rng.uniform(math.log(low), math.log(high)))) for low, high in ((30, 140), (6, 26)))
    count = int(np.clip((size / lump) ** 2 * rng.uniform(0.35, 1.0), 3, 80))
    centres = np.asarray(at_nm) + rng.normal(size=(count, 2)) * np.array((1.0, rng.uniform(0.4, 1.0))) * size / 3.2
    angles = np.sort(rng.uniform(0, 2 * math.pi, (count, 9)), axis=1)  # nine-cornered lumps, so small that nobody sees the corners
    reach = lump / 2 * rng.uniform(0.6, 1.3, (count, 1)) * rng.uniform(0.75, 1.25, (count, 9))
    lumps = centres[:, None] + reach[:, :, None] * np.stack((np.cos(angles), np.sin(angles)), 2)
    look = (rng.uniform(-8, 8), rng.uniform(0, 5), rng.uniform(1.5, 7.0), rng.uniform(14, 45), rng.uniform(12, 55))
    return Membrane(tuple(lumps.astype(np.float32)), *look, _folds(rng, centres, 1.0))


def neck(rng: np.random.Generator, one: Placed, other: Placed) -> Membrane:
    """What joins a budding or merging pair, to be drawn under both: as wide as part of the smaller one, without stain between the two."""
    a, b = np.asarray(one.centre_nm), np.asarray(other.centre_nm)
    direction = math.atan2(b[1] - a[1], b[0] - a[0])
    width = rng.uniform(0.4, 0.85) * min(one.vesicle.radius_nm, other.vesicle.radius_nm)
    pieces = _stroke(np.linspace(a, b, 6), np.full(6, direction), np.full(6, width))
    base = one.vesicle.contrast * one.vesicle.look["base"]
    return Membrane(tuple(pieces), base, rng.uniform(0, 5), rng.uniform(0.6, 2.5), 0.0, 10.0)


def draw_membrane_halo(halos: Field, grid: Grid, membrane: Membrane) -> None:
    """Add the stain round a membrane to ``halos`` (H, W) nm on a coarse ``grid``, in place."""
    window, distance = _signed_distance(grid, membrane, min(3 * membrane.halo_decay_nm, _HALO_REACH_NM * 2), 1)
    if distance is not None and membrane.halo_nm > 0:
        halos[window] += membrane.halo_nm * np.exp(np.maximum(distance, 0) * (-1 / membrane.halo_decay_nm))


def draw_membrane(stain: Field, grid: Grid, texture: Texture, membrane: Membrane) -> None:
    """Put a membrane into ``stain`` (H, W) nm, in place, over what is there."""
    window, distance = _signed_distance(grid, membrane, 12.0, 2)
    if distance is None:
        return
    fine, coarse = texture.fine[window], texture.coarse[window]
    depth = -distance
    band = (depth - 6.0) * np.float32(1 / 5.0)
    density = membrane.base_nm - membrane.rim_nm * np.exp(-band * band) * np.clip(1 + 0.8 * coarse, 0, 1.6)
    for x, y, angle, strength in membrane.folds:
        dx, dy = grid.offsets(window, (x, y))
        across = (dy * math.cos(angle) - dx * math.sin(angle) + 5 * coarse) * np.float32(1 / 6.0)
        along = (dx * math.cos(angle) + dy * math.sin(angle)) * np.float32(1 / 45.0)
        density += (-1.6 * strength) * across * np.exp(-across * across - along * along)
    density = density + np.float32(1.1) * fine + np.float32(membrane.mottle_nm) * coarse
    cover = np.clip(0.5 + depth / max(4.0, grid.pixel_size_nm) + np.float32(0.3) * fine, 0, 1) * 0.93
    stain[window] += cover * (density - stain[window])


def _stroke(line: NDArray[np.float64], headings: NDArray[np.float64], half_width: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """A thick line as overlapping discs-and-quads: short pieces that never fold over themselves, however tight the curl. Points (K, 2) nm."""
    normal = np.stack((-np.sin(headings), np.cos(headings)), 1) * half_width[:, None]
    left, right = line + normal, line - normal
    quads = [np.array((left[i], left[i + 1], right[i + 1], right[i]), np.float32) for i in range(len(line) - 1)]
    angles = np.arange(12) * (math.pi / 6)
    discs = [(c + r * np.stack((np.cos(angles), np.sin(angles)), 1)).astype(np.float32) for c, r in zip(line, half_width, strict=True)]
    return quads + discs


def _folds(rng: np.random.Generator, points: NDArray[np.float64], mean: float, spread_nm: float = 0.0) -> tuple[tuple[float, float, float, float], ...]:
    """Some folds (x, y nm, rad, nm) through random ones of ``points`` (K, 2), or ``spread_nm`` (standard deviation) beside them."""
    chosen = points[rng.integers(len(points), size=int(rng.poisson(mean)))]
    chosen = chosen + spread_nm * rng.normal(size=chosen.shape)
    return tuple((float(x), float(y), float(rng.uniform(0, math.pi)), float(rng.uniform(3, 12))) for x, y in chosen)


def _signed_distance(grid: Grid, membrane: Membrane, margin_nm: float, finer: int) -> tuple[tuple[slice, slice], Field | None]:
    """Window and distance (h, w) nm of its pixels from the membrane's edge, negative inside; painted ``finer`` times as fine. None outside the grid."""
    low, high = membrane.bounds
    window = grid.window((float(low[0]) - margin_nm, float(low[1]) - margin_nm), (float(high[0]) + margin_nm, float(high[1]) + margin_nm))
    rows, columns = window
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    if min(shape) < 1:
        return window, None
    scale = finer / grid.pixel_size_nm
    # A margin beyond the grid, so that what a border cuts off is not taken for an edge.
    pad = 16
    mask = np.zeros((shape[0] * finer + 2 * pad, shape[1] * finer + 2 * pad), np.uint8)
    for piece in membrane.pieces:
        fill(mask, piece * scale, 1, (columns.start * finer - pad, rows.start * finer - pad))
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    distance = np.asarray(outside - inside, np.float32)[pad:-pad, pad:-pad] * np.float32(1 / scale)
    if finer > 1:
        distance = np.asarray(cv2.resize(distance, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
    return window, distance
