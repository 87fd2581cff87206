"""Micrograph: pixels as recorded, with their size in nanometres and where that is known from; read_micrograph(path)."""

import logging
import math
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tifffile import PHOTOMETRIC

from exolight.errors import InputError

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
PIXEL_SIZE_RANGE_NM = (0.05, 20.0)  # beyond these no TEM picture of vesicles exists: a typing error, or another unit

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_IMAGEJ_UNITS_NM = {"nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "micron": 1e3, "microns": 1e3, "um": 1e3, "µm": 1e3, "\u03bcm": 1e3}
_OME_UNITS_NM = {"pm": 1e-3, "Å": 0.1, "nm": 1.0, "µm": 1e3, "\u03bcm": 1e3, "mm": 1e6}
_RESAVE = "open it in Fiji and save it as TIFF, or take it out of the folder"


@dataclass(frozen=True)
class Micrograph:
    """One picture.

    Attributes:
        pixels: (H, W) in the dtype recorded: uint8, uint16 or float32. Colour pictures are reduced to luminance.
        pixel_size_nm: nanometres per pixel, or None where nobody said.
        pixel_size_source: where that number is from ("user", "ImageJ TIFF", "simulation", ...); "unknown" without one.
        path: the file, or None.
    """

    pixels: NDArray[np.generic]
    pixel_size_nm: float | None = None
    pixel_size_source: str = "unknown"
    path: Path | None = None


def read_micrograph(path: str | Path, pixel_size_nm: float | None = None) -> Micrograph:
    """Decodes a PNG, JPEG, TIFF or BMP, told apart by content and not by suffix, whatever characters its name has.

    uint8 and uint16 stay as they are, every other number becomes float32. Colour becomes luminance (ITU-R BT.601), alpha is dropped,
    min-is-white TIFFs are inverted to what is displayed, EXIF orientation is ignored (annotation tools do not agree on it; ``read_size``
    ignores it too). Of a stack the first page is read, with a warning. Pixels that are no number become the median of the others.

    Args:
        path: the file.
        pixel_size_nm: nanometres per pixel; wins over what the file says.

    Raises:
        InputError: the file is missing, empty, damaged, no picture, or without a single number; or ``pixel_size_nm`` is implausible.
    """
    path = Path(path)
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm, str(path))
    signature = _signature(path)
    try:
        pixels, recorded_nm, source = _read_tiff(path) if signature in _TIFF_SIGNATURES else (_decode(path), None, "unknown")
    except InputError:
        raise
    except Exception as error:  # decoders raise anything from struct.error to KeyError on a damaged file
        raise InputError(f"{path}: damaged or cut short ({' '.join(str(error).split())}); copy it again, or {_RESAVE}") from error
    if pixels.ndim != 2 or pixels.size == 0:
        raise InputError(f"{path}: a picture of shape {pixels.shape} has no pixels to look at; {_RESAVE}")
    pixels = finite_pixels(pixels, path)
    if pixel_size_nm is not None:
        return Micrograph(pixels, float(pixel_size_nm), "user", path)
    if recorded_nm is not None and not _plausible(recorded_nm):
        logger.warning("%s: its %s says %g nm per pixel, which no such picture has; ignored, give the pixel size yourself", path, source, recorded_nm)
        recorded_nm = None
    return Micrograph(pixels, recorded_nm, "unknown" if recorded_nm is None else source, path)


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of what ``read_micrograph`` would return, from the header alone. Raises ``InputError`` as it does."""
    path = Path(path)
    if _signature(path) in _TIFF_SIGNATURES:
        try:
            with tifffile.TiffFile(path) as tiff:
                page = _first_page(tiff)
                return page.imagelength, page.imagewidth
        except Exception as error:
            raise InputError(f"{path}: damaged or cut short ({' '.join(str(error).split())}); copy it again, or {_RESAVE}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is normal here
            with Image.open(path) as picture:
                return picture.height, picture.width
    except Image.DecompressionBombError:
        height, width = read_micrograph(path).pixels.shape
        return height, width
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise InputError(f"{path}: not a PNG, JPEG, TIFF or BMP picture, or damaged; {_RESAVE}") from error


def check_pixel_size(pixel_size_nm: float, where: str) -> None:
    """Raises ``InputError``, beginning with ``where``, unless the number of nm per pixel is one a TEM picture can have."""
    if not _plausible(pixel_size_nm):
        low, high = PIXEL_SIZE_RANGE_NM
        raise InputError(f"{where}: a pixel size of {pixel_size_nm} nm is outside {low:g} to {high:g}; give nanometres per pixel")


def _plausible(pixel_size_nm: float) -> bool:
    return math.isfinite(pixel_size_nm) and PIXEL_SIZE_RANGE_NM[0] <= pixel_size_nm <= PIXEL_SIZE_RANGE_NM[1]


def _signature(path: Path) -> bytes:
    """The first four bytes of a file that is there and not empty."""
    try:
        with path.open("rb") as file:
            signature = file.read(4)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "a folder" if path.is_dir() else error.strerror
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    if not signature:
        raise InputError(f"{path}: the file is empty; copy it again, or take it out of the folder")
    return signature


def _decode(path: Path) -> NDArray[np.generic]:
    """(H, W) of a PNG, JPEG or BMP. The bytes are read here because cv2.imread fails on non-ASCII names on Windows."""
    data = path.read_bytes()
    png_cut = data.startswith(b"\x89PNG") and b"IEND" not in data
    jpeg_cut = data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")  # no end of image after the last scan
    if png_cut or jpeg_cut:  # some versions of OpenCV fill the missing part with grey and say nothing
        raise InputError(f"{path}: the picture is cut short; copy it again, or take it out of the folder")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # unchanged includes: not turned by EXIF
    if decoded is None:
        raise InputError(f"{path}: not a PNG, JPEG, TIFF or BMP picture, or damaged; {_RESAVE}")
    pixels = _as_recorded(decoded)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)


def _first_page(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    """The first page that is no thumbnail."""
    pages = (page for page in tiff.pages if isinstance(page, tifffile.TiffPage))
    return next((page for page in pages if not page.is_reduced), tiff.pages.first)


def _read_tiff(path: Path) -> tuple[NDArray[np.generic], float | None, str]:
    """(H, W) pixels, nm per pixel, and which header said so."""
    with tifffile.TiffFile(path) as tiff:
        page = _first_page(tiff)
        count = sum(not getattr(other, "is_reduced", False) for other in tiff.pages)
        if tiff.is_imagej and tiff.imagej_metadata:  # ImageJ writes one directory for a large stack
            count = max(count, int(tiff.imagej_metadata.get("images", 1)))
        if count > 1:
            logger.warning("%s: a stack of %d pages, only the first is read; save the others as pictures of their own", path, count)
        pixels = _displayed(page, path)
        if tiff.is_ome:
            return pixels, _ome_pixel_size(tiff.ome_metadata or ""), "OME-TIFF"
        if tiff.is_imagej:
            return pixels, _imagej_pixel_size(page), "ImageJ TIFF"
        return pixels, None, "unknown"


def _displayed(page: tifffile.TiffPage, path: Path) -> NDArray[np.generic]:
    """(H, W) of a page as a viewer shows it: palette looked up, min-is-white inverted, colour to luminance."""
    pixels = np.asarray(page.asarray())
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise InputError(f"{path}: a TIFF page with axes {page.axes} is no flat picture; save one plane of it as TIFF")
    jpeg_colour = page.photometric == PHOTOMETRIC.YCBCR and "JPEG" in str(page.compression)  # decoded to RGB; elsewhere channel 0 is luminance
    if pixels.ndim == 3 and not ((page.photometric == PHOTOMETRIC.RGB or jpeg_colour) and pixels.shape[-1] >= 3):
        pixels = pixels[..., 0]
    if page.photometric == PHOTOMETRIC.SEPARATED:
        raise InputError(f"{path}: a TIFF in printing colours (CMYK); save it as greyscale")
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        colormap = page.colormap >> 8 if pixels.dtype == np.uint8 and page.colormap.max() > 255 else page.colormap
        pixels = colormap.astype(pixels.dtype).T[pixels]
    elif page.photometric == PHOTOMETRIC.MINISWHITE and "PhotometricInterpretation" in page.tags:
        pixels = _inverted(pixels, page.bitspersample)
    pixels = _as_recorded(pixels)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)


def _inverted(pixels: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    if pixels.dtype == np.bool_:
        return np.logical_not(pixels)
    if pixels.dtype.kind == "u":
        return np.asarray(np.array(2**bits - 1, pixels.dtype) - pixels)
    numbers = pixels.astype(np.float32)
    return np.asarray(np.nanmax(numbers) + np.nanmin(numbers) - numbers)


def _as_recorded(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """uint8 and uint16 in this machine's byte order as they are, black and white as 0 and 255, all other numbers float32."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"pixels of type {pixels.dtype}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf and is mended with the other non-numbers
        return pixels.astype(np.float32)


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


def _imagej_pixel_size(page: tifffile.TiffPage) -> float | None:
    """XResolution is pixels per ``unit=`` of the description; without a unit it is printer's dpi and means nothing."""
    unit = re.search(r"^unit=(.*)$", page.description, re.MULTILINE)
    resolution = page.tags.get("XResolution")
    if unit is None or resolution is None:
        return None
    nanometres = _IMAGEJ_UNITS_NM.get(unit[1].strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ"))
    pixels, units = resolution.value
    return nanometres * units / pixels if nanometres and pixels else None


def _ome_pixel_size(xml: str) -> float | None:
    """PhysicalSizeX of the first image; micrometres where no unit stands (OME schema 2016-06)."""
    try:
        element = ElementTree.fromstring(xml.encode()).find(".//{*}Pixels")
        if element is None:
            return None
        return float(element.attrib["PhysicalSizeX"]) * _OME_UNITS_NM[element.get("PhysicalSizeXUnit", "µm")]
    except (ElementTree.ParseError, KeyError, ValueError):
        return None
