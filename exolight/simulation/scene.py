"""The specimen: what lies on one field, in nanometres, and its stain and carbon on a grid of pixels."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.simulation.debris import Debris, draw_debris, draw_puddles, random_debris
from exolight.simulation.film import Film, beyond_tear, carbon, edge_stain, film_stain, grain, random_film
from exolight.simulation.grid import Field, Grid
from exolight.simulation.membranes import Membrane, broken_membrane, draw_membrane, draw_membrane_halo, heap, neck, scrap
from exolight.simulation.noise import Texture
from exolight.simulation.placement import Placed, place
from exolight.simulation.ranges import DistractorRanges, Ranges, VesicleRanges, uniform
from exolight.simulation.vesicles import draw_body, draw_seam, draw_slope, halo_grid, random_vesicle, shared


@dataclass(frozen=True)
class Scene:
    """One field of a grid. Vesicles lie on membranes, later ones on earlier ones."""

    extent_nm: tuple[float, float]  # height, width
    film: Film
    debris: Debris
    membranes: tuple[Membrane, ...]
    vesicles: tuple[Placed, ...]
    necks: tuple[Membrane, ...]


class Specimen(NamedTuple):
    """What the beam passes: ``stain`` (H, W) nm, ``carbon`` (H, W) or one nm, ``whole`` (H, W) 0..1, where there is film at all, None: everywhere."""

    stain: Field
    carbon: Field | float
    whole: Field | None


def random_scene(rng: np.random.Generator, extent_nm: tuple[float, float], ranges: Ranges) -> Scene:
    """A scene of ``extent_nm`` = (height, width)."""
    film = random_film(rng, extent_nm, ranges.film, ranges.distractors)
    wanted = [random_vesicle(rng, float(d), ranges.vesicles) for d in _diameters(rng, _how_many(rng, extent_nm, ranges.vesicles), ranges.vesicles)]
    v = ranges.vesicles
    vesicles = place(rng, wanted, extent_nm, v.border_fraction, v.cluster_fraction, v.neck_fraction)
    if film.tears:
        vesicles = [placed._replace(joined=None) for placed in vesicles if not beyond_tear(film, placed.outline_nm).any()]
    necks = tuple(neck(rng, placed, vesicles[placed.joined]) for placed in vesicles if placed.joined is not None)
    membranes = _membranes(rng, extent_nm, ranges.distractors, vesicles)
    return Scene(extent_nm, film, random_debris(rng, extent_nm, ranges.distractors), membranes, tuple(vesicles), necks)


def draw_scene(rng: np.random.Generator, scene: Scene, grid: Grid) -> Specimen:
    """Stain and carbon of a scene: halos, puddles and debris below, membranes and vesicles on top, the film's grain through all."""
    coarse = halo_grid(grid)
    slopes, seams = np.zeros(coarse.hw, np.float32), np.zeros(grid.hw, np.float32)
    for membrane in scene.membranes:
        draw_membrane_halo(slopes, coarse, membrane)
    for vesicle, centre, *_ in scene.vesicles:
        draw_slope(slopes, coarse, vesicle, centre)
        draw_seam(seams, grid, vesicle, centre)
    texture = Texture(rng, grid)
    stain = shared(slopes, seams, grid)
    draw_puddles(stain, grid, texture, scene.debris)
    draw_debris(stain, grid, scene.debris)
    for membrane in (*scene.membranes, *scene.necks):
        draw_membrane(stain, grid, texture, membrane)
    for vesicle, centre, *_ in scene.vesicles:
        draw_body(stain, grid, texture, vesicle, centre)
    stain += film_stain(scene.film, grid)
    stain += edge_stain(scene.film, grid)
    np.maximum(stain, 0, out=stain)  # a body keeps out what stain there is, and no more
    stain += grain(rng, scene.film, grid)
    return Specimen(stain, *carbon(scene.film, grid))


def _how_many(rng: np.random.Generator, extent_nm: tuple[float, float], ranges: VesicleRanges) -> int:
    if rng.random() < ranges.empty_fraction or ranges.per_um2[1] == 0:
        return 0
    mean = uniform(rng, ranges.per_um2) * extent_nm[0] * extent_nm[1] / 1e6
    return int(np.clip(rng.poisson(mean), 1, ranges.maximum))


def _diameters(rng: np.random.Generator, count: int, ranges: VesicleRanges) -> NDArray[np.float64]:
    """(count,) nm, log-normal, drawn again outside ``diameter_range_nm`` (clipped into it after 100 rounds)."""
    median, sigma = uniform(rng, ranges.diameter_median_nm), uniform(rng, ranges.diameter_sigma)
    low, high = ranges.diameter_range_nm
    diameters = np.full(count, np.nan)
    for _ in range(100):
        wrong = ~((diameters >= low) & (diameters <= high))
        if not wrong.any():
            break
        diameters[wrong] = rng.lognormal(np.log(median), sigma, int(wrong.sum()))
    return np.asarray(np.clip(diameters, low, high), np.float64)


def _membranes(rng: np.random.Generator, extent_nm: tuple[float, float], ranges: DistractorRanges, vesicles: list[Placed]) -> tuple[Membrane, ...]:
    """Broken membranes, scraps and heaps, those left out that would lie under most of a vesicle: nobody could tell it from them."""
    area_um2 = extent_nm[0] * extent_nm[1] / 1e6
    made = []
    for per_um2, make in ((ranges.membranes_per_um2, broken_membrane), (ranges.scraps_per_um2, scrap), (ranges.heaps_per_um2, heap)):
        for x, y in rng.random((int(rng.poisson(uniform(rng, per_um2) * area_um2)), 2)) * extent_nm[::-1]:
            membrane = make(rng, (float(x), float(y)))
            if not any(_over(membrane, placed) for placed in vesicles):
                made.append(membrane)
    return tuple(made)


def _over(membrane: Membrane, placed: Placed) -> bool:
    """Whether a membrane's extent holds a vesicle's centre."""
    low, high = membrane.bounds
    return bool((low < placed.centre_nm).all() and (high > placed.centre_nm).all())
