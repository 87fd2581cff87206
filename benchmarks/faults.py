"""Simulated micrographs with something wrong with them, made where it goes wrong: what blurs comes before the noise, what clips after it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from simulator import PRESETS, preset_ranges

from exolight.simulation import formation
from exolight.simulation.film import carbon
from exolight.simulation.formation import Instrument
from exolight.simulation.grid import Grid
from exolight.simulation.marks import burn_in
from exolight.simulation.picture import Picture, instance_mask, record

SIDE = 512  # px; fields are square
PIXEL_SIZES_NM = (0.6, 2.5)
BLURS_NM = (8.0, 12.0)  # standard deviation
DRIFTS_NM = (20.0, 30.0)  # the whole way, in a straight line
BRIGHT = 1.15  # of full scale: the film's mean where a picture is overexposed
IDEAL_LEVEL = 0.15  # of full scale, where a noiseless recording has the film: nothing is clipped
TRANSMITTED = 0.01  # through a grid bar
LEAST_SHARE = 0.05  # of the field, under a bar or beyond a tear: less is hardly a fault
COARSE_NM, FINE_NM = (5.5, 20.0), (0.05, 0.18)

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Sample(NamedTuple):
    """A picture with one fault: its name ("" of none) and extent; grey levels (H, W); nm per pixel; where there is no film (H, W), or None for nowhere."""

    fault: str
    extent: str
    pixels: NDArray[Any]
    pixel_size_nm: float
    no_film: Mask | None = None


@dataclass(frozen=True)
class Exposure:
    """A simulated field as it falls on the camera: ``intensity`` (h, w) without noise, 1 on the bare film, its pixels ``pixel_size_nm`` wide."""

    picture: Picture
    intensity: Field
    pixel_size_nm: float
    seed: int

    def pixels(self, intensity: Field, instrument: Instrument | None = None) -> NDArray[Any]:
        """Grey levels (H, W), recorded and exported as the picture's own ``instrument`` does."""
        used, grid = instrument or self.picture.instrument, self.picture.grid
        rng = np.random.default_rng(self.seed)
        electrons = formation.expose(rng, intensity, used.electrons)
        signal = formation.detect(rng, electrons, used.camera_blur_px, used.readout, used.hot_pixels)
        pixels = formation.resample(formation.digitise(signal, used.electrons, used.level, used.gamma, used.bits, used.inverted), grid.hw)
        if used.marks is not None:
            burn_in(used.marks, pixels, grid.pixel_size_nm)
        return pixels if used.jpeg_quality is None else formation.jpeg(pixels, used.jpeg_quality)


def exposure(preset: str, seed: int, index: int, torn: bool = False) -> Exposure:
    """Field ``index`` of a preset, at a pixel size of its own; with a tear in its film, or without any."""
    ranges, seed = preset_ranges(preset), _own(preset, seed)
    ranges = replace(ranges, distractors=replace(ranges.distractors, tear_fraction=float(torn)))
    pixel_size_nm = float(np.exp(np.random.default_rng((seed, index, 1)).uniform(*np.log(PIXEL_SIZES_NM))))
    picture = Picture(ranges, Grid((SIDE, SIDE), pixel_size_nm), seed, index)
    rows = max(round(SIDE * picture.instrument.resampling), 32)
    grid = Grid((rows, rows), pixel_size_nm * SIDE / rows)
    noiseless = replace(picture.instrument, electrons=1e7, readout=0.0, hot_pixels=0.0, camera_blur_px=0.0, level=IDEAL_LEVEL, gamma=1.0, bits=16)
    noiseless = replace(noiseless, inverted=False, resampling=1.0, jpeg_quality=None, marks=None)
    intensity = record(np.random.default_rng((seed, index, 2)), picture.scene, noiseless, grid) / np.float32(65535 * IDEAL_LEVEL)
    return Exposure(picture, np.asarray(intensity, np.float32), grid.pixel_size_nm, 1000 * seed + index)


def defocused(intensity: Field, sigma_px: float) -> Field:
    """Every point a Gaussian disc."""
    return np.asarray(cv2.GaussianBlur(intensity, (0, 0), sigma_px), np.float32)


def drifted(intensity: Field, way_px: float, angle: float) -> Field:
    """The mean of the field on its way along a straight line."""
    ways = np.linspace(-0.5, 0.5, 2 * math.ceil(way_px) + 1) * way_px
    moves = (np.array([[1, 0, way * math.cos(angle)], [0, 1, way * math.sin(angle)]]) for way in ways)
    seen = (cv2.warpAffine(intensity, move, intensity.shape[::-1], borderMode=cv2.BORDER_REFLECT) for move in moves)
    return np.asarray(sum(seen) / np.float32(len(ways)), np.float32)


