"""read_micrograph(path), read_header(path), read_size(path): whatever format the file has, told apart by its content."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from exolight.errors import InputError
from exolight.micrograph.digital_micrograph import is_digital_micrograph, open_digital_micrograph
from exolight.micrograph.micrograph import Header, Micrograph
from exolight.micrograph.mrc import is_mrc, open_mrc
from exolight.micrograph.opened import Opened, first_of
from exolight.micrograph.pixel_size import check_pixel_size, settle
from exolight.micrograph.pixels import check_decoded_size, finite_pixels
from exolight.micrograph.raster import is_raster, open_raster
from exolight.micrograph.tia import EMI, is_tia, open_tia, series_of
from exolight.micrograph.tiff import is_tiff, open_tiff
from exolight.micrograph.velox import is_hdf5, open_velox

logger = logging.getLogger(__name__)

# Of an .emi the .ser beside it is listed, not the .emi itself: it is the same picture.
PICTURE_SUFFIXES = (".bmp", ".dm3", ".dm4", ".emd", ".jpeg", ".jpg", ".mrc", ".png", ".ser", ".tif", ".tiff")

_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], AbstractContextManager[Opened]]], ...] = (
    (is_raster, open_raster),
    (is_tiff, open_tiff),
    (is_digital_micrograph, open_digital_micrograph),
    (is_tia, open_tia),
    (is_hdf5, open_velox),
    (is_mrc, open_mrc),
)
_READ = "PNG, JPEG, TIFF, BMP, DM3, DM4, TIA, Velox or MRC"
_RESAVE = "open it in Fiji and save it as TIFF, or take it out of the folder"


def read_micrograph(path: str | Path, pixel_size_nm: float | None = None) -> Micrograph:
    """Decodes a picture of any of the formats in docs/formats.md, told apart by content and not by suffix, whatever characters its name has.

    uint8 and uint16 stay as they are, every other number becomes float32. Colour becomes luminance (ITU-R BT.601), alpha is dropped,
    min-is-white TIFFs are inverted to what is displayed, EXIF orientation is ignored (annotation tools do not agree on it; ``read_size``
    ignores it too). Of a stack the first page is read, with a warning. Pixels that are no number become the median of the others.

    Args:
        path: the file.
        pixel_size_nm: nanometres per pixel; wins over what the file says.

    Raises:
        InputError: the file is missing, empty, damaged, no picture, larger than the memory it may take, or without a single number; its format
            needs the extra "microscopy"; or ``pixel_size_nm`` is implausible.
    """
    path = Path(path)
    with _opened(path) as opened:
        header = _header(path, opened, pixel_size_nm)
        pixels = opened.read()
        if pixels.shape != opened.image_hw:
            raise InputError(f"{path}: damaged (its header promises {opened.image_hw}, its pixels are {pixels.shape}); copy it again, or {_RESAVE}")
    for warning in header.warnings:
        _warn_once(path, warning)
    return Micrograph(finite_pixels(pixels, path), header.pixel_size_nm, header.pixel_size_source, path, header.warnings)


def read_header(path: str | Path, pixel_size_nm: float | None = None) -> Header:
    """Everything that ``read_micrograph`` would say but the pixels, from the header alone. Raises ``InputError`` as it does."""
    path = Path(path)
    with _opened(path) as opened:
        return _header(path, opened, pixel_size_nm)


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of what ``read_micrograph`` would return, from the header alone. Raises ``InputError`` as it does."""
    return read_header(path).image_hw


def _header(path: Path, opened: Opened, pixel_size_nm: float | None) -> Header:
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm, str(path))
    check_decoded_size(opened.image_hw, opened.decoded_bytes, path)
    size, source, doubts = settle(opened.calibration, opened.image_hw, pixel_size_nm)
    return Header(opened.image_hw, size, source, path, opened.notes + doubts)


@contextmanager
def _opened(path: Path) -> Iterator[Opened]:
    """The picture, open; whatever a decoder raises within, here or in the caller, becomes an ``InputError`` of one line."""
    head = _first_bytes(path)
    notes: tuple[str, ...] = ()
    if path.suffix.lower() == EMI:  # its format is unpublished: the one that is known by its name
        path, *others = series_of(path)
        head, notes = _first_bytes(path), first_of(1 + len(others), "series")
    open_it = next((open_it for matches, open_it in _FORMATS if matches(head)), None)
    if open_it is None:
        raise InputError(f"{path}: not a {_READ} picture, or damaged; {_RESAVE}")
    try:
        with open_it(path) as opened:
            yield opened._replace(notes=notes + opened.notes)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: this machine has not enough memory for it; cut it into parts, or close other programs") from error
    except Exception as error:  # decoders raise anything from struct.error to KeyError on a damaged file
        raise InputError(f"{path}: damaged or cut short ({_in_short(error)}); copy it again, or {_RESAVE}") from error


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _first_bytes(path: Path) -> bytes:
    """The first bytes, as many as tell the formats apart, of a file that is there and not empty."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "a folder" if path.is_dir() else error.strerror
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    if not head:
        raise InputError(f"{path}: the file is empty; copy it again, or take it out of the folder")
    return head


@cache
def _warn_once(path: Path, warning: str) -> None:
    """Training reads a picture in every epoch."""
    logger.warning("%s: %s", path, warning)
