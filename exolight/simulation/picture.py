"""One simulated picture: a scene, its image formation, and the truth about it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.polygons import clip_polygon, pixels_inside, polygon_area
from exolight.simulation import formation
from exolight.simulation.formation import Instrument, random_instrument
from exolight.simulation.grid import Grid
from exolight.simulation.marks import burn_in, strip_rows
from exolight.simulation.placement import visible_and_overlap
from exolight.simulation.ranges import Ranges
from exolight.simulation.scene import Scene, draw_scene, random_scene

# Less of a vesicle counts neither way: nobody could decide. People do mark slivers at a border as soon as they know them for a piece of a vesicle.
MIN_VISIBLE_FRACTION = 0.12
MIN_VISIBLE_PX = 6.0  # of the shorter side of what is seen


@dataclass(frozen=True)
class Truth:
    """What a picture shows.

    Attributes:
        boxes: (N, 4) float32 xyxy px, the extent of ``outlines``.
        outlines: N visible outlines (K, 2) float32 x, y px: the outer membrane, cut at the border (not where another vesicle lies over it).
        diameters_nm: (N,) float32 area-equivalent diameter of the WHOLE vesicle, cut or not.
        morphology: N names out of ``ranges.MORPHOLOGIES``.
        visible: (N,) float32 fraction of the whole vesicle's area that is in the picture and not under another one.
        overlap: (N,) float32 fraction of its part in the picture that it shares with others, over or under it.
        ignore: (N,) bool, True where too little is visible to count: under ``MIN_VISIBLE_FRACTION`` of the whole area, or a piece whose shorter side is under
            ``MIN_VISIBLE_PX``.
    """

    boxes: NDArray[np.float32]
    outlines: tuple[NDArray[np.float32], ...]
    diameters_nm: NDArray[np.float32]
    morphology: tuple[str, ...]
    visible: NDArray[np.float32]
    overlap: NDArray[np.float32]
    ignore: NDArray[np.bool_]


class Picture:
    """Picture ``index`` of the series ``seed``, in its ``epoch``-th edition: it depends on these three, the grid and the ranges alone.

    The scene and its truth cost a few milliseconds, the pixels ten times that; they are drawn when ``pixels`` is called, the same each time.
    """

    def __init__(self, ranges: Ranges, grid: Grid, seed: int, index: int = 0, epoch: int = 0) -> None:
        self.grid = grid
        scene_seed, instrument_seed, self._pixel_seed = np.random.SeedSequence((seed, index, epoch)).spawn(3)
        self.scene = random_scene(np.random.default_rng(scene_seed), grid.extent_nm, ranges)
        self.instrument = random_instrument(np.random.default_rng(instrument_seed), ranges.instrument)

    def pixels(self) -> NDArray[Any]:
        """Grey levels (H, W), uint8 or uint16."""
        return record(np.random.default_rng(self._pixel_seed), self.scene, self.instrument, self.grid)

    def truth(self) -> Truth:
        """What the picture shows."""
        return describe(self.scene, self.grid, 0 if self.instrument.marks is None else strip_rows(self.instrument.marks, self.grid.hw[0]))


def record(rng: np.random.Generator, scene: Scene, instrument: Instrument, grid: Grid) -> NDArray[Any]:
    """Scene -> grey levels (H, W), uint8 or uint16."""
    recorded = _sampled(grid, instrument.resampling)
    specimen = draw_scene(rng, scene, recorded)
    intensity = formation.transmission(*specimen)
    bare = math.exp(-scene.film.stain_nm / formation.STAIN_MFP_NM - scene.film.carbon_nm / formation.CARBON_MFP_NM)
    intensity *= formation.illumination(recorded.hw, instrument.vignetting, instrument.tilt)
    intensity = formation.fresnel_fringe(intensity, instrument.fringe_nm, instrument.fringe, recorded.pixel_size_nm)
    intensity = formation.point_spread(intensity, instrument.blur_px)
    electrons = formation.expose(rng, intensity, instrument.electrons / bare)
    signal = formation.detect(rng, electrons, instrument.camera_blur_px, instrument.readout, instrument.hot_pixels)
    pixels = formation.digitise(signal, instrument.electrons, instrument.level, instrument.gamma, instrument.bits, instrument.inverted)
    pixels = formation.resample(pixels, grid.hw)
    if instrument.marks is not None:
        burn_in(instrument.marks, pixels, grid.pixel_size_nm)
    return pixels if instrument.jpeg_quality is None else formation.jpeg(pixels, instrument.jpeg_quality)


def describe(scene: Scene, grid: Grid, hidden_rows: int = 0) -> Truth:
    """The truth: visible outlines, their boxes, whole diameters, and what is too little to count. ``hidden_rows`` at the bottom show nothing of the scene."""
    hw = (grid.hw[0] - hidden_rows, grid.hw[1])
    whole = [np.asarray(placed.outline_nm / np.float32(grid.pixel_size_nm), np.float32) for placed in scene.vesicles]
    outlines = tuple(clip_polygon(outline, hw) for outline in whole)
    seen = [len(outline) > 2 for outline in outlines]
    vesicles = [placed for placed, there in zip(scene.vesicles, seen, strict=True) if there]
    whole, outlines = [o for o, there in zip(whole, seen, strict=True) if there], tuple(o for o in outlines if len(o) > 2)
    boxes = np.array([(*outline.min(axis=0), *outline.max(axis=0)) for outline in outlines], np.float32).reshape(-1, 4)
    visible, overlap = visible_and_overlap(whole, hw)
    short_side = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
    areas_nm2 = np.array([polygon_area(placed.outline_nm) for placed in vesicles], np.float64)
    return Truth(
        boxes=boxes,
        outlines=outlines,
        diameters_nm=(2 * np.sqrt(areas_nm2 / math.pi)).astype(np.float32),
        morphology=tuple(placed.vesicle.morphology for placed in vesicles),
        visible=visible.astype(np.float32),
        overlap=overlap.astype(np.float32),
        ignore=(visible < MIN_VISIBLE_FRACTION) | (short_side < MIN_VISIBLE_PX),
    )


def instance_mask(truth: Truth, hw: tuple[int, int]) -> NDArray[np.uint16]:
    """(H, W): 0 background, i + 1 at the pixels whose centres lie in vesicle i; one that lies over another covers it."""
    mask = np.zeros(hw, np.uint16)
    for value, outline in enumerate(truth.outlines, start=1):
        if len(outline) > 2:
            mask[pixels_inside(outline, hw)] = value
    return mask


def _sampled(grid: Grid, resampling: float) -> Grid:
    """The grid that is recorded where every exported pixel is made of ``resampling`` recorded ones a side, as nearly as both sides' pixels divide."""
    height, width = grid.hw
    unit = height // math.gcd(height, width)
    rows = max(round(height * resampling / unit), 1) * unit
    return Grid((rows, rows * width // height), grid.pixel_size_nm * height / rows)
