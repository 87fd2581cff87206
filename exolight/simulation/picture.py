"""One simulated picture: a scene of vesicles is drawn as stain density, the scene becomes grey levels, and the truth is written down."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.background import blurred_noise, debris, grain, illumination
from exolight.simulation.outline import clip_polygon, polygon_area
from exolight.simulation.placement import Placed, place, visible_fractions
from exolight.simulation.vesicles import draw_body, draw_halo, random_vesicle

MIN_VISIBLE_FRACTION = 0.25  # less of a vesicle counts neither way: nobody could decide
MIN_VISIBLE_PX = 6.0


@dataclass(frozen=True)
class SceneRanges:
    """What pictures are drawn from. Pairs are (low, high) of a uniform draw per picture (``contrast``: per vesicle).

    Attributes:
        mean_vesicles: of a picture that holds any (Poisson, 1 to ``max_vesicles``).
        empty_fraction: pictures without a vesicle.
        diameter_median_nm, diameter_sigma: log-normal; sigma is that of ln d. Diameters are area-equivalent, of the outer membrane.
        diameter_range_nm: draws outside are drawn again.
        border_fraction, cluster_fraction: vesicles put on a border, and beside or over another one.
        contrast: of vesicles and their halos; 1 is a well-stained field.
        brightness: grey level of the bare film. grain: its standard deviation as a fraction of that level.
        shot_noise: standard deviation in grey levels, white. blur_px: standard deviation of the point spread.
        drift: standard deviation of the slow change of brightness. vignetting: loss at the corners.
        specks_per_um2, aggregates_per_um2: debris that is no vesicle.
    """

    mean_vesicles: float = 8.0
    max_vesicles: int = 20
    empty_fraction: float = 0.1
    diameter_median_nm: float = 80.0
    diameter_sigma: float = 0.35
    diameter_range_nm: tuple[float, float] = (32.0, 250.0)
    border_fraction: float = 0.08
    cluster_fraction: float = 0.2
    contrast: tuple[float, float] = (0.65, 1.3)
    brightness: tuple[float, float] = (110.0, 165.0)
    grain: tuple[float, float] = (0.05, 0.12)
    shot_noise: tuple[float, float] = (2.0, 10.0)
    blur_px: tuple[float, float] = (0.5, 0.9)
    drift: tuple[float, float] = (0.04, 0.2)
    vignetting: tuple[float, float] = (0.0, 0.15)
    specks_per_um2: tuple[float, float] = (60.0, 400.0)
    aggregates_per_um2: tuple[float, float] = (0.0, 7.0)


@dataclass(frozen=True)
class SimulatedPicture:
    """Grey levels and the truth about them.

    Attributes:
        pixels: (H, W) uint8.
        boxes: (N, 4) float32 xyxy px, the extent of ``outlines``.
        outlines: N visible outlines (K, 2) float32 x, y px: the outer membrane, cut at the border (not where another vesicle lies over it).
        diameters_nm: (N,) float32 area-equivalent diameter of the WHOLE vesicle, cut or not.
        morphology: N names out of ``vesicles.MORPHOLOGY_SHARES``.
        ignore: (N,) bool, True where too little is visible to count.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    outlines: tuple[NDArray[np.float32], ...]
    diameters_nm: NDArray[np.float32]
    morphology: tuple[str, ...]
    ignore: NDArray[np.bool_]


def render(seed: int, index: int = 0, hw: tuple[int, int] = (384, 384), pixel_size_nm: float = 2.0, ranges: SceneRanges | None = None) -> SimulatedPicture:
    """Picture ``index`` of the series ``seed``: it depends on these two and the settings alone, not on which pictures were made before it."""
    ranges = ranges or SceneRanges()
    rng = np.random.default_rng(np.random.SeedSequence((seed, index)))
    diameters = _diameters(rng, _how_many(rng, ranges), ranges) / pixel_size_nm
    vesicles = [random_vesicle(rng, float(diameter), ranges.contrast) for diameter in diameters]
    scene = place(rng, vesicles, hw, ranges.border_fraction, ranges.cluster_fraction)
    stain = draw_scene(rng, scene, hw, pixel_size_nm, ranges)
    return _describe(expose(rng, stain, pixel_size_nm, ranges), scene, pixel_size_nm)


