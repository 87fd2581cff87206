"""Fields in which one thing at a time is switched on, for the tests of the simulator."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field, Grid
from exolight.simulation.noise import Texture
from exolight.simulation.placement import Placed
from exolight.simulation.ranges import DistractorRanges, FilmRanges, InstrumentRanges, Ranges, VesicleRanges
from exolight.simulation.scene import Scene, random_scene
from exolight.simulation.vesicles import Vesicle, random_vesicle

FILM_NM = 30.0  # stain on the bare film of QUIET: thick enough for the brightest body
NO_VESICLES = VesicleRanges(empty_fraction=0.0, per_um2=(0, 0), border_fraction=0.0, cluster_fraction=0.0, neck_fraction=0.0, roughness=(1, 1), contrast=(1, 1))
NOTHING_ELSE = DistractorRanges(
    specks_per_um2=(0, 0), lipoproteins_per_um2=(0, 0), aggregates_per_um2=(0, 0), heaps_per_um2=(0, 0), scraps_per_um2=(0, 0), membranes_per_um2=(0, 0),
    crystals_per_um2=(0, 0), puddles_per_um2=(0, 0), gold_per_um2=(0, 0), tear_fraction=0.0, fold_fraction=0.0, dust_fraction=0.0,
)  # fmt: skip
EVEN_FILM = FilmRanges(stain_nm=(FILM_NM, FILM_NM), carbon_nm=(12, 12), grain_nm=(0, 0), grain_size=(1, 1), drift=(0, 0))
PERFECT = InstrumentRanges(
    fringe=(0, 0), blur_px=(0.1, 0.1), vignetting=(0, 0), electrons=(1e6, 1e6), camera_blur_px=(0, 0), readout=(0, 0), hot_pixels=(0, 0), level=(0.5, 0.5),
    gamma=(1, 1), sixteen_bit_fraction=0.0, inverted_fraction=0.0, resampled_fraction=0.0, jpeg_fraction=0.0, marks_fraction=0.0,
)  # fmt: skip
QUIET = Ranges(NO_VESICLES, NOTHING_ELSE, EVEN_FILM, PERFECT)
BUSY = replace(  # vesicles of every kind, over each other and cut, on a small field
    QUIET, vesicles=VesicleRanges(empty_fraction=0.0, per_um2=(80, 120), diameter_median_nm=(50, 60), border_fraction=0.3, cluster_fraction=0.4)
)


def scene_of(placed: list[Placed], extent_nm: tuple[float, float]) -> Scene:
    """These vesicles on an even film, and nothing else."""
    return replace(random_scene(np.random.default_rng(0), extent_nm, QUIET), vesicles=tuple(placed))


def disc(radius_nm: float, centre_nm: tuple[float, float]) -> Placed:
    """A perfectly round vesicle."""
    vesicle = replace(a_vesicle("solid", 2 * radius_nm), radii_nm=np.full(128, radius_nm, np.float32))
    return Placed(vesicle, centre_nm, vesicle.outline(centre_nm))


def a_vesicle(morphology: str, diameter_nm: float, seed: int = 0) -> Vesicle:
    """A random one of a morphology."""
    return random_vesicle(np.random.default_rng(seed), diameter_nm, replace(NO_VESICLES, shares={morphology: 1.0}))


def even(grid: Grid) -> Texture:
    """A texture without any: bodies are drawn as they are meant."""
    texture = Texture(np.random.default_rng(0), grid)
    texture.fine[...] = 0
    texture.coarse[...] = 0
    return texture


def distance_and_share(vesicle: Vesicle, centre_nm: tuple[float, float], grid: Grid) -> tuple[Field, Field]:
    """Of each pixel (H, W): nm beyond the membrane on the ray from the centre, and its distance from the centre as a share of the membrane's."""
    y, x = (np.mgrid[: grid.hw[0], : grid.hw[1]] + 0.5) * grid.pixel_size_nm
    radius, theta = np.hypot(x - centre_nm[0], y - centre_nm[1]), np.arctan2(y - centre_nm[1], x - centre_nm[0]) % (2 * math.pi)
    count = len(vesicle.radii_nm)
    membrane = np.interp(theta, np.arange(count + 1) * (2 * math.pi / count), np.append(vesicle.radii_nm, vesicle.radii_nm[0]))
    return (radius - membrane).astype(np.float32), (radius / membrane).astype(np.float32)


def square(low: float, high: float) -> NDArray[np.float32]:
    """Corners (4, 2) of the square from (low, low) to (high, high)."""
    return np.array([(low, low), (high, low), (high, high), (low, high)], np.float32)
