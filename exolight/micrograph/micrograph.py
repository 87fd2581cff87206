"""Micrograph: pixels as recorded, with their size in nanometres and where that is known from; Header: the same without the pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Micrograph:
    """One picture.

    Attributes:
        pixels: (H, W) in the dtype recorded: uint8, uint16 or float32. Colour pictures are reduced to luminance.
        pixel_size_nm: nanometres per pixel, or None where nobody said.
        pixel_size_source: where that number is from ("user", "ImageJ TIFF", "simulation", ...); "unknown" without one.
        path: the file, or None.
        warnings: what a person should know before trusting sizes measured in it, a sentence each, without the file's name.
    """

    pixels: NDArray[np.generic]
    pixel_size_nm: float | None = None
    pixel_size_source: str = "unknown"
    path: Path | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What is known of a picture before a pixel of it is decoded. The fields mean what they mean in ``Micrograph``.

    Attributes:
        image_hw: (height, width) in pixels of what ``read_micrograph`` returns.
    """

    image_hw: tuple[int, int]
    pixel_size_nm: float | None
    pixel_size_source: str
    path: Path
    warnings: tuple[str, ...] = ()
