"""The support: carbon film with its grain and what tears and folds it, and the stain that has dried on it."""

import math
from dataclasses import dataclass

import numpy as np

from exolight.simulation.grid import Field, Grid
from exolight.simulation.noise import blurred_noise, enlarged, profile
from exolight.simulation.ranges import DistractorRanges, FilmRanges, uniform

# Standard deviation (nm) and share of the variance of the Gaussian blurs of white noise that add up to the grain. Fitted to the autocorrelation
# measured on a real field at 1.92 nm/px: 0.78 / 0.55 / 0.38 / 0.21 / 0.11 at lags of 1 / 2 / 4 / 8 / 12 px.
_GRAIN = ((0.0, 0.07), (1.6, 0.33), (4.0, 0.30), (12.0, 0.30))
_LINE_REACH_NM = 800.0  # a line wanders so far on either side of its point, then runs straight


@dataclass(frozen=True)
class Line:
    """A tear or a fold across the field: a point x, y nm on it, its direction (rad), its wandering (nm) at equal steps, its width (nm; 0: a half plane)."""

    point_nm: tuple[float, float]
    angle: float
    wander_nm: tuple[float, ...]
    width_nm: float


@dataclass(frozen=True)
class Film:
    """Support of one field. ``drift`` (4, 4) is ln of the stain's relative thickness over the field."""

    stain_nm: float
    carbon_nm: float
    grain_nm: float
    grain_shares: tuple[float, ...]  # of the parts of ``_GRAIN``, relative to what was measured
    grain_size: float
    drift: Field
    tears: tuple[Line, ...]
    folds: tuple[Line, ...]


def random_film(rng: np.random.Generator, extent_nm: tuple[float, float], ranges: FilmRanges, distractors: DistractorRanges) -> Film:
    """The support of a field of ``extent_nm`` = (height, width)."""
    drift = rng.standard_normal((4, 4), dtype=np.float32)
    tears = tuple(_line(rng, extent_nm, 0.0, (0.3, 0.5)) for _ in range(int(rng.random() < distractors.tear_fraction)))
    folds = tuple(_line(rng, extent_nm, float(rng.uniform(10, 60)), (0.0, 0.5)) for _ in range(int(rng.random() < distractors.fold_fraction)))
    return Film(
        stain_nm=uniform(rng, ranges.stain_nm),
        carbon_nm=uniform(rng, ranges.carbon_nm),
        grain_nm=uniform(rng, ranges.grain_nm),
        grain_shares=tuple(rng.uniform(0.7, 1.25, len(_GRAIN)).tolist()),
        grain_size=uniform(rng, ranges.grain_size),
        drift=np.float32(uniform(rng, ranges.drift)) * (drift - drift.mean()),
        tears=tears,
        folds=folds,
    )


def film_stain(film: Film, grid: Grid) -> Field:
    """Stain (H, W) nm on the bare film, without grain."""
    return np.asarray(film.stain_nm * np.exp(enlarged(film.drift, grid.hw)), np.float32)


def grain(rng: np.random.Generator, film: Film, grid: Grid) -> Field:
    """Grain (H, W) of film and stain, as nm of stain, mean 0."""
    total = np.zeros(grid.hw, np.float32)
    for (sigma_nm, share), relative in zip(_GRAIN, film.grain_shares, strict=True):
        total += np.float32(film.grain_nm * math.sqrt(share) * relative) * blurred_noise(rng, grid.hw, sigma_nm * film.grain_size / grid.pixel_size_nm)
    return total


def carbon(film: Film, grid: Grid) -> tuple[Field | float, Field | None]:
    """Thickness of carbon (H, W) nm, and where a tear has left nothing to lie on (H, W) in 0..1, or None: 1 is whole film."""
    thickness: Field | float = film.carbon_nm
    for fold in film.folds:
        across = np.abs(_across(fold, grid)) - fold.width_nm / 2
        thickness = np.asarray(thickness + 2 * film.carbon_nm * np.clip(0.5 - across / 4, 0, 1), np.float32)  # three layers
    whole = None
    for tear in film.tears:
        whole = np.asarray(np.clip(0.5 + _across(tear, grid) / max(3.0, grid.pixel_size_nm), 0, 1), np.float32)
    return thickness, whole


def edge_stain(film: Film, grid: Grid) -> Field | float:
    """Stain (H, W) nm that gathers along tears and folds."""
    total: Field | float = 0.0
    for line in (*film.tears, *film.folds):
        from_edge = np.abs(np.abs(_across(line, grid)) - line.width_nm / 2)
        total = np.asarray(total + 18 * np.exp(from_edge * np.float32(-1 / 14.0)), np.float32)
    return total


def _line(rng: np.random.Generator, extent_nm: tuple[float, float], width_nm: float, off_centre: tuple[float, float]) -> Line:
    """A line that passes the field's centre at a distance of ``off_centre`` of its half side, its own side being the larger part."""
    angle, half = float(rng.uniform(0, 2 * math.pi)), min(extent_nm) / 2
    off = uniform(rng, off_centre) * 2 * half
    x, y = extent_nm[1] / 2 + off * math.sin(angle), extent_nm[0] / 2 - off * math.cos(angle)
    wander = profile(rng, 256, 0.15 * half if width_nm == 0 else 0.04 * half)
    return Line((x, y), angle, tuple(wander.tolist()), width_nm)


def beyond_tear(film: Film, points: Field) -> np.ndarray:
    """Of points (K, 2) x, y nm: whether a tear has taken the film from under them (K,)."""
    beyond = np.zeros(len(points), bool)
    for tear in film.tears:
        beyond |= _from_line(tear, points[:, 0] - tear.point_nm[0], points[:, 1] - tear.point_nm[1]) < 0
    return beyond


def _across(line: Line, grid: Grid) -> Field:
    """Distance (H, W) nm of a grid's pixels from a line."""
    return _from_line(line, *grid.offsets((slice(0, grid.hw[0]), slice(0, grid.hw[1])), line.point_nm))


def _from_line(line: Line, dx: Field, dy: Field) -> Field:
    """Distance nm from a line of what lies at ``dx``, ``dy`` nm from its point; positive on the side of the field's centre."""
    cosine, sine = np.float32(math.cos(line.angle)), np.float32(math.sin(line.angle))
    along = dx * cosine + dy * sine
    wander = np.interp(along, np.linspace(-_LINE_REACH_NM, _LINE_REACH_NM, len(line.wander_nm)), line.wander_nm)
    return np.asarray(dy * cosine - dx * sine + wander, np.float32)
