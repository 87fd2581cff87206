"""The pictures and vesicles of a prediction as arrays that know their nesting: vesicles in pictures, of samples, of donors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """P pictures and those V of their vesicles that can be sized, as flat arrays.

    Attributes:
        unit: "nm", or "px" where no picture knows its pixel size.
        pictures, samples, donors, conditions: (P,) names; "" is unknown. A sample is one of its donor: two donors may each have a sample "1".
        counts: (P,) all vesicles, sized or not. cut: (P,) those of them that the border cuts.
        areas_um2: (P,) analysed area, nan where no pixel size is known.
        picture: (V,) to which picture a sized vesicle belongs. diameters: (V,) in ``unit``. weights: (V,) against the border's bias.
    """

    unit: str
    pictures: NDArray[np.str_]
    samples: NDArray[np.str_]
    donors: NDArray[np.str_]
    conditions: NDArray[np.str_]
    counts: Integers
    cut: Integers
    areas_um2: Floats
    picture: Integers
    diameters: Floats
    weights: Floats

    def select(self, pictures: NDArray[np.bool_]) -> "Population":
        """Only the pictures where the mask (P,) is true, and their vesicles."""
        return self._take(np.flatnonzero(pictures), np.flatnonzero(pictures[self.picture]))

    def split(self, *levels: str) -> "dict[tuple[str, ...], Population]":
        """One population for each combination of names at ``levels`` (of "condition", "donor", "sample", "picture"), in order of appearance."""
        keys = list(zip(*(getattr(self, f"{level}s").tolist() for level in levels), strict=True))
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        group = np.array([numbers[key] for key in keys], np.int64)
        pictures, vesicles = members(group, len(numbers)), members(group[self.picture], len(numbers))
        return {key: self._take(*indices) for key, *indices in zip(numbers, pictures, vesicles, strict=True)}

    def _take(self, pictures: Integers, vesicles: Integers) -> "Population":
        """Those pictures and vesicles, by ascending index; the latter must be all of the former's."""
        return Population(
            self.unit,
            pictures=self.pictures[pictures],
            samples=self.samples[pictures],
            donors=self.donors[pictures],
            conditions=self.conditions[pictures],
            counts=self.counts[pictures],
            cut=self.cut[pictures],
            areas_um2=self.areas_um2[pictures],
            picture=np.searchsorted(pictures, self.picture[vesicles]),
            diameters=self.diameters[vesicles],
            weights=self.weights[vesicles],
        )


def members(group: Integers, groups: int) -> list[Integers]:
    """For each group 0, 1, ... the ascending indices of its members, where ``group`` says to which each of them belongs."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, groups))) if groups else []


def is_analysed(row: Mapping[str, Any]) -> bool:
    """Whether a row of images.csv has a count, be it 0: the picture could be read, and its quality allowed to count what is in it."""
    return not row.get("error") and row.get("count", 0) is not None


def population_from_rows(pictures: Sequence[Mapping[str, Any]], vesicles: Sequence[Mapping[str, Any]], diameter: str = "diameter") -> Population:
    """The population of a prediction.

    Where no picture knows its pixel size, sizes are in px; where some do, only theirs are sizes. Vesicles that are cut by the border, or as large as
    their picture, are counted but not sized.

    Args:
        pictures: rows of images.csv with ``image``, ``width``, ``height``, ``pixel_size_nm``; optionally ``donor``, ``sample``, ``condition``, and
            ``analysed_share``, the share of the picture that vesicles could be seen on. Those that were not analysed, see ``is_analysed``, are left out.
        vesicles: rows of detections.csv with ``image``, ``on_border`` and the diameters. Numbers are numbers, what is unknown is None.
        diameter: which one: "diameter" is in the columns ``diameter_px`` and ``diameter_nm``.

    Raises:
        InputError: two pictures have one name, or a vesicle is in a picture that is not there.
    """
    rows = [row for row in pictures if is_analysed(row)]
    index = {row["image"]: number for number, row in enumerate(rows)}
    if len(index) < len(rows):
        raise InputError(f"{len(rows) - len(index)} pictures are listed twice: give each picture once")
    stray = next((row["image"] for row in vesicles if row["image"] not in index), None)
    if stray is not None:
        raise InputError(f"{stray} has vesicles but is not among the {len(rows)} pictures: take both tables from one prediction")

    scales = np.array([row["pixel_size_nm"] or np.nan for row in rows], float)
    unit = "px" if np.isnan(scales).all() else "nm"
    sides = np.array([(row["width"], row["height"]) for row in rows], float).reshape(-1, 2)
    shares = np.array([1.0 if row.get("analysed_share") is None else row["analysed_share"] for row in rows], float)
    fields = sides * scales[:, None] if unit == "nm" else sides

    picture = np.array([index[row["image"]] for row in vesicles], np.int64)
    cut = np.array([row["on_border"] for row in vesicles], bool)
    diameters = np.array([row[f"{diameter}_{unit}"] for row in vesicles], float)  # None becomes nan
    sized = ~cut & (diameters < fields[picture].min(axis=1, initial=np.inf))
    picture_of_sized, diameters = picture[sized], diameters[sized]
    image, sample, donor, condition = (np.array([row.get(level) or "" for row in rows], np.str_) for level in ("image", "sample", "donor", "condition"))
    return Population(
        unit,
        pictures=image,
        samples=sample,
        donors=donor,
        conditions=condition,
        counts=np.bincount(picture, minlength=len(rows)),
        cut=np.bincount(picture[cut], minlength=len(rows)),
        areas_um2=sides.prod(axis=1) * shares * (scales / 1000) ** 2,
        picture=picture_of_sized,
        diameters=diameters,
        weights=border_weights(diameters, *fields[picture_of_sized].T),
    )


def border_weights(diameters: ArrayLike, widths: ArrayLike, heights: ArrayLike) -> Floats:
    """How many vesicles each whole one stands for: W·H / ((W - d)·(H - d)), the inverse of the chance that the border cuts none of it.

    Leaving out what the border cuts leaves out large vesicles more often than small ones; these weights make up for it (the Miles-Lantuéjoul correction:
    Serra, Image Analysis and Mathematical Morphology, 1982).

    Args:
        diameters: (V,) of vesicles that are whole. widths, heights: (V,) or one number, of their pictures in the same unit.

    Raises:
        ValueError: a diameter is not under both sides: no picture of that size shows such a vesicle whole.
    """
    d, w, h = (np.asarray(values, float) for values in (diameters, widths, heights))
    if not (d < np.minimum(w, h)).all():
        raise ValueError("a vesicle as large as its picture cannot be whole: leave it out of the sizes")
    return w * h / ((w - d) * (h - d))
