"""Small things that lie about and are no vesicles: specks and threads of protein, lipoproteins, aggregates, stain crystals and puddles, gold."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field, Grid
from exolight.simulation.noise import Texture, enlarged
from exolight.simulation.outline import fill, polygon, random_radii
from exolight.simulation.ranges import DistractorRanges, uniform

Points = NDArray[np.float64]  # (K, 3): x nm, y nm, strength in nm of stain

_SPECKS = ((2.0, 0.30), (3.5, 0.45), (5.5, 0.25))  # standard deviation nm of a spot, share of the specks
_DARK_SHARE = 0.3  # of the specks: grains of stain
_SEAM_NM = 10.0  # half width of the faint dark seam of stain round a spot
_SPOT_LIMIT_NM = 21.0  # where many spots meet their sum saturates


class Disc(NamedTuple):
    """A round particle: centre nm, radius nm, stain relative to the film nm."""

    x: float
    y: float
    radius: float
    stain_nm: float


class Blot(NamedTuple):
    """A patch of stain: outline (K, 2) nm, stain nm, softness of its edge nm, unevenness nm."""

    outline: NDArray[np.float32]
    stain_nm: float
    soft_nm: float
    mottle_nm: float


@dataclass(frozen=True)
class Debris:
    """What was drawn for one field.

    Attributes:
        specks: points for each size of ``_SPECKS``.
        crumbs: points of all aggregates. puddles: x nm, y nm, standard deviation nm, stain nm of the round puddles in which they lie.
        discs: lipoproteins and gold. blots: crystals and irregular puddles.
    """

    specks: tuple[Points, ...]
    crumbs: Points
    puddles: NDArray[np.float64]
    discs: tuple[Disc, ...]
    blots: tuple[Blot, ...]


def random_debris(rng: np.random.Generator, extent_nm: tuple[float, float], ranges: DistractorRanges) -> Debris:
    """What lies on a field of ``extent_nm`` = (height, width)."""
    area_um2 = extent_nm[0] * extent_nm[1] / 1e6

    def scattered(per_um2: tuple[float, float], share: float = 1.0) -> Points:
        return rng.random((int(rng.poisson(share * uniform(rng, per_um2) * area_um2)), 2)) * extent_nm[::-1]

    density = uniform(rng, ranges.specks_per_um2)
    strength = rng.uniform(0.6, 1.4)
    specks = []
    for sigma, share in _SPECKS:
        starts = scattered((density, density), share)
        steps = rng.choice((1, 2, 3, 5), len(starts), p=(0.42, 0.26, 0.20, 0.12))
        dark = rng.random(len(starts)) < _DARK_SHARE
        specks.append(_threads(rng, starts, steps, 1.5 * sigma, 0.6, strength * rng.uniform(3.0, 17.0, len(starts)) * np.where(dark, -1, 1)))
    crumbs, puddles = [np.zeros((0, 3))], []
    for centre in scattered(ranges.aggregates_per_um2):
        size = float(np.exp(rng.uniform(math.log(10), math.log(70))))
        puddles.append((*centre, size * rng.uniform(0.8, 1.5), rng.uniform(10, 40)))
        count = int(rng.integers(5, 9) + size * size * rng.uniform(0.01, 0.05))
        starts = centre + rng.normal(size=(count, 2)) * rng.uniform(0.3, 0.7, 2) * size
        crumbs.append(_threads(rng, starts, rng.integers(1, 6, count), 3.5, 0.5, rng.uniform(4.0, 18.0, count)))
    discs = []
    for x, y in scattered(ranges.lipoproteins_per_um2):
        diameter = min(8 + rng.exponential(7.0), 28.0) if rng.random() < 0.95 else rng.uniform(28, 40)
        discs.append(Disc(x, y, diameter / 2, -float(rng.uniform(2, 10))))
    discs += [Disc(x, y, float(rng.uniform(2.5, 7.5)), float(rng.uniform(90, 200))) for x, y in scattered(ranges.gold_per_um2)]
    blots = [_crystal(rng, centre) for centre in scattered(ranges.crystals_per_um2) for _ in range(int(rng.integers(1, 4)))]
    blots += [_puddle(rng, centre) for centre in scattered(ranges.puddles_per_um2)]
    if rng.random() < ranges.dust_fraction:
        blots.append(_dust(rng, rng.random(2) * extent_nm[::-1]))
    return Debris(tuple(specks), np.concatenate(crumbs), np.array(puddles).reshape(-1, 4), tuple(discs), tuple(blots))


def draw_puddles(stain: Field, grid: Grid, texture: Texture, debris: Debris) -> None:
    """Add what lies under everything else, the puddles of stain, to ``stain`` (H, W) nm, in place."""
    for x, y, sigma, depth in debris.puddles:
        window = grid.around((x, y), 3 * sigma)
        if stain[window].size:
            dx, dy = grid.offsets(window, (x, y))
            stain[window] += np.float32(depth) * np.exp(dy * dy * np.float32(-0.5 / sigma**2)) * np.exp(dx * dx * np.float32(-0.5 / sigma**2))
    for blot in debris.blots:
        _draw_blot(stain, grid, texture, blot)


def draw_debris(stain: Field, grid: Grid, debris: Debris) -> None:
    """Put specks, crumbs, lipoproteins and gold into ``stain`` (H, W) nm, in place."""
    spots = np.zeros(grid.hw, np.float32)
    for (sigma, _), points in zip(_SPECKS, debris.specks, strict=True):
        _add_spots(spots, grid, points, sigma)
    if len(debris.crumbs):
        _add_spots(spots, grid, debris.crumbs, 2.6)
    seam = 2 * math.ceil(_SEAM_NM / grid.pixel_size_nm) + 1
    spots -= np.asarray(cv2.blur(spots, (seam, seam)), np.float32)  # stain pushed aside
    stain -= np.float32(_SPOT_LIMIT_NM) * np.tanh(spots * np.float32(1 / _SPOT_LIMIT_NM))
    for disc in debris.discs:
        window = grid.around((disc.x, disc.y), disc.radius + 2 * grid.pixel_size_nm)
        if stain[window].size:
            dx, dy = grid.offsets(window, (disc.x, disc.y))
            cover = np.clip(0.5 + (disc.radius - np.sqrt(dx * dx + dy * dy)) * np.float32(1 / max(grid.pixel_size_nm, 1.5)), 0, 1)
            stain[window] += cover * (disc.stain_nm - stain[window])


def _threads(rng: np.random.Generator, starts: Points, steps: NDArray[np.int64], step_nm: float, bend: float, strength: NDArray[np.float64]) -> Points:
    """The points of K walks, ``steps`` (K,) long from ``starts`` (K, 2).

    A walk turns by ``bend`` rad (standard deviation) a step, and each has a bias to one side, so that long ones curl into hooks.
    """
    count, longest = len(starts), int(steps.max(initial=1))
    turns = rng.normal(size=(count, 1)) * bend + rng.normal(size=(count, longest)) * bend
    headings = rng.uniform(0, 2 * math.pi, (count, 1)) + np.cumsum(turns, axis=1)
    walks = starts[:, None] + step_nm * np.cumsum(np.stack((np.cos(headings), np.sin(headings)), axis=2), axis=1)
    heights = strength[:, None] * rng.uniform(0.5, 1.2, (count, longest))
    walked = np.arange(longest) < steps[:, None]
    return np.column_stack((walks[walked], heights[walked]))


def _add_spots(spots: Field, grid: Grid, points: Points, sigma_nm: float) -> None:
    """Add Gaussian spots at ``points`` to ``spots`` (H, W), in place."""
    impulses = np.zeros(grid.hw, np.float32)
    column, row = (np.floor(points[:, axis] / grid.pixel_size_nm).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (row >= 0) & (column < grid.hw[1]) & (row < grid.hw[0])
    np.add.at(impulses, (row[inside], column[inside]), points[inside, 2])
    sigma = max(sigma_nm / grid.pixel_size_nm, 0.5)
    taps = 2 * math.ceil(3 * sigma) + 1
    # A pixel larger than a spot dilutes it.
    height = 2 * math.pi * (sigma_nm / grid.pixel_size_nm) ** 2
    spots += np.asarray(cv2.GaussianBlur(impulses, (taps, taps), sigma), np.float32) * np.float32(height)


def _crystal(rng: np.random.Generator, centre: Points) -> Blot:
    """An angular, very dark grain of dried stain, 5-100 nm, most of them small."""
    size = float(np.exp(rng.uniform(math.log(5), math.log(100))))
    corners = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(4, 8))))
    middle = centre + rng.normal(size=2) * size
    points = middle + size / 2 * rng.uniform(0.7, 1.2, (len(corners), 1)) * np.stack((np.cos(corners), np.sin(corners)), 1)
    return Blot(points.astype(np.float32), float(rng.uniform(35, 120)), 2.0, float(rng.uniform(0, 8)))


def _puddle(rng: np.random.Generator, centre: Points) -> Blot:
    """An irregular patch where stain has run together, 40-400 nm."""
    size = float(np.exp(rng.uniform(math.log(40), math.log(400))))
    radii = random_radii(rng, size, rng.uniform(1.0, 2.0), rng.uniform(0.2, 0.5))
    return Blot(polygon((float(centre[0]), float(centre[1])), radii), float(rng.uniform(6, 30)), float(rng.uniform(0.1, 0.5) * size), float(rng.uniform(0, 5)))


def _dust(rng: np.random.Generator, centre: Points) -> Blot:
    """A speck of dirt far out of focus, 60-400 nm, nearly opaque."""
    size = float(np.exp(rng.uniform(math.log(60), math.log(400))))
    outline = polygon((float(centre[0]), float(centre[1])), random_radii(rng, size, rng.uniform(1.0, 2.0), rng.uniform(0.1, 0.4)))
    return Blot(outline, float(rng.uniform(25, 120)), float(rng.uniform(0.05, 0.3) * size), 0.0)


def _draw_blot(stain: Field, grid: Grid, texture: Texture, blot: Blot) -> None:
    low, high = blot.outline.min(axis=0) - 2 * blot.soft_nm, blot.outline.max(axis=0) + 2 * blot.soft_nm
    window = grid.window((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))
    rows, columns = window
    if not stain[window].size:
        return
    # A soft edge is as smooth on a coarser grid. Painted beyond the window too: what is outside belongs to the blur.
    step = max(int(blot.soft_nm / grid.pixel_size_nm / 3), 1)
    size, pad = grid.pixel_size_nm * step, math.ceil(2 * blot.soft_nm / (grid.pixel_size_nm * step)) + 1
    height, width = rows.stop - rows.start, columns.stop - columns.start
    coarse_hw = (math.ceil(height / step), math.ceil(width / step))
    mask = np.zeros((coarse_hw[0] + 2 * pad, coarse_hw[1] + 2 * pad), np.float32)
    fill(mask, blot.outline / np.float32(size), 1, (columns.start / step - pad, rows.start / step - pad))
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(blot.soft_nm / size, 0.3)), np.float32)[pad:-pad, pad:-pad]
    if step > 1:
        mask = enlarged(mask, (coarse_hw[0] * step, coarse_hw[1] * step))[:height, :width]
    stain[window] += mask * (blot.stain_nm + np.float32(blot.mottle_nm) * texture.coarse[window])
