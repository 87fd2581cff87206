"""TIFF and BigTIFF of any kind, decoded by tifffile; tiff_calibration knows where each kind keeps its pixel size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from exolight.errors import InputError
from exolight.micrograph.opened import Opened, first_of
from exolight.micrograph.pixels import as_recorded, luminance
from exolight.micrograph.tiff_calibration import tiff_calibration

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as a TIFF or BigTIFF."""
    return head.startswith(_SIGNATURES)


@contextmanager
def open_tiff(path: Path) -> Iterator[Opened]:
    """The first page that is no thumbnail."""
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in _pages(tiff) if not getattr(page, "is_reduced", False)]
        page = next((page for page in pages if isinstance(page, tifffile.TiffPage)), tiff.pages.first)
        count = len(pages)
        if tiff.is_imagej and tiff.imagej_metadata:  # ImageJ writes one directory for a large stack
            count = max(count, int(tiff.imagej_metadata.get("images", 1)))
        one_tile = int(np.prod(page.chunks, dtype=float)) * page.nbytes // max(1, page.size)  # decoded whole, however small the picture
        decoded_bytes = max(page.nbytes, one_tile)
        yield Opened((page.imagelength, page.imagewidth), decoded_bytes, lambda: _displayed(page, path), tiff_calibration(tiff, page), first_of(count, "pages"))


def _pages(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage | tifffile.TiffFrame]:
    """Each page once: in a damaged file their chain may bite its own tail."""
    seen: set[int] = set()
    for page in tiff.pages:
        if page.offset in seen:
            return
        seen.add(page.offset)
        yield page


def _displayed(page: tifffile.TiffPage, path: Path) -> NDArray[np.generic]:
    """(H, W) of a page as a viewer shows it: palette looked up, min-is-white inverted, colour to luminance."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise InputError(f"{path}: a TIFF page with axes {page.axes} is no flat picture; save one plane of it as TIFF")
    if page.photometric == PHOTOMETRIC.SEPARATED:
        raise InputError(f"{path}: a TIFF in printing colours (CMYK); save it as greyscale")
    pixels = np.asarray(page.asarray())
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    jpeg_colour = page.photometric == PHOTOMETRIC.YCBCR and "JPEG" in str(page.compression)  # decoded to RGB; elsewhere channel 0 is luminance
    if pixels.ndim == 3 and not ((page.photometric == PHOTOMETRIC.RGB or jpeg_colour) and pixels.shape[-1] >= 3):
        pixels = pixels[..., 0]
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        pixels = _looked_up(pixels, page.colormap)
    elif page.photometric == PHOTOMETRIC.MINISWHITE and "PhotometricInterpretation" in page.tags:
        pixels = _inverted(pixels, page.bitspersample)
    pixels = as_recorded(pixels, path)
    return pixels if pixels.ndim == 2 else luminance(pixels)


def _looked_up(indices: NDArray[np.generic], colormap: NDArray[np.uint16]) -> NDArray[np.generic]:
    """The luminance of a palette's colours, (3, N) of 16 bits each (TIFF 6.0, section 5), in the dtype of the indices."""
    scaled = colormap >> 8 if indices.dtype == np.uint8 and colormap.max() > 255 else colormap
    return luminance(scaled.T[None].astype(indices.dtype))[0][indices]


def _inverted(pixels: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    if pixels.dtype == np.bool_:
        return np.logical_not(pixels)
    if pixels.dtype.kind == "u":
        return np.asarray(np.array(2**bits - 1, pixels.dtype) - pixels)
    numbers = pixels.astype(np.float32)
    return np.asarray(np.nanmax(numbers) + np.nanmin(numbers) - numbers)
