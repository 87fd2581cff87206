"""Nanometres per pixel: units, what is plausible, what a file's own statement is worth, and whether the pictures of one prediction agree."""

import math
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from exolight.errors import InputError

PIXEL_SIZE_RANGE_NM = (0.05, 20.0)  # beyond these no TEM picture of vesicles exists: a typing error, or another unit
UNKNOWN = "unknown"

_UNITS_NM = {
    "pm": 1e-3,
    **dict.fromkeys(("å", "a", "angstrom", "angstroms", "ångström"), 0.1),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1.0),
    **dict.fromkeys(("\u03bcm", "um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), 1e3),
    "mm": 1e6,
    "cm": 1e7,
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e9),
}
_NO_UNIT = {"", "pixel", "pixels", "px"}  # what is written where nobody calibrated
_SQUARE = 0.01  # relative; cameras with a drift correction differ by less than a thousandth in x and y
_SAME = 0.02  # relative; neighbouring steps of magnification differ by more than a tenth


class Calibration(NamedTuple):
    """What a file says about the size of its pixels.

    Attributes:
        source: the place, as people know it: "ImageJ TIFF".
        x, y: ``unit`` per pixel along the rows and along the columns; None or 0 where the file does not say.
        unit: a unit of length as the file spells it.
        recorded_hw: (height, width) that the file says the picture had when it was recorded, or None.
    """

    source: str
    x: float | None
    y: float | None = None
    unit: str = "nm"
    recorded_hw: tuple[int, int] | None = None


def nanometres(unit: str) -> float | None:
    """How many nanometres a unit of length is, in any usual spelling (``\\u00B5m`` is ImageJ's); None for what is no length."""
    plain = unicodedata.normalize("NFKC", unit.strip().strip("\0").replace("\\u00B5", "µ").replace("\\u00b5", "µ"))
    return _UNITS_NM.get(plain.lower())


def is_plausible(pixel_size_nm: float) -> bool:
    """Whether a TEM picture can have so many nanometres per pixel."""
    return math.isfinite(pixel_size_nm) and PIXEL_SIZE_RANGE_NM[0] <= pixel_size_nm <= PIXEL_SIZE_RANGE_NM[1]


def check_pixel_size(pixel_size_nm: float, where: str) -> None:
    """Raises ``InputError``, beginning with ``where``, unless the number of nm per pixel is one a TEM picture can have."""
    if not is_plausible(pixel_size_nm):
        low, high = PIXEL_SIZE_RANGE_NM
        raise InputError(f"{where}: a pixel size of {pixel_size_nm} nm is outside {low:g} to {high:g}; give nanometres per pixel")


def settle(calibration: Calibration | None, image_hw: tuple[int, int], given_nm: float | None = None) -> tuple[float | None, str, tuple[str, ...]]:
    """Nanometres per pixel, where they are from, and what is doubtful about them.

    What the user gives wins. What the file says is converted to nm, and ignored where it is no length or implausible.

    Args:
        calibration: what the file says.
        image_hw: (height, width) of the picture in the file.
        given_nm: nm per pixel from the user, already checked.
    """
    recorded, warnings = (None, []) if calibration is None else _recorded_nm(calibration)
    if calibration is not None:
        warnings += _distortions(calibration, image_hw, recorded)
    if given_nm is None:
        return recorded, UNKNOWN if recorded is None or calibration is None else calibration.source, tuple(warnings)
    if calibration is not None and recorded is not None and not _close(recorded, given_nm, _SAME):
        warnings.append(
            f"{given_nm:g} nm per pixel was given, its {calibration.source} metadata say {recorded:.4g}; the given number is used, check which is right"
        )
    return float(given_nm), "user", tuple(warnings)


def _recorded_nm(calibration: Calibration) -> tuple[float | None, list[str]]:
    """The file's nm per pixel along x, or None and why not."""
    if not calibration.x or calibration.unit.strip().strip("\0").lower() in _NO_UNIT:
        return None, []
    per_unit = nanometres(calibration.unit)
    if per_unit is None:
        return None, [
            f"its {calibration.source} metadata give {calibration.x:g} {calibration.unit!r:.20} per pixel, which is no length (a diffraction pattern?); ignored"
        ]
    size = calibration.x * per_unit
    if not is_plausible(size):
        return None, [f"its {calibration.source} metadata say {size:g} nm per pixel, which no such picture has; ignored, give the pixel size yourself"]
    return size, []


def _distortions(calibration: Calibration, image_hw: tuple[int, int], recorded_nm: float | None) -> Iterator[str]:
    """Signs that the picture is no longer the one whose pixel size is written in it."""
    x, y = calibration.x, calibration.y
    if x and y and recorded_nm is not None and not _close(x, y, _SQUARE):
        yield (
            f"its {calibration.source} metadata say its pixels are not square ({x:.4g} by {y:.4g} {calibration.unit}): "
            "it was stretched, and sizes are wrong in one direction"
        )
    if calibration.recorded_hw is None:
        return
    (height, width), (recorded_height, recorded_width) = image_hw, calibration.recorded_hw
    if recorded_width > 0 and width != recorded_width:  # equal width, other height: an information bar was added or cut off
        then = "" if recorded_nm is None else f"; if it was resized, its pixels are {recorded_nm * recorded_width / width:.4g} nm, not {recorded_nm:.4g}"
        yield (
            f"its {calibration.source} metadata describe {recorded_width} x {recorded_height} px, the file has {width} x {height}: "
            f"it was resized or cropped after recording{then}"
        )


def _close(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance * min(abs(a), abs(b))
