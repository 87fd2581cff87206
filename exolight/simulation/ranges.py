"""What pictures are drawn from. A preset in conf/simulation is these classes with their values; the values here are those of ``default``.

A pair is (low, high) of a uniform draw: per picture, except where "each" is said. Lengths are nm in the specimen, stain is nm of dried stain, densities are
counts per square micrometre of the field, fractions are of pictures unless said otherwise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from exolight.errors import InputError

Pair = tuple[float, float]
MORPHOLOGIES = ("cup", "solid", "ring", "collapsed", "elongated", "multilamellar", "dark")


# What these may reach; all else goes up to any finite number. What is divided by, a power or a picture's only light must be above zero.
_HIGHEST = {"vignetting": 10.0, "hot_pixels": 1.0, "level": 1.0, "jpeg_quality": 100.0}
_ABOVE_ZERO = ("diameter_median_nm", "diameter_range_nm", "blur_px", "electrons", "level", "gamma", "resampling", "jpeg_quality")


def is_number(value: Any, highest: float = math.inf) -> bool:
    """Whether a value is a finite number, and no truth value, in 0..highest."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= highest and math.isfinite(value)


@dataclass(frozen=True)
class _Checked:
    """Lists of a config become tuples; what makes no sense is refused by its name."""

    def __post_init__(self) -> None:
        for key in fields(self):
            value, highest = getattr(self, key.name), _HIGHEST.get(key.name, 1.0 if key.name.endswith("fraction") else math.inf)
            if key.type is Pair:
                pair = value if isinstance(value, list | tuple) and len(value) == 2 else (math.nan, math.nan)
                if not all(is_number(end, highest) for end in pair) or pair[0] > pair[1] or (key.name in _ABOVE_ZERO and pair[0] == 0):
                    least, most = "above 0" if key.name in _ABOVE_ZERO else "0 or more", f" and at most {highest:g}" if math.isfinite(highest) else ""
                    raise InputError(f"simulation.{key.name}={value!r}: must be two numbers, low and high, {least}{most}")
                object.__setattr__(self, key.name, (float(pair[0]), float(pair[1])))
            elif key.type is float and not is_number(value, highest):
                limit = f"a number from 0 to {highest:g}" if math.isfinite(highest) else "a finite number, 0 or more"
                raise InputError(f"simulation.{key.name}={value!r}: must be {limit}")


@dataclass(frozen=True)
class VesicleRanges(_Checked):
    """Vesicles: how many, how large, how they look.

    Attributes:
        empty_fraction: pictures without any.
        per_um2: of the others.
        maximum: of a picture.
        diameter_median_nm, diameter_sigma: log-normal; sigma is that of ln d. Diameters are area-equivalent, of the outer membrane.
        diameter_range_nm: draws outside are drawn again.
        shares: weight of each morphology.
        border_fraction, cluster_fraction: of vesicles: cut by a border; beside or over another one.
        neck_fraction: of the vesicles beside another one: joined to it (budding or merging), each still counted.
        roughness: of each outline; 1 is a fresh membrane, 2 a badly dried one.
        contrast: of each vesicle and its halo.
    """

    empty_fraction: float = 0.12
    per_um2: Pair = (2.0, 28.0)
    maximum: int = 60
    diameter_median_nm: Pair = (60.0, 110.0)
    diameter_sigma: Pair = (0.30, 0.50)
    diameter_range_nm: Pair = (30.0, 300.0)
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"cup": 0.28, "solid": 0.38, "ring": 0.05, "collapsed": 0.16, "elongated": 0.06, "multilamellar": 0.02, "dark": 0.05}
    )
    border_fraction: float = 0.10
    cluster_fraction: float = 0.22
    neck_fraction: float = 0.3
    roughness: Pair = (0.7, 1.8)
    contrast: Pair = (0.6, 1.25)

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.shares if isinstance(self.shares, Mapping) else {}
        if set(shares) - set(MORPHOLOGIES) or not all(is_number(weight) for weight in shares.values()) or not sum(shares.values()):
            raise InputError(f"simulation.shares={self.shares}: must give weights, 0 or more and not all 0, to some of {', '.join(MORPHOLOGIES)}")
        low, high = self.diameter_range_nm
        if not low <= self.diameter_median_nm[0] <= self.diameter_median_nm[1] <= high:
            raise InputError(f"simulation.diameter_median_nm={self.diameter_median_nm}: must lie in diameter_range_nm={self.diameter_range_nm}")
        if self.border_fraction + self.cluster_fraction > 1:
            raise InputError(f"simulation.border_fraction={self.border_fraction} and cluster_fraction={self.cluster_fraction}: must not exceed 1 together")
        if not isinstance(self.maximum, int) or isinstance(self.maximum, bool) or not 1 <= self.maximum <= 1000:
            raise InputError(f"simulation.maximum={self.maximum!r}: must be a whole number in 1..1000")


