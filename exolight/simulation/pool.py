"""The embedded data set: simulated negative-stain TEM pictures, rendered once and held in memory. No download, no account."""

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.errors import InputError
from exolight.micrograph import Micrograph
from exolight.simulation.picture import SceneRanges, SimulatedPicture, render

CLASS_NAMES = ("exosome",)


def simulate(
    count: int = 200,
    image_hw: tuple[int, int] = (384, 384),
    pixel_size_nm: float = 2.0,
    seed: int = 0,
    mean_vesicles: float = 8.0,
    max_vesicles: int = 20,
    empty_fraction: float = 0.1,
    diameter_median_nm: float = 80.0,
    diameter_sigma: float = 0.35,
    diameter_range_nm: tuple[float, float] = (32.0, 250.0),
    border_fraction: float = 0.08,
    cluster_fraction: float = 0.2,
    contrast: tuple[float, float] = (0.65, 1.3),
    brightness: tuple[float, float] = (110.0, 165.0),
    grain: tuple[float, float] = (0.05, 0.12),
    shot_noise: tuple[float, float] = (2.0, 10.0),
    blur_px: tuple[float, float] = (0.5, 0.9),
    drift: tuple[float, float] = (0.04, 0.2),
    vignetting: tuple[float, float] = (0.0, 0.15),
    specks_per_um2: tuple[float, float] = (60.0, 400.0),
    aggregates_per_um2: tuple[float, float] = (0.0, 7.0),
    workers: int = 0,
) -> AnnotationSet:
    """``count`` pictures of ``image_hw`` = (height, width) px with their vesicles, one class "exosome".

    Pictures are rendered in this call (by ``workers`` processes where that is more than 0) and kept as uint8, so that drawing never competes with
    training. Picture i is called ``simulated_0000i`` and depends on ``seed`` and i, not on ``count`` or on the others. The remaining arguments are
    those of ``SceneRanges``, where they are described.

    Raises:
        InputError: a setting makes no sense.
    """
    ranges = SceneRanges(
        mean_vesicles=float(mean_vesicles),
        max_vesicles=int(max_vesicles),
        empty_fraction=float(empty_fraction),
        diameter_median_nm=float(diameter_median_nm),
        diameter_sigma=float(diameter_sigma),
        diameter_range_nm=_pair("diameter_range_nm", diameter_range_nm),
        border_fraction=float(border_fraction),
        cluster_fraction=float(cluster_fraction),
        contrast=_pair("contrast", contrast),
        brightness=_pair("brightness", brightness),
        grain=_pair("grain", grain),
        shot_noise=_pair("shot_noise", shot_noise),
        blur_px=_pair("blur_px", blur_px),
        drift=_pair("drift", drift),
        vignetting=_pair("vignetting", vignetting),
        specks_per_um2=_pair("specks_per_um2", specks_per_um2),
        aggregates_per_um2=_pair("aggregates_per_um2", aggregates_per_um2),
    )
    hw = (int(image_hw[0]), int(image_hw[1]))
    _check(count, hw, pixel_size_nm, seed, ranges)
    draw = functools.partial(render, seed, hw=hw, pixel_size_nm=float(pixel_size_nm), ranges=ranges)
    if workers > 0:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as processes:
            pictures = list(processes.map(draw, range(count), chunksize=8))
    else:
        pictures = [draw(index) for index in range(count)]
    return AnnotationSet([_annotated(f"simulated_{index:05d}", picture, float(pixel_size_nm)) for index, picture in enumerate(pictures)], list(CLASS_NAMES))


def _annotated(name: str, picture: SimulatedPicture, pixel_size_nm: float) -> AnnotatedImage:
    picture.pixels.setflags(write=False)  # every epoch reads the same array
    return AnnotatedImage(
        name=name,
        reader=functools.partial(_as_micrograph, picture.pixels, pixel_size_nm),
        image_hw=(picture.pixels.shape[0], picture.pixels.shape[1]),
        boxes=picture.boxes,
        labels=np.zeros(len(picture.boxes), np.int64),
        ignore=picture.ignore,
        pixel_size_nm=pixel_size_nm,
        outlines=picture.outlines,
        diameters_nm=picture.diameters_nm,
        morphology=picture.morphology,
    )


def _as_micrograph(pixels: NDArray[np.uint8], pixel_size_nm: float) -> Micrograph:
    """The reader: a plain function, so that a ``functools.partial`` of it pickles to loader workers."""
    return Micrograph(pixels, pixel_size_nm, "simulation")


def _pair(name: str, values: tuple[float, float]) -> tuple[float, float]:
    """A range as plain floats (a config hands over a list). Raises InputError unless it is two numbers, low first, none negative."""
    if len(values) != 2 or not 0 <= values[0] <= values[1]:
        raise InputError(f"simulation: {name} must be two numbers, low and high, none negative, not {list(values)}")
    return float(values[0]), float(values[1])


def _check(count: int, hw: tuple[int, int], pixel_size_nm: float, seed: int, ranges: SceneRanges) -> None:
    """Raises InputError for a setting nothing can be drawn from."""
    low, high = ranges.diameter_range_nm
    rules = {
        f"count must be at least 1, not {count}": count >= 1,
        f"image_hw must be at least 32 x 32 px, not {hw[0]} x {hw[1]}": min(hw) >= 32,
        f"pixel_size_nm must be positive, not {pixel_size_nm}": pixel_size_nm > 0,
        f"seed must not be negative, it is {seed}": seed >= 0,
        f"max_vesicles must lie in 1..255, not {ranges.max_vesicles}": 1 <= ranges.max_vesicles <= 255,  # painted into eight bits
        f"blur_px must be above 0, not {ranges.blur_px[0]}": ranges.blur_px[0] > 0,
        f"empty_fraction must lie in 0..1, not {ranges.empty_fraction}": 0 <= ranges.empty_fraction <= 1,
        f"border_fraction + cluster_fraction must lie in 0..1, not {ranges.border_fraction} + {ranges.cluster_fraction}": (
            min(ranges.border_fraction, ranges.cluster_fraction) >= 0 and ranges.border_fraction + ranges.cluster_fraction <= 1
        ),
        f"diameter_median_nm {ranges.diameter_median_nm} must lie in diameter_range_nm {low}..{high}, and that above 0": (
            0 < low <= ranges.diameter_median_nm <= high
        ),
        f"diameter_sigma must not be negative, it is {ranges.diameter_sigma}": ranges.diameter_sigma >= 0,
    }
    for message, holds in rules.items():
        if not holds:
            raise InputError(f"simulation: {message}")
