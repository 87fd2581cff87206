"""The embedded data set: simulated negative-stain TEM pictures. No download, no account."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.errors import InputError
from exolight.micrograph import PIXEL_SIZE_RANGE_NM, Micrograph
from exolight.micrograph.pixel_size import is_plausible
from exolight.simulation.grid import Grid
from exolight.simulation.picture import Picture
from exolight.simulation.ranges import Ranges, is_number

CLASS_NAMES = ("exosome",)
SMALLEST_PX = 32  # a side


def simulate(
    count: int = 200,
    image_hw: Sequence[int] = (384, 384),
    pixel_size_nm: float | Sequence[float] = (1.0, 2.5),
    seed: int = 0,
    ranges: Ranges | None = None,
    stream: bool = False,
) -> AnnotationSet:
    """``count`` pictures with their vesicles, one class "exosome".

    Picture i is called ``simulated_0000i`` and depends on ``seed`` and i, not on ``count`` or on the others. Its scene and truth are made in this call, its
    pixels when it is read.

    Args:
        count: of pictures.
        image_hw: (height, width) px.
        pixel_size_nm: nm per pixel, or (low, high) of a log-uniform draw for each picture.
        seed: of the series.
        ranges: what pictures are drawn from; None: the preset ``default``.
        stream: whether the pictures have ``fresh`` ones, so that training sees new ones in every epoch.

    Raises:
        InputError: a setting makes no sense.
    """
    hw, size_range = check(count, image_hw, pixel_size_nm, seed)
    recipe = functools.partial(picture, ranges or Ranges(), hw, size_range, seed)
    images = []
    for index in range(count):
        again = functools.partial(recipe, index)
        image = _annotated(index, again(), functools.partial(_read, again))  # the recipe, not the scene: a large series stays small
        images.append(dataclasses.replace(image, fresh=functools.partial(_fresh, again, index)) if stream else image)
    return AnnotationSet(images, list(CLASS_NAMES))


def check(count: int, image_hw: Sequence[int], pixel_size_nm: float | Sequence[float], seed: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """(height, width) px and (low, high) nm per pixel. Raises InputError where a series cannot be drawn so."""
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if not _is_whole(value, least):
            raise InputError(f"simulation: {name}={value!r}: must be a whole number, {least} or more")
    if not isinstance(image_hw, Sequence) or len(image_hw) != 2 or not all(_is_whole(side, SMALLEST_PX) for side in image_hw):
        raise InputError(f"simulation: image_hw={image_hw!r}: must be two whole numbers, height and width, {SMALLEST_PX} or more")
    sizes: Any = (pixel_size_nm, pixel_size_nm) if is_number(pixel_size_nm) else pixel_size_nm
    if not isinstance(sizes, Sequence) or len(sizes) != 2 or not all(is_number(size) and is_plausible(size) for size in sizes) or sizes[0] > sizes[1]:
        low, high = PIXEL_SIZE_RANGE_NM
        raise InputError(f"simulation: pixel_size_nm={pixel_size_nm!r}: must be a number from {low:g} to {high:g}, or two such, low and high")
    return (int(image_hw[0]), int(image_hw[1])), (float(sizes[0]), float(sizes[1]))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def picture(ranges: Ranges, hw: tuple[int, int], pixel_size_nm: tuple[float, float], seed: int, index: int, epoch: int = 0) -> Picture:
    """Picture ``index`` of a series, in its ``epoch``-th edition, at its own nm per pixel."""
    low, high = np.log(pixel_size_nm)
    drawn = float(np.exp(np.random.default_rng((seed, index, epoch, 1)).uniform(low, high)))
    return Picture(ranges, Grid(hw, drawn), seed, index, epoch)


def _annotated(index: int, made: Picture, reader: Callable[[], Micrograph]) -> AnnotatedImage:
    """A picture as training and evaluation take it."""
    truth = made.truth()
    return AnnotatedImage(
        name=f"simulated_{index:05d}",
        reader=reader,
        image_hw=made.grid.hw,
        boxes=truth.boxes,
        labels=np.zeros(len(truth.boxes), np.int64),
        ignore=truth.ignore,
        pixel_size_nm=made.grid.pixel_size_nm,
        outlines=truth.outlines,
        diameters_nm=truth.diameters_nm,
        morphology=truth.morphology,
    )


# Readers and makers are partials of plain functions, so that they pickle to loader workers.
def _fresh(again: Callable[[int], Picture], index: int, epoch: int) -> AnnotatedImage:
    made = again(epoch)
    return _annotated(index, made, functools.partial(_micrograph, made))  # read once and forgotten


def _read(again: Callable[[], Picture]) -> Micrograph:
    return _micrograph(again())


def _micrograph(made: Picture) -> Micrograph:
    return Micrograph(made.pixels(), made.grid.pixel_size_nm, "simulation")