@dataclass(frozen=True)
class DistractorRanges(_Checked):
    """All that lies about and is no vesicle. It is drawn and not labelled.

    Attributes:
        specks_per_um2: protein and small debris, 4-20 nm, bright, some drawn out to threads, some dark.
        lipoproteins_per_um2: bright discs without a rim, 8-28 nm, rarely to 40.
        aggregates_per_um2: bright crumbs, loose in a puddle of stain. heaps_per_um2: lumps of protein grown together, in a puddle of stain.
        scraps_per_um2: bits and hooks of membrane.
        membranes_per_um2: broken, folded, spilt membranes, up to several hundred nm.
        crystals_per_um2: angular and very dark. puddles_per_um2: of stain. gold_per_um2: 5-15 nm.
        tear_fraction, fold_fraction: torn or folded film. dust_fraction: a speck of dirt out of focus.
    """

    specks_per_um2: Pair = (200.0, 2000.0)
    lipoproteins_per_um2: Pair = (0.0, 40.0)
    aggregates_per_um2: Pair = (0.0, 8.0)
    heaps_per_um2: Pair = (0.0, 8.0)
    scraps_per_um2: Pair = (0.0, 14.0)
    membranes_per_um2: Pair = (0.0, 5.0)
    crystals_per_um2: Pair = (0.0, 1.5)
    puddles_per_um2: Pair = (0.0, 1.5)
    gold_per_um2: Pair = (0.0, 0.6)
    tear_fraction: float = 0.03
    fold_fraction: float = 0.05
    dust_fraction: float = 0.04


@dataclass(frozen=True)
class FilmRanges(_Checked):
    """The support and the stain on it.

    Attributes:
        stain_nm: thickness on the bare film. carbon_nm: of the film.
        grain_nm: standard deviation of the film's grain, as nm of stain. grain_size: scale of its length; 1 is what was measured on a real field.
        drift: standard deviation of ln(stain thickness) over the field, slow.
    """

    stain_nm: Pair = (8.0, 20.0)
    carbon_nm: Pair = (8.0, 20.0)
    grain_nm: Pair = (1.0, 3.2)
    grain_size: Pair = (0.7, 1.4)
    drift: Pair = (0.1, 0.6)


@dataclass(frozen=True)
class InstrumentRanges(_Checked):
    """From transmission to a file.

    Attributes:
        fringe_nm: width of the first Fresnel fringe, sqrt(wavelength * defocus). fringe: its strength; 0 is in focus.
        blur_px: standard deviation of the point spread. vignetting: loss at the corners.
        electrons: a pixel of bare film. camera_blur_px: the detector's point spread, which the dose's noise passes too. readout: its noise, in electrons.
        hot_pixels: share of pixels.
        level: of bare film, share of full scale. gamma: of the file. sixteen_bit_fraction, inverted_fraction: of files.
        resampled_fraction: recorded at another sampling and exported at this one; resampling: recorded pixels per exported pixel, log-uniform.
        jpeg_fraction, jpeg_quality: exported as JPEG. marks_fraction: with a burned-in scale bar, and some of these with text, a
            panel letter or a strip of information, which hides what is under it.
    """

    fringe_nm: Pair = (1.4, 2.7)
    fringe: Pair = (0.0, 1.0)
    blur_px: Pair = (0.4, 1.1)
    vignetting: Pair = (0.0, 0.2)
    electrons: Pair = (50.0, 500.0)
    camera_blur_px: Pair = (0.2, 0.7)
    readout: Pair = (0.5, 3.0)
    hot_pixels: Pair = (0.0, 5e-5)
    level: Pair = (0.35, 0.68)
    gamma: Pair = (0.8, 1.25)
    sixteen_bit_fraction: float = 0.2
    inverted_fraction: float = 0.04
    resampled_fraction: float = 0.35
    resampling: Pair = (0.4, 1.5)
    jpeg_fraction: float = 0.2
    jpeg_quality: Pair = (60.0, 95.0)
    marks_fraction: float = 0.2


@dataclass(frozen=True)
class Ranges:
    """Everything a series of pictures is drawn from."""

    vesicles: VesicleRanges = field(default_factory=VesicleRanges)
    distractors: DistractorRanges = field(default_factory=DistractorRanges)
    film: FilmRanges = field(default_factory=FilmRanges)
    instrument: InstrumentRanges = field(default_factory=InstrumentRanges)

    def __post_init__(self) -> None:
        for key in fields(self):
            assert isinstance(key.type, type)
            if not isinstance(getattr(self, key.name), key.type):
                raise InputError(f"simulation.{key.name}={getattr(self, key.name)!r}: must be {key.type.__name__}")


def uniform(rng: Any, pair: Pair) -> float:
    """One draw from a pair."""
    return float(rng.uniform(*pair))