def draw_scene(rng: np.random.Generator, scene: list[Placed], hw: tuple[int, int], pixel_size_nm: float, ranges: SceneRanges) -> NDArray[np.float32]:
    """Density of the stain (H, W) relative to the bare film: halos and debris below, bodies on top in their order."""
    halos = np.zeros(hw, np.float32)
    for vesicle, centre, _ in scene:
        draw_halo(halos, vesicle, centre, pixel_size_nm)
    stain = 1.2 * np.tanh(halos / 1.2)  # stain is finite: neighbours share it
    stain += debris(rng, hw, pixel_size_nm, rng.uniform(*ranges.specks_per_um2), rng.uniform(*ranges.aggregates_per_um2))
    texture = np.stack([blurred_noise(rng, hw, sigma_nm / pixel_size_nm) for sigma_nm in (2.5, 8.0)])
    for vesicle, centre, _ in scene:
        draw_body(stain, texture, vesicle, centre)
    return stain


def expose(rng: np.random.Generator, stain: NDArray[np.float32], pixel_size_nm: float, ranges: SceneRanges) -> NDArray[np.uint8]:
    """Stain density (H, W) -> grey levels (H, W): Beer's law on a grainy film, uneven illumination, point spread, noise, eight bits."""
    hw = (stain.shape[0], stain.shape[1])
    density = stain + np.float32(rng.uniform(*ranges.grain)) * grain(rng, hw, pixel_size_nm)
    bright = np.float32(rng.uniform(*ranges.brightness)) * illumination(rng, hw, rng.uniform(*ranges.drift), rng.uniform(*ranges.vignetting))
    signal = np.asarray(cv2.GaussianBlur(bright * np.exp(-density), (0, 0), rng.uniform(*ranges.blur_px)), np.float32)
    signal += np.float32(rng.uniform(*ranges.shot_noise)) * rng.standard_normal(hw, dtype=np.float32)
    return np.clip(np.rint(signal), 0, 255).astype(np.uint8)


def _how_many(rng: np.random.Generator, ranges: SceneRanges) -> int:
    if rng.random() < ranges.empty_fraction or ranges.mean_vesicles <= 0:
        return 0
    return int(np.clip(rng.poisson(ranges.mean_vesicles), 1, ranges.max_vesicles))


def _diameters(rng: np.random.Generator, count: int, ranges: SceneRanges) -> NDArray[np.float64]:
    """(count,) nm, log-normal, drawn again outside ``diameter_range_nm`` (clipped into it after 100 rounds)."""
    low, high = ranges.diameter_range_nm
    diameters = np.full(count, np.nan)
    for _ in range(100):
        wrong = ~((diameters >= low) & (diameters <= high))
        if not wrong.any():
            break
        diameters[wrong] = rng.lognormal(math.log(ranges.diameter_median_nm), ranges.diameter_sigma, int(wrong.sum()))
    return np.clip(diameters, low, high)


def _describe(pixels: NDArray[np.uint8], scene: list[Placed], pixel_size_nm: float) -> SimulatedPicture:
    """The truth: visible outlines, their boxes, whole diameters, and what is too little to count."""
    hw = (pixels.shape[0], pixels.shape[1])
    outlines = tuple(clip_polygon(placed.outline, hw) for placed in scene)
    boxes = np.array([(*outline.min(axis=0), *outline.max(axis=0)) for outline in outlines], np.float32).reshape(-1, 4)
    visible = visible_fractions([placed.outline for placed in scene], hw)
    short_side = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
    areas = np.array([polygon_area(placed.outline) for placed in scene], np.float64)
    return SimulatedPicture(
        pixels=pixels,
        boxes=boxes,
        outlines=outlines,
        diameters_nm=(2 * pixel_size_nm * np.sqrt(areas / math.pi)).astype(np.float32),
        morphology=tuple(placed.vesicle.morphology for placed in scene),
        ignore=(visible < MIN_VISIBLE_FRACTION) | (short_side < MIN_VISIBLE_PX),
    )