def grid_bar(rng: np.random.Generator, hw: tuple[int, int], pixel_size_nm: float) -> Field:
    """Transmission (H, W) of a bar of the grid that covers one side of the field, with a wandering edge that is 20 nm wide."""
    angle = rng.uniform(0, 2 * math.pi)
    y, x = (axis.astype(np.float32) - side / 2 for axis, side in zip(np.mgrid[: hw[0], : hw[1]], hw, strict=True))
    across = x * math.cos(angle) + y * math.sin(angle)
    along = y * math.cos(angle) - x * math.sin(angle)
    steps = np.linspace(-1, 1, 80) * max(hw)
    wander = np.interp(along, steps, 2 * np.cumsum(rng.normal(0, 1, len(steps))) * max(hw) / 512)
    inside = (across + wander - rng.uniform(0.35, 0.9) * min(hw) / 2) * pixel_size_nm / 20 + 0.5
    return np.asarray(1 - (1 - TRANSMITTED) * np.clip(inside, 0, 1), np.float32)


def drawings(picture: Picture) -> list[NDArray[np.uint8]]:
    """What is no micrograph, but lies in folders beside them: the label mask of a field, and its outlines drawn on white."""
    truth = picture.truth()
    labels = instance_mask(truth, picture.grid.hw)
    plot = np.full(picture.grid.hw, 255, np.uint8)
    for outline in truth.outlines:
        cv2.polylines(plot, [np.rint(outline).astype(np.int32)], True, 0, 2, cv2.LINE_AA)
    cv2.rectangle(plot, (40, 40), (SIDE - 40, SIDE - 40), 0, 2)
    cv2.putText(plot, "d = 87 nm", (60, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2, cv2.LINE_AA)
    return [np.where(labels > 0, 60 + 37 * (labels % 6), 0).astype(np.uint8), plot]


def samples(preset: str, seed: int, index: int) -> Iterator[Sample]:
    """Field ``index`` of a preset: without a fault, and with each of them, bars and tears as far as they reach into it.

    The faults' names are those of ``exolight.quality.assessment.LIMITS``.
    """
    shot, rng = exposure(preset, seed, index), np.random.default_rng((_own(preset, seed), index, 3))
    seen, size, nm = shot.intensity, shot.pixel_size_nm, shot.picture.grid.pixel_size_nm
    yield Sample("", "", shot.pixels(seen), nm)
    for blur in BLURS_NM:
        yield Sample("out_of_focus", f"{blur:g} nm", shot.pixels(defocused(seen, blur / size)), nm)
    angle = rng.uniform(0, math.pi)
    for way in DRIFTS_NM:
        yield Sample("drift", f"{way:g} nm", shot.pixels(drifted(seen, way / size, angle)), nm)
    yield Sample("saturated", f"film at {BRIGHT:.0%}", shot.pixels(seen, replace(shot.picture.instrument, level=BRIGHT, gamma=1.0)), nm)
    yield Sample("nearly_empty", "no film", shot.pixels(np.ones_like(seen)), nm)
    bar = grid_bar(rng, (seen.shape[0], seen.shape[1]), size)
    covered = cv2.resize(bar, (SIDE, SIDE), interpolation=cv2.INTER_AREA) < 0.5
    if covered.mean() >= LEAST_SHARE:
        yield Sample("no_film", "grid bar", shot.pixels(seen * bar), nm, covered)
    torn = exposure(preset, seed, index, torn=True)
    whole = carbon(torn.picture.scene.film, torn.picture.grid)[1]
    if whole is not None and np.mean(whole < 0.5) >= LEAST_SHARE:
        yield Sample("no_film", "torn film", torn.pixels(torn.intensity), nm, whole < 0.5)
    for pixels, name in zip(drawings(shot.picture), ("label mask", "plot"), strict=True):
        yield Sample("drawing", name, pixels, nm)
    for wrong, name in ((COARSE_NM, "too coarse"), (FINE_NM, "too fine")):
        yield Sample("magnification", name, shot.pixels(seen), float(np.exp(rng.uniform(*np.log(wrong)))))


def _own(preset: str, seed: int) -> int:
    """A seed for each preset, so that no two of them have the same vesicles and bars."""
    return seed * len(PRESETS) + PRESETS.index(preset)
