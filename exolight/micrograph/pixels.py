"""Pixels on their way from a decoder to a Micrograph: number types, colour, numbers that are none, and how much memory a picture may take."""

import logging
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError

logger = logging.getLogger(__name__)

MAX_DECODED_MIB = 512  # a grey 16-bit picture of 16384 x 16384 px
LIMIT_VARIABLE = "EXOLIGHT_MAX_PICTURE_MIB"


def check_decoded_size(image_hw: tuple[int, int], decoded_bytes: int, path: Path) -> None:
    """Raises ``InputError`` for a picture without pixels, and for one that would take more memory than a micrograph does (a decompression bomb)."""
    height, width = image_hw
    if height < 1 or width < 1:
        raise InputError(f"{path}: a picture of {width} x {height} px has no pixels to look at; export it again")
    limit = _limit_mib()
    if decoded_bytes > limit << 20:
        raise InputError(
            f"{path}: {width} x {height} px would take {-(-decoded_bytes >> 20)} MiB of memory, more than {limit}; cut it into parts, "
            f"or set {LIMIT_VARIABLE} to allow more"
        )


def _limit_mib() -> int:
    text = os.environ.get(LIMIT_VARIABLE, str(MAX_DECODED_MIB))
    if not text.isdecimal():
        raise InputError(f"{LIMIT_VARIABLE}={text}: no number of MiB; give a whole number, or unset it for {MAX_DECODED_MIB}")
    return int(text)


def as_recorded(pixels: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """uint8 and uint16 in this machine's byte order as they are, black and white as 0 and 255, all other numbers float32."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind not in "uif":
        raise InputError(f"{path}: pixels of type {pixels.dtype} are no picture; export it as a grey TIFF")
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf and is mended with the other non-numbers
        return pixels.astype(np.float32, copy=False)


def luminance(colour: NDArray[np.generic], order: int = cv2.COLOR_RGB2GRAY) -> NDArray[np.generic]:
    """(H, W) of (H, W, 3 or more) as recorded: ITU-R BT.601 weights; what follows the third channel (alpha) is dropped."""
    return cv2.cvtColor(np.ascontiguousarray(colour[..., :3]), order)


def finite_pixels(pixels: NDArray[np.generic], path: Path | str) -> NDArray[np.generic]:
    """Pixels whose NaN and infinities have become the median of the others. Raises ``InputError`` where there are no others."""
    if pixels.dtype.kind != "f":
        return pixels
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels
    if not finite.any():
        raise InputError(f"{path}: not one pixel is a number (all NaN or infinite); export the picture again")
    logger.warning("%s: %d pixels are no number (NaN or infinite); they take the median of the others", path, int((~finite).sum()))
    return np.where(finite, pixels, np.median(pixels[finite]))
